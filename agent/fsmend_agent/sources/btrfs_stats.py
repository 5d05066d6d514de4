"""Read the error counters that btrfs keeps of each device; on disk, exact, and only reset by hand.

Reads that were corrected from another copy count too, so a delta says that this device's copy was bad, not that data
is lost.
"""

import asyncio
import os
import struct
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from fsmend_agent import sysfs
from fsmend_agent.event import new_event, text, undecoded
from fsmend_agent.kernel import btrfs
from fsmend_agent.kernel.btrfs import DeviceStats
from fsmend_agent.sources import Source, Watch
from fsmend_agent.sources._paths import open_mounted
from fsmend_agent.sources._polling import Polling
from fsmend_agent.sources._units import Unit, Units
from fsmend_proto.v1 import event_pb2 as pb
from fsmend_proto.v1 import inventory_pb2

if TYPE_CHECKING:
    from fsmend_agent.filesystems import MountedFilesystem

SYSFS = Path("/sys/fs/btrfs")
MAX_KNOWN = 4096
_STATS = struct.Struct("=QQQ5Q")
_STATS_BYTES = 1032

_IO = ("write_errors", "read_errors", "flush_errors")
_CORRUPTION = ("corruption_errors", "generation_errors")


class Reading(NamedTuple):
    """One device of a filesystem, as read."""

    devid: int
    path: bytes
    is_missing: bool
    stats: DeviceStats | None


class BtrfsStatsSource(Source):
    """BTRFS_IOC_GET_DEV_STATS and missing devices."""

    name = "btrfs_stats"
    covers = "exact counts of write, read, flush, checksum and generation errors of each btrfs device, missing devices"

    def __init__(self, watch: Watch) -> None:
        super().__init__(watch)
        self._known: dict[tuple[str, int], DeviceStats] = {}
        self._missing: set[tuple[str, int]] = set()
        self._polling: Polling | None = None

    @classmethod
    def probe(cls) -> inventory_pb2.Capability:
        """Say whether this kernel has btrfs: the folder appears with the module."""
        available = SYSFS.is_dir()
        reason = cls.covers if available else f"{SYSFS} does not exist: no btrfs in this kernel yet"
        return inventory_pb2.Capability(name="source.btrfs_stats", available=available, reason=reason)

    def poke(self, filesystem_uuid: str) -> None:
        """Look at a filesystem soon."""
        if self._polling is not None:
            self._polling.poke(filesystem_uuid)

    async def run(self) -> None:
        """Read at the interval, at every change of the mount table, and when poked."""
        self._polling = polling = Polling(self.watch.config.btrfs_stats_interval_seconds)
        units = Units(self.watch)
        try:
            async with aclosing(polling.filesystems(self.watch.filesystems, "btrfs")) as due:
                async for filesystem in due:
                    for reading in await asyncio.to_thread(read_devices, filesystem):
                        self._take(filesystem, reading, units)
        finally:
            self._polling = None
            units.close()

    def replay(self, raw: bytes) -> Iterator[pb.Event]:
        """Convert the 1,032 bytes of one GET_DEV_STATS."""
        clocks = self.watch.clock.now()
        if len(raw) != _STATS_BYTES:
            yield undecoded("btrfs_stats", clocks, "btrfs device statistics", raw, "not 1032 bytes")
            return
        devid, _items, _flags, *values = _STATS.unpack_from(raw)
        stats = DeviceStats(devid, *values)
        if any(values):
            yield from to_events(None, stats, Unit(None, None), clocks)

    def _take(self, filesystem: "MountedFilesystem", reading: Reading, units: Units) -> None:
        """Compare a reading with the last one of the same device."""
        key = (filesystem.uuid, reading.devid)
        device = units.by_name(os.fsdecode(reading.path)).device if reading.path else None
        unit = Unit(filesystem.ref(), device)
        if reading.is_missing != (key in self._missing):
            self._missing ^= {key}
            self.watch.emit(presence_event(reading, unit, self.watch.clock.now()))
        if reading.stats is None:
            return
        known = self._known.pop(key, None)
        self._known[key] = reading.stats
        if len(self._known) > MAX_KNOWN:
            del self._known[next(iter(self._known))]
        for event in to_events(known, reading.stats, unit, self.watch.clock.now()):
            self.watch.emit(event)


