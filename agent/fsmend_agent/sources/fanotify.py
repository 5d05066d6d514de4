"""Watch FAN_FS_ERROR on every mounted filesystem: inode, generation, path and errno of each error.

The kernel merges errors of one process while an event is queued and keeps only the first inode, so the queue is drained
at once and `error_count > 1` becomes `others_unknown`, but for an XFS whose health monitor names every error.
"""

import asyncio
import errno
import logging
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from fsmend_agent.errors import DecodeError
from fsmend_agent.event import text, undecoded
from fsmend_agent.kernel import fanotify
from fsmend_agent.kernel.fanotify import FsError, QueueOverflow
from fsmend_agent.sources import Source, SourceUnavailableError, Watch
from fsmend_agent.sources._losses import Losses
from fsmend_agent.sources._paths import PathResolver, Wanted
from fsmend_agent.sources._units import Units
from fsmend_proto.v1 import event_pb2 as pb
from fsmend_proto.v1 import inventory_pb2, record_pb2

if TYPE_CHECKING:
    from fsmend_agent.filesystems import MountedFilesystem

log = logging.getLogger(__name__)

_Event = pb.Event  # a look-up less for each of a storm's records

READS_PER_TURN = 4
MAX_PATTERNS = 512
_I32_MAX = 2**31 - 1
# Filesystems that cannot be named by fsid and handle; nothing is lost by not marking them.
_CANNOT = frozenset({errno.ENODEV, errno.EXDEV, errno.EOPNOTSUPP})

_KINDS: dict[int, tuple["pb.EventKind.ValueType", "pb.Severity.ValueType"]] = {
    errno.EUCLEAN: (pb.EVENT_KIND_FS_METADATA_CORRUPTION, pb.SEVERITY_ERROR),
    errno.EBADMSG: (pb.EVENT_KIND_FS_METADATA_CORRUPTION, pb.SEVERITY_ERROR),
    errno.EIO: (pb.EVENT_KIND_FS_IO_ERROR, pb.SEVERITY_ERROR),
    errno.ENOSPC: (pb.EVENT_KIND_FS_SPACE, pb.SEVERITY_WARNING),
    errno.ESHUTDOWN: (pb.EVENT_KIND_FS_SHUTDOWN, pb.SEVERITY_CRITICAL),
    errno.EROFS: (pb.EVENT_KIND_FS_READ_ONLY, pb.SEVERITY_CRITICAL),
}
_ANY_KIND = (pb.EVENT_KIND_FS_ERROR, pb.SEVERITY_ERROR)


