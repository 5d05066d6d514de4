"""Poll the health that XFS keeps in core: the source for XFS before Linux 7.0, and beside it."""

import asyncio
import os
import struct
from collections.abc import Iterator
from contextlib import aclosing
from typing import TYPE_CHECKING

from fsmend_agent.errors import DecodeError
from fsmend_agent.event import new_event, undecoded
from fsmend_agent.kernel import xfs
from fsmend_agent.kernel.xfs_health import HealthDomain, names
from fsmend_agent.sources import Source, Watch
from fsmend_agent.sources._paths import open_mounted
from fsmend_agent.sources._polling import Polling
from fsmend_agent.sources._units import Unit, Units
from fsmend_agent.sources._xfs_poll import Change, Place, Poll
from fsmend_proto.v1 import event_pb2 as pb
from fsmend_proto.v1 import inventory_pb2

if TYPE_CHECKING:
    from collections.abc import Callable

    from fsmend_agent.filesystems import MountedFilesystem

WALK_SECONDS = 1.0
"""Time between two portions of a walk over the inodes."""

_SCOPES: dict[HealthDomain, "pb.XfsScope.ValueType"] = {
    HealthDomain.FS: pb.XFS_SCOPE_FS,
    HealthDomain.AG: pb.XFS_SCOPE_AG,
    HealthDomain.RTGROUP: pb.XFS_SCOPE_RTGROUP,
    HealthDomain.INODE: pb.XFS_SCOPE_INODE,
}
_GEOMETRY_BYTES, _AG_BYTES = 256, 128
_ONE = struct.pack("=I", 1)
_FS_MASKS = struct.Struct("=112xII")
_AG_MASKS = struct.Struct("=I16xII")


class XfsHealthSource(Source):
    """Sick and checked masks of filesystem, groups and inodes."""

    name = "xfs_health"
    covers = "metadata that XFS met as corrupt: filesystem, allocation and realtime groups, inodes; and healed again"

    def __init__(self, watch: Watch) -> None:
        super().__init__(watch)
        self._polls = watch.xfs_polls
        self._poked: set[str] = set()
        self._polling: Polling | None = None

    @classmethod
    def probe(cls) -> inventory_pb2.Capability:
        """Say that health can be asked for: every XFS since Linux 5.2 has it."""
        available = os.path.isdir("/sys/fs/xfs")  # noqa: PTH112  one constant path
        reason = cls.covers if available else "/sys/fs/xfs does not exist: no XFS in this kernel yet"
        return inventory_pb2.Capability(name="source.xfs_health", available=available, reason=reason)

    def poke(self, filesystem_uuid: str) -> None:
        """Look at a filesystem soon, at its inodes as well."""
        if self._polling is not None and any(
            filesystem.type == "xfs" for filesystem in self.watch.filesystems.with_uuid(filesystem_uuid)
        ):
            self._poked.add(filesystem_uuid)
            self._polling.poke(filesystem_uuid)

    async def run(self) -> None:
        """Poll until cancelled."""
        self._polling = polling = Polling(self.watch.config.xfs_health_interval_seconds)
        units = Units(self.watch)
        unsubscribe = self.watch.filesystems.subscribe(self._forget)
        timers: dict[str, asyncio.TimerHandle] = {}
        try:
            async with aclosing(polling.filesystems(self.watch.filesystems, "xfs")) as due:
                async for filesystem in due:
                    if await self._look(filesystem, units):
                        uuid = filesystem.uuid
                        timers[uuid] = asyncio.get_running_loop().call_later(WALK_SECONDS, polling.poke, uuid)
        finally:
            self._polling = None
            for timer in timers.values():
                timer.cancel()
            unsubscribe()
            units.close()

    def replay(self, raw: bytes) -> Iterator[pb.Event]:
        """Convert the answer of FSGEOMETRY (256 bytes), AG_GEOMETRY (128) or BULKSTAT (more)."""
        clocks = self.watch.clock.now()
        try:
            for change in changes_in(raw):
                yield from to_events(change, Unit(None, None), clocks)
        except DecodeError as error:
            yield undecoded("xfs_health", clocks, "xfs health", error.raw, error.reason)

    def _forget(self, _added: "frozenset[MountedFilesystem]", removed: "frozenset[MountedFilesystem]") -> None:
        """Forget what was unmounted; what only changed its mounts is still in the table."""
        for filesystem in removed:
            if not self.watch.filesystems.with_uuid(filesystem.uuid):
                self._polls.pop(filesystem.uuid, None)
                self._poked.discard(filesystem.uuid)

    async def _look(self, filesystem: "MountedFilesystem", units: Units) -> bool:
        """Look at one filesystem and send what changed; tell whether a walk over its inodes goes on."""
        if self.watch.filesystems.by_uuid(filesystem.uuid) is None:
            return False  # a clone: masks of the two would mix
        if filesystem.uuid in self.watch.xfs_monitored:
            return False  # the kernel's monitor tells of it
        poll = self._polls.setdefault(filesystem.uuid, Poll())
        is_poked = filesystem.uuid in self._poked
        self._poked.discard(filesystem.uuid)
        if is_poked:
            poll.want_inodes()
        unit = units.by_filesystem(filesystem.device_names[0]) if filesystem.device_names else Unit(None, None)
        unit = Unit(filesystem.ref(), unit.device)
        loop = asyncio.get_running_loop()

        def send(change: Change) -> None:
            loop.call_soon_threadsafe(self._send, change, unit)

        await asyncio.to_thread(look, filesystem, poll, send, everything=is_poked)
        return poll.next_inode is not None

    def _send(self, change: Change, unit: Unit) -> None:
        for event in to_events(change, unit, self.watch.clock.now()):
            self.watch.emit(event)