def read_devices(filesystem: "MountedFilesystem") -> list[Reading]:
    """Read every device of a btrfs; nothing when it cannot be reached (any more). Blocks."""
    opened = open_mounted(filesystem)
    if opened is None:
        return []
    fd, _mount_point = opened
    try:
        return [_read_device(fd, filesystem.uuid, info) for info in btrfs.devices(fd)]
    except OSError:
        return []  # unmounted or shut down meanwhile; other sources say so
    finally:
        os.close(fd)


def _read_device(fd: int, uuid: str, info: btrfs.DeviceInfo) -> Reading:
    is_missing = sysfs.read_int(SYSFS / uuid / f"devinfo/{info.device_id}/missing") == 1
    try:
        stats = btrfs.device_stats(fd, info.device_id)
    except OSError:  # ENODEV: it went away between the two calls
        stats = None
    return Reading(info.device_id, info.path, is_missing, stats)


def to_events(known: DeviceStats | None, now: DeviceStats, unit: Unit, clocks: pb.Clocks) -> Iterator[pb.Event]:
    """Yield the events of a reading: one for I/O errors, one for bad content, each with its exact count.

    What the first reading finds is from before the agent and counts as one finding, since each start sees it again.
    """
    is_before = known is None
    for names in (_IO, _CORRUPTION):
        added = {name: _added(known, now, name) for name in names}
        if any(added.values()):
            yield _to_event(added, now, unit, clocks, is_before=is_before)


def _added(known: DeviceStats | None, now: DeviceStats, name: str) -> int:
    """Return by how much a counter grew; one that fell was reset, and all of it is new."""
    before = 0 if known is None else int(getattr(known, name))
    value = int(getattr(now, name))
    return value - before if value >= before else value


def _to_event(added: dict[str, int], now: DeviceStats, unit: Unit, clocks: pb.Clocks, *, is_before: bool) -> pb.Event:
    words = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in added.items() if count)
    event = new_event(
        "btrfs_stats",
        _kind(added),
        pb.SEVERITY_WARNING if is_before else pb.SEVERITY_ERROR,
        clocks,
        message=f"device {now.device_id}: {words}{' from before the agent' if is_before else ''}",
        signature=f"btrfs_device {now.device_id} {' '.join(name for name, count in added.items() if count)}",
    )
    event.count = 1 if is_before else min(sum(added.values()), 2**64 - 1)
    event.others_unknown = True
    unit.put_into(event)
    detail = event.btrfs_device
    detail.devid, detail.before_agent = now.device_id, is_before
    for name in (*_IO, *_CORRUPTION):
        setattr(detail.total, name, getattr(now, name))
    for name, count in added.items():
        setattr(detail.added, name, count)
    return event


def _kind(added: dict[str, int]) -> "pb.EventKind.ValueType":
    """Return the worst that grew: a stale generation is always metadata, a checksum may be either."""
    if added.get("generation_errors"):
        return pb.EVENT_KIND_FS_METADATA_CORRUPTION
    if added.get("corruption_errors"):
        return pb.EVENT_KIND_FS_DATA_CORRUPTION
    return pb.EVENT_KIND_FS_IO_ERROR


def presence_event(reading: Reading, unit: Unit, clocks: pb.Clocks) -> pb.Event:
    """Say that a device of a filesystem went missing, or is back."""
    what = "is missing" if reading.is_missing else "is back"
    event = new_event(
        "btrfs_stats",
        pb.EVENT_KIND_DEVICE_GONE if reading.is_missing else pb.EVENT_KIND_DEVICE_ADDED,
        pb.SEVERITY_CRITICAL if reading.is_missing else pb.SEVERITY_NOTICE,
        clocks,
        message=f"device {reading.devid} {text(reading.path)} {what}",
        signature=f"btrfs_device {reading.devid} {what}",
    )
    unit.put_into(event)
    event.btrfs_device.devid = reading.devid
    return event
