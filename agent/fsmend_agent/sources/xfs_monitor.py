"""Follow XFS's health monitor (Linux 7.0): health, media and file I/O errors as they happen, instead of polling.

The kernel has one monitor a mount. Where xfs_healer(8) has it, the mount is left to it: xfs_health goes on polling
there, and this source says so. What the kernel lost, and what was sick before the monitor began, is read by one poll.
"""

import asyncio
import errno
import os
import re
import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fsmend_agent.coverage import HEALTH_MONITOR, kernel_version
from fsmend_agent.errors import DecodeError
from fsmend_agent.event import new_event, undecoded
from fsmend_agent.kernel import xfs_monitor, xfs_scrub
from fsmend_agent.kernel.xfs_monitor import EventType, MonitorEvent
from fsmend_agent.sources import Source, SourceUnavailableError, Watch
from fsmend_agent.sources._losses import Losses
from fsmend_agent.sources._monitor_events import SOURCE, to_monitor_events
from fsmend_agent.sources._paths import PathResolver, Wanted, open_mounted
from fsmend_agent.sources._units import Unit, Units
from fsmend_agent.sources._xfs_poll import Change, Poll
from fsmend_agent.sources.xfs_health import WALK_SECONDS, look, to_events
from fsmend_proto.v1 import event_pb2 as pb
from fsmend_proto.v1 import inventory_pb2, record_pb2

if TYPE_CHECKING:
    from fsmend_agent.filesystems import MountedFilesystem

RETRY_SECONDS = 60.0
"""How often it asks again for a mount that somebody else monitors, and looks for losses that no event told."""

READ_BYTES = 64 * xfs_monitor.EVENT_BYTES
READS_PER_TURN = 4
_LOST = re.compile(rb"^lost:\s*(\d+)", re.MULTILINE)
_FILEID_INO64_GEN = 0x81
_HANDLE = struct.Struct("=QI")


@dataclass(slots=True)
class Monitor:
    """One mount that is monitored.

    Attributes:
        lost: the losses that were told.
        lost_by_events: those that came as events; the descriptor counts them as well, often before.
        is_stale: all masks are to be read.
        reading: whoever reads them.
    """

    fd: int
    filesystem: "MountedFilesystem"
    lost: int = 0
    lost_by_events: int = 0
    is_stale: bool = False
    reading: asyncio.Task[None] | None = None