def look(filesystem: "MountedFilesystem", poll: Poll, send: "Callable[[Change], None]", *, everything: bool) -> None:
    """Open a filesystem for the moment of a look and send each change as it is found. Blocks."""
    opened = open_mounted(filesystem)
    if opened is None:
        return
    fd, mount_point = opened
    try:
        with poll.lock:
            for change in poll.look(fd, mount_point, everything=everything):
                send(change)
    except OSError:
        poll.next_inode = None  # EIO of a filesystem that shut down, ENOTTY of an old kernel: the kernel log says more
    finally:
        os.close(fd)


def to_events(change: Change, unit: Unit, clocks: pb.Clocks) -> Iterator[pb.Event]:
    """Yield the event of what became sick, and the one of what became healthy."""
    if change.became_sick:
        yield _to_event(change, change.became_sick, unit, clocks, is_sick=True)
    if change.became_healthy:
        yield _to_event(change, change.became_healthy, unit, clocks, is_sick=False)


def _to_event(change: Change, mask: int, unit: Unit, clocks: pb.Clocks, *, is_sick: bool) -> pb.Event:
    domain, number = change.place
    where = "filesystem" if domain is HealthDomain.FS else f"{domain.value} {number}"
    words = " ".join(names(domain, mask))
    state = "sick" if is_sick else "healthy again"
    event = new_event(
        "xfs_health",
        pb.EVENT_KIND_FS_METADATA_CORRUPTION if is_sick else pb.EVENT_KIND_FS_HEALTHY,
        pb.SEVERITY_ERROR if is_sick else pb.SEVERITY_NOTICE,
        clocks,
        message=f"{where}: {words} {state}",
        signature=f"xfs_health {domain.value} {words} {state}",
    )
    unit.put_into(event)
    detail = event.xfs_health
    detail.scope = _SCOPES[domain]
    detail.sick, detail.checked = change.sick, change.checked
    detail.became_sick = mask if is_sick else 0
    detail.became_healthy = 0 if is_sick else mask
    detail.sick_names.extend(names(domain, change.sick))
    if domain is HealthDomain.INODE:
        event.inode.ino = number
        event.inode.generation, event.inode.generation_known = change.generation, True
        event.inode.path = change.path
    elif domain is not HealthDomain.FS:
        detail.number = number
    return event


def changes_in(raw: bytes) -> Iterator[Change]:
    """Yield what a captured answer shows as sick.

    Raises:
        DecodeError: it is none of the three answers.
    """
    # A bulkstat of one inode is as long as a geometry; it has that 1 where the other has the length of the log.
    if len(raw) == _GEOMETRY_BYTES and raw[16:20] != _ONE:
        sick, checked = _FS_MASKS.unpack_from(raw)
        found = [(Place(HealthDomain.FS, 0), sick, checked, 0)]
    elif len(raw) == _AG_BYTES:
        number, sick, checked = _AG_MASKS.unpack_from(raw)
        found = [(Place(HealthDomain.AG, number), sick, checked, 0)]
    else:
        inodes, _next = xfs.decode_bulkstat(raw)
        found = [(Place(HealthDomain.INODE, one.inode), one.sick, one.checked, one.generation) for one in inodes]
    for place, sick, checked, generation in found:
        if sick:
            yield Change(place, sick, checked, sick, 0, generation)