class FanotifySource(Source):
    """FAN_FS_ERROR."""

    name = "fanotify"
    covers = "errors of ext4 (Linux 5.16), XFS and iomap (7.0), btrfs and f2fs (7.1) with inode and errno"

    def __init__(self, watch: Watch) -> None:
        super().__init__(watch)
        self._patterns: dict[tuple[object, ...], pb.Event] = {}
        self._pattern_clocks: pb.Clocks | None = None
        self._refused: set[MountedFilesystem] = set()

    @classmethod
    def probe(cls) -> inventory_pb2.Capability:
        """Say whether a group can be made; which filesystems report follows from the kernel's version."""
        try:
            os.close(fanotify.init())
        except OSError as error:
            return inventory_pb2.Capability(name="source.fanotify", available=False, reason=str(error))
        return inventory_pb2.Capability(name="source.fanotify", available=True, reason=cls.covers)

    async def run(self) -> None:
        """Mark what is mounted, follow the mount table, and drain the queue until cancelled."""
        try:
            group = fanotify.init()
        except OSError as error:
            raise SourceUnavailableError(f"fanotify_init: {error.strerror}") from error
        loop = asyncio.get_running_loop()
        broken: asyncio.Future[None] = loop.create_future()
        units, losses = Units(self.watch), Losses(self.watch.gap, self._overflow)
        paths = PathResolver(self.watch.emit)

        def drain() -> None:
            try:
                self._drain(group, units, losses, paths)
            except Exception as error:  # supervisor: what a callback meets ends its source, not more  # noqa: BLE001
                if not broken.done():
                    broken.set_exception(error)

        def changed(added: "frozenset[MountedFilesystem]", removed: "frozenset[MountedFilesystem]") -> None:
            self._patterns.clear()
            if removed or not added:
                paths.forget()
            self._refused -= removed
            # All of them: one that was unmounted and mounted again in between reads the same, and its mark is gone.
            for filesystem in self.watch.filesystems:
                self._mark(group, filesystem)

        unsubscribe = self.watch.filesystems.subscribe(changed)
        try:
            self._refused.clear()
            changed(frozenset(self.watch.filesystems), frozenset())
            loop.add_reader(group, drain)
            await broken
        finally:
            unsubscribe()
            loop.remove_reader(group)
            os.close(group)
            paths.close()
            losses.close()
            units.close()

    def replay(self, raw: bytes) -> Iterator[pb.Event]:
        """Convert what one read gave."""
        units = Units(self.watch)
        clocks = self.watch.clock.now()
        try:
            for record in fanotify.decode(raw):
                if isinstance(record, FsError):
                    yield self._convert(record, units, clocks)
        except DecodeError as error:
            yield undecoded("fanotify", clocks, "fanotify", error.raw, error.reason)
        finally:
            units.close()

    def _mark(self, group: int, filesystem: "MountedFilesystem") -> None:
        """Ask for the errors of a filesystem; say so, once, when that is refused."""
        failed: OSError | None = None
        for mount_point in filesystem.mount_points:
            try:
                fanotify.mark_filesystem(group, mount_point)
            except OSError as error:
                failed = error
            else:
                self._refused.discard(filesystem)
                return
        if failed is None or failed.errno in _CANNOT or filesystem in self._refused:
            return
        self._refused.add(filesystem)
        log.warning("no errors will be reported of %s: %s", filesystem, failed)
        gap = self._gap(record_pb2.GAP_REASON_NOT_WATCHED, f"fanotify_mark: {failed.strerror}")
        gap.filesystem.CopyFrom(filesystem.ref())
        self.watch.gap(gap)

    def _drain(self, group: int, units: Units, losses: Losses, paths: PathResolver) -> None:
        for _ in range(READS_PER_TURN):
            try:
                data = os.read(group, fanotify.READ_BYTES)
            except BlockingIOError:
                return
            clocks = self.watch.clock.now()
            try:
                for record in fanotify.decode(data):
                    if isinstance(record, QueueOverflow):
                        losses.add(0, is_exact=False)
                    else:
                        self._send(record, units, clocks, paths)
            except DecodeError as error:
                self.watch.emit(undecoded("fanotify", clocks, "fanotify", error.raw, error.reason))

    def _send(self, record: FsError, units: Units, clocks: pb.Clocks, paths: PathResolver) -> None:
        event = self._convert(record, units, clocks)
        filesystem = self.watch.filesystems.by_fsid(record.fsid)
        if filesystem is not None and self._is_monitored(filesystem):
            event.others_unknown = False  # XFS's own monitor names each of them
        if filesystem is None or record.is_superblock:
            self.watch.emit(event)
        else:
            paths.add(Wanted(event, filesystem, record.handle_type, record.handle))

    def _is_monitored(self, filesystem: "MountedFilesystem") -> bool:
        """Say whether XFS's own monitor watches it; that of a UUID is not its clone's."""
        uuid = filesystem.uuid
        return uuid in self.watch.xfs_monitored and self.watch.filesystems.by_uuid(uuid) is not None

    def _convert(self, record: FsError, units: Units, clocks: pb.Clocks) -> pb.Event:
        """Make the event of a record. What a storm's records share is made once a read and copied: it takes half."""
        if clocks is not self._pattern_clocks:
            self._patterns.clear()
            self._pattern_clocks = clocks
        fsid, handle_type, handle, ino, generation, root, error, error_count, pid = record
        key = (fsid, handle_type, error, error_count, pid, ino is None)
        pattern = self._patterns.get(key)
        if pattern is None:
            pattern = self._keep_pattern(key, self._pattern(record, units, clocks))
        event = _Event()
        event.CopyFrom(pattern)
        event.fanotify.handle = handle
        if ino is not None and generation is not None:  # and so not the superblock's: its handle has none
            inode = event.inode
            inode.ino = ino
            inode.generation = generation
            if root is not None:
                inode.subvolume = root
        return event

    def _keep_pattern(self, key: tuple[object, ...], pattern: pb.Event) -> pb.Event:
        if len(self._patterns) >= MAX_PATTERNS:
            self._patterns.clear()
        self._patterns[key] = pattern
        return pattern

    def _pattern(self, record: FsError, units: Units, clocks: pb.Clocks) -> pb.Event:
        """Make what an event shares with all others of the same filesystem, errno, process and count."""
        is_superblock = record.is_superblock
        kind, severity = _KINDS.get(record.error, _ANY_KIND)
        error = min(record.error, _I32_MAX)
        name = errno.errorcode.get(error, f"errno {error}")
        where = "superblock" if is_superblock else "inode"
        pattern = pb.Event(
            source="fanotify",
            kind=kind,
            severity=severity,
            clocks=clocks,
            count=max(1, record.error_count),
            errno=error,
            message=text(f"filesystem error in {where}: {os.strerror(error)} ({name})"),
            signature=f"fs_error {where} {name}",
            others_unknown=record.error_count > 1,
            fanotify=pb.FanotifyDetail(
                superblock=is_superblock,
                error_count=record.error_count,
                handle_type=record.handle_type & 0xFFFFFFFF,
                pid=record.pid,
            ),
        )
        if record.inode is not None:
            pattern.inode.generation_known = True
        units.by_fsid(record.fsid).put_into(pattern)
        return pattern

    def _overflow(self, lost: int, is_exact: bool) -> record_pb2.Gap:
        del lost, is_exact  # the kernel does not count them
        return self._gap(record_pb2.GAP_REASON_KERNEL_OVERFLOW, "the fanotify queue overflowed")

    def _gap(self, reason: "record_pb2.GapReason.ValueType", message: str) -> record_pb2.Gap:
        return record_pb2.Gap(reason=reason, clocks=self.watch.clock.now(), source="fanotify", message=text(message))