class XfsMonitorSource(Source):
    """XFS_IOC_HEALTH_MONITOR on every mounted XFS."""

    name = "xfs_monitor"
    covers = "metadata, media and file I/O errors of XFS as they happen (Linux 7.0)"

    def __init__(self, watch: Watch) -> None:
        super().__init__(watch)
        self._monitors: dict[str, Monitor] = {}
        self._deferred: set[str] = set()
        self._looking = asyncio.Lock()

    @classmethod
    def probe(cls) -> inventory_pb2.Capability:
        """Say whether the kernel is new enough: to try would take the monitor from whoever has it."""
        available = kernel_version(os.uname().release) >= HEALTH_MONITOR
        reason = cls.covers if available else "needs Linux 7.0; until then health is polled"
        return inventory_pb2.Capability(name="source.xfs_monitor", available=available, reason=reason)

    async def run(self) -> None:
        """Monitor what is mounted, follow the mount table, until cancelled."""
        wake = asyncio.Event()
        units, paths = Units(self.watch), PathResolver(self.watch.emit)
        losses = Losses(self.watch.gap, self._gap)

        def changed(added: "frozenset[MountedFilesystem]", removed: "frozenset[MountedFilesystem]") -> None:
            if removed or not added:
                paths.forget()
                self._drop_unmounted()
            wake.set()

        unsubscribe = self.watch.filesystems.subscribe(changed)
        try:
            while True:
                wake.clear()
                self._drop_unmounted()
                for filesystem in list(self.watch.filesystems):
                    if filesystem.type == "xfs" and self._wants(filesystem):
                        await self._arm(filesystem, units, paths, losses)
                for monitor in list(self._monitors.values()):
                    await self._look_for_losses(monitor, units, losses)
                with suppress(TimeoutError):
                    async with asyncio.timeout(RETRY_SECONDS):
                        await wake.wait()
        finally:
            unsubscribe()
            for uuid in list(self._monitors):
                self._drop(uuid)
            paths.close()
            losses.close()
            units.close()

    def replay(self, raw: bytes) -> Iterator[pb.Event]:
        """Convert what one read gave."""
        clocks, poll = self.watch.clock.now(), Poll()
        try:
            for record in xfs_monitor.decode_monitor_events(raw):
                yield from to_monitor_events(record, poll, Unit(None, None), clocks)
        except DecodeError as error:
            yield undecoded(SOURCE, clocks, SOURCE, error.raw, error.reason)

    def _wants(self, filesystem: "MountedFilesystem") -> bool:
        """Say whether a filesystem is to be monitored and is not: a clone is not, masks of the two would mix."""
        uuid = filesystem.uuid
        return uuid not in self._monitors and self.watch.filesystems.by_uuid(uuid) is not None

    async def _arm(self, filesystem: "MountedFilesystem", units: Units, paths: PathResolver, losses: Losses) -> None:
        """Begin to monitor a filesystem, and read once what is sick already.

        Raises:
            SourceUnavailableError: this kernel has no monitor.
        """
        try:
            fd = await asyncio.to_thread(open_monitor, filesystem)
        except OSError as error:
            if error.errno == errno.ENOTTY:
                raise SourceUnavailableError("this kernel's XFS has no health monitor: health is polled") from error
            self._defer(filesystem, error)
            return
        self._deferred.discard(filesystem.uuid)
        monitor = self._monitors[filesystem.uuid] = Monitor(fd, filesystem)
        self.watch.xfs_monitored.add(filesystem.uuid)
        asyncio.get_running_loop().add_reader(fd, self._drain, monitor, units, paths, losses)
        self._resynchronise(monitor, units)

    def _defer(self, filesystem: "MountedFilesystem", error: OSError) -> None:
        """Say once that a filesystem is left to polling, and to whom."""
        if filesystem.uuid in self._deferred:
            return
        self._deferred.add(filesystem.uuid)
        who = "another process, such as xfs_healer, has its monitor" if error.errno == errno.EEXIST else str(error)
        message = f"not monitored: {who}; its health is polled"
        event = new_event(
            SOURCE,
            pb.EVENT_KIND_SOURCE_STATE,
            pb.SEVERITY_INFO,
            self.watch.clock.now(),
            message=message,
            signature=f"{SOURCE} deferred",
        )
        event.filesystem.CopyFrom(filesystem.ref())
        event.errno = error.errno or 0
        event.source_state.name, event.source_state.reason = SOURCE, message
        event.source_state.state = pb.SOURCE_STATE_UNAVAILABLE
        self.watch.emit(event)

    def _drain(self, monitor: Monitor, units: Units, paths: PathResolver, losses: Losses) -> None:
        """Read what the kernel tells; the end of the file is the end of the mount."""
        for _ in range(READS_PER_TURN):
            try:
                data = os.read(monitor.fd, READ_BYTES)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self._drop(monitor.filesystem.uuid)
                return
            clocks = self.watch.clock.now()
            try:
                for record in xfs_monitor.decode_monitor_events(data):
                    self._take(record, monitor, units, paths, losses)
            except DecodeError as error:
                self.watch.emit(undecoded(SOURCE, clocks, SOURCE, error.raw, error.reason))

    def _take(self, record: MonitorEvent, monitor: Monitor, units: Units, paths: PathResolver, losses: Losses) -> None:
        """Send the events of one record."""
        if record.type is EventType.LOST:
            monitor.lost_by_events += record.lost
            self._lose(monitor, monitor.lost_by_events, losses)
            self._resynchronise(monitor, units)
            return
        if record.type is EventType.UNMOUNT:
            asyncio.get_running_loop().call_soon(self._drop, monitor.filesystem.uuid)
            return
        poll = self.watch.xfs_polls.setdefault(monitor.filesystem.uuid, Poll())
        for event in to_monitor_events(record, poll, self._unit(monitor, units), self.watch.clock.now()):
            if event.inode.ino:
                handle = _HANDLE.pack(event.inode.ino, event.inode.generation)
                paths.add(Wanted(event, monitor.filesystem, _FILEID_INO64_GEN, handle))
            else:
                self.watch.emit(event)

    def _resynchronise(self, monitor: Monitor, units: Units) -> None:
        """Read all masks: what was sick before, and what was lost. One walk a mount, however often it is asked for."""
        monitor.is_stale = True
        if monitor.reading is None or monitor.reading.done():
            monitor.reading = asyncio.get_running_loop().create_task(self._read(monitor, units))

    async def _read(self, monitor: Monitor, units: Units) -> None:
        """Look until nothing is left to read, or the mount is gone."""
        uuid = monitor.filesystem.uuid
        poll = self.watch.xfs_polls.setdefault(uuid, Poll())
        loop, unit = asyncio.get_running_loop(), self._unit(monitor, units)

        def send(change: Change) -> None:
            loop.call_soon_threadsafe(self._send, change, unit)

        while self._monitors.get(uuid) is monitor and (monitor.is_stale or poll.next_inode is not None):
            everything, monitor.is_stale = monitor.is_stale, False
            if everything:
                poll.want_inodes()
            async with self._looking:  # one at a time: a disk that hangs must not take more than one thread
                await asyncio.to_thread(look, monitor.filesystem, poll, send, everything=everything)
            if monitor.is_stale or poll.next_inode is not None:
                await asyncio.sleep(WALK_SECONDS)

    def _send(self, change: Change, unit: Unit) -> None:
        """Send what a poll found under this source's name."""
        for event in to_events(change, unit, self.watch.clock.now()):
            event.source = SOURCE
            event.signature = event.signature.replace("xfs_health", SOURCE, 1)
            self.watch.emit(event)

    async def _look_for_losses(self, monitor: Monitor, units: Units, losses: Losses) -> None:
        """Ask the descriptor itself: LOST is only queued when a later event arrives."""
        with suppress(OSError):
            fdinfo = await asyncio.to_thread(Path(f"/proc/self/fdinfo/{monitor.fd}").read_bytes)
            if self._lose(monitor, lost_in(fdinfo), losses):
                self._resynchronise(monitor, units)

    @staticmethod
    def _lose(monitor: Monitor, lost: int, losses: Losses) -> bool:
        """Tell what was not told of so many losses; say whether there was any."""
        more = lost - monitor.lost
        if more > 0:
            losses.add(more, is_exact=True)
            monitor.lost = lost
        return more > 0

    def _unit(self, monitor: Monitor, units: Units) -> Unit:
        filesystem = monitor.filesystem
        unit = units.by_filesystem(filesystem.device_names[0]) if filesystem.device_names else Unit(None, None)
        return Unit(filesystem.ref(), unit.device)

    def _drop_unmounted(self) -> None:
        gone = [uuid for uuid in (*self._monitors, *self._deferred) if not self.watch.filesystems.with_uuid(uuid)]
        for uuid in gone:
            self._drop(uuid)
        self._deferred.difference_update(gone)

    def _drop(self, uuid: str) -> None:
        """Stop monitoring a filesystem; if it is still mounted, it is armed again at the next round."""
        monitor = self._monitors.pop(uuid, None)
        self.watch.xfs_monitored.discard(uuid)
        if monitor is not None:
            if monitor.reading is not None:
                monitor.reading.cancel()
            asyncio.get_running_loop().remove_reader(monitor.fd)
            os.close(monitor.fd)

    def _gap(self, lost: int, is_exact: bool) -> record_pb2.Gap:
        return record_pb2.Gap(
            reason=record_pb2.GAP_REASON_KERNEL_OVERFLOW,
            clocks=self.watch.clock.now(),
            source=SOURCE,
            lost=lost,
            lost_is_exact=is_exact,
            message="XFS lost health events; all masks were read again",
        )


def open_monitor(filesystem: "MountedFilesystem") -> int:
    """Return a monitor of a filesystem. Blocks.

    Raises:
        OSError: ENOTTY, EEXIST; ENOENT when it is not mounted any more.
    """
    opened = open_mounted(filesystem)
    if opened is None:
        raise FileNotFoundError(errno.ENOENT, "not mounted any more", filesystem.uuid)
    fd, _mount_point = opened
    try:
        root = xfs_scrub.open_root(fd)
    finally:
        os.close(fd)
    try:
        return xfs_monitor.open_monitor(root)
    finally:
        os.close(root)


def lost_in(fdinfo: bytes) -> int:
    """Return how many events the monitor lost since it was opened; 0 when it does not say."""
    found = _LOST.search(fdinfo)
    return int(found[1][:18]) if found else 0
