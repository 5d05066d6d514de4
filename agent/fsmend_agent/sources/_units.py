"""Say which filesystem and which device a kernel record is about; shared by the sources, itself none.

Answers are kept for a moment: a storm asks for the same few units thousands of times a second, and each device look-up
reads sysfs. What was unmounted stays known for some minutes, because records arrive late.
"""

import asyncio
import os
import stat
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from fsmend_agent import sysfs
from fsmend_proto.v1 import event_pb2 as pb

if TYPE_CHECKING:
    from fsmend_agent.filesystems import MountedFilesystem
    from fsmend_agent.sources import Watch

KEEP_SECONDS = 2.0
"""How long an answer is given again without looking."""

RECENT_SECONDS = 300.0
"""How long an unmounted filesystem can still be named."""

SETTLE_SECONDS = 0.4
"""How long an event waits for its filesystem to appear: a mount may fail its first reads before the table knows it."""

MAX_KEPT = 1024
MAX_WAITING = 256


class Unit(NamedTuple):
    """A filesystem and a device; None for what the record does not tell."""

    filesystem: pb.FilesystemRef | None
    device: pb.DeviceRef | None

    def put_into(self, event: pb.Event) -> None:
        """Name both in `event`."""
        if self.filesystem is not None:
            event.filesystem.CopyFrom(self.filesystem)
        if self.device is not None:
            event.device.CopyFrom(self.device)


class _Gone(NamedTuple):
    """A filesystem that was unmounted, with its device as it was then."""

    until: float
    filesystem: "MountedFilesystem"
    device: pb.DeviceRef | None


class Units:
    """Look-ups over a watch's tables, on the event loop's thread.

    Args:
        watch: whose tables to ask.
        monotonic: seconds that never go back.
    """

    def __init__(self, watch: "Watch", monotonic: Callable[[], float] = time.monotonic) -> None:
        self._filesystems = watch.filesystems
        self._devices = watch.devices
        self._emit = watch.emit
        self._monotonic = monotonic
        self._kept: dict[object, tuple[float, Unit]] = {}
        self._disks: dict[str, tuple[float, list[tuple[int, int, str]]]] = {}
        self._device_of: dict[MountedFilesystem, pb.DeviceRef | None] = {}
        self._gone: deque[_Gone] = deque(maxlen=MAX_KEPT)
        self._waiting: list[pb.Event] = []
        self._timer: asyncio.TimerHandle | None = None
        self._table_changed(frozenset(watch.filesystems), frozenset())
        self._unsubscribe = watch.filesystems.subscribe(self._table_changed)

    def close(self) -> None:
        """Stop following the table, and let go what still waits for its filesystem."""
        self._unsubscribe()
        self._release()

    def by_name(self, name: str) -> Unit:
        """Return the unit on a device, by its kernel name or its path in /dev."""
        return self._keep(("name", name), lambda: self._look_up_name(name))

    def by_filesystem(self, name: str) -> Unit:
        """Return the filesystem that goes by a device's name; no device when it has several that may be at fault."""
        return self._keep(("filesystem", name), lambda: self._look_up_filesystem(name))

    def by_number(self, major: int, minor: int) -> Unit:
        """Return the unit on a device, by its number; for btrfs that is the superblock's number."""
        return self._keep((major, minor), lambda: self._look_up_number(major, minor))

    def by_fsid(self, fsid: str) -> Unit:
        """Return the unit with this f_fsid; of an unknown one at least the fsid."""
        return self._keep(("fsid", fsid), lambda: self._look_up_fsid(fsid))

    def at_sector(self, unit: Unit, sector: int) -> Unit:
        """Name the filesystem of the partition that holds `sector`: the block layer only names the whole disk."""
        if unit.filesystem is not None or unit.device is None:
            return unit
        for start, end, name in self._partitions(unit.device.name):
            if start <= sector < end:
                return Unit(self.by_name(name).filesystem, unit.device)
        return unit

    def emit(self, event: pb.Event) -> None:
        """Send an event; one whose filesystem is not in the table yet waits for it a moment."""
        ref = event.filesystem
        if ref.uuid or not ref.device_name or len(self._waiting) >= MAX_WAITING:
            self._emit(event)
            return
        self._waiting.append(event)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(SETTLE_SECONDS, self._release)

    def _release(self) -> None:
        """Send what waited, with its filesystem if that is known by now."""
        waiting, self._waiting = self._waiting, []
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for event in waiting:
            known = self.by_name(event.filesystem.device_name)
            if known.filesystem is not None:
                event.filesystem.CopyFrom(known.filesystem)
            self._emit(event)

    def _keep(self, key: object, look_up: Callable[[], Unit]) -> Unit:
        now = self._monotonic()
        kept = self._kept.get(key)
        if kept is None or kept[0] < now:
            if len(self._kept) >= MAX_KEPT:
                self._kept.clear()
            kept = self._kept[key] = (now + KEEP_SECONDS, look_up())
        return kept[1]

    def _look_up_name(self, name: str) -> Unit:
        device = self._devices.by_name(_kernel_name(name))
        filesystem = self._filesystems.by_name(device.name)
        if filesystem is None and (gone := self._recent(lambda one: device.name in one.device_names)):
            return Unit(gone.filesystem.ref(), device if device.id else gone.device)
        return Unit(None if filesystem is None else filesystem.ref(), device)

    def _look_up_filesystem(self, name: str) -> Unit:
        kernel_name = _kernel_name(name)
        filesystem = self._filesystems.by_name(kernel_name)
        if filesystem is not None:
            return Unit(filesystem.ref(), self._device_of.get(filesystem))
        gone = self._recent(lambda one: kernel_name in one.device_names)
        return Unit(gone.filesystem.ref(), gone.device) if gone else Unit(None, self._devices.by_name(kernel_name))

    def _look_up_number(self, major: int, minor: int) -> Unit:
        device = self._devices.by_number(major, minor)
        filesystem = self._filesystems.by_device(major, minor)
        if filesystem is None:
            number = (major, minor)
            gone = self._recent(lambda one: number == (one.major, one.minor) or number in one.device_numbers)
            return Unit(gone.filesystem.ref(), device if device.id else gone.device) if gone else Unit(None, device)
        return Unit(filesystem.ref(), device if device.name else self._device_of.get(filesystem))

    def _look_up_fsid(self, fsid: str) -> Unit:
        filesystem = self._filesystems.by_fsid(fsid)
        if filesystem is not None:
            return Unit(filesystem.ref(), self._device_of.get(filesystem))
        gone = None
        if not self._filesystems.with_fsid(fsid):
            gone = self._recent(lambda one: fsid == one.fsid or fsid in one.fsids)
        return Unit(gone.filesystem.ref(), gone.device) if gone else Unit(pb.FilesystemRef(fsid=fsid), None)

    def _recent(self, matches: "Callable[[MountedFilesystem], bool]") -> _Gone | None:
        """Return the filesystem that left last among those that match."""
        now = self._monotonic()
        return next((gone for gone in reversed(self._gone) if gone.until > now and matches(gone.filesystem)), None)

    def _table_changed(self, added: "frozenset[MountedFilesystem]", removed: "frozenset[MountedFilesystem]") -> None:
        self._kept.clear()
        until = self._monotonic() + RECENT_SECONDS
        for filesystem in removed:
            self._gone.append(_Gone(until, filesystem, self._device_of.pop(filesystem, None)))
        for filesystem in added:
            # What XFS reports is about its data device, the first; of a btrfs of several any may be meant.
            names = filesystem.device_names
            is_clear = len(names) == 1 or (names and filesystem.type != "btrfs")
            self._device_of[filesystem] = self._devices.by_name(names[0]) if is_clear else None
        self._release()

    def _partitions(self, disk: str) -> list[tuple[int, int, str]]:
        """Return first sector, sector after the last, and name of each partition of a disk."""
        now = self._monotonic()
        if (kept := self._disks.get(disk)) is not None and kept[0] >= now:
            return kept[1]
        folder = sysfs.SYSFS / "class/block" / disk
        found = []
        for name in sysfs.names(folder) if disk and "/" not in disk else ():
            if name.startswith(disk) and (size := sysfs.read_int(folder / name / "size")):
                start = sysfs.read_int(folder / name / "start")
                found.append((start, start + size, name))
        if len(self._disks) >= MAX_KEPT:
            self._disks.clear()
        self._disks[disk] = (now + KEEP_SECONDS, found)
        return found


def _kernel_name(name: str) -> str:
    """Return the kernel's name of a device: btrfs logs the path it was opened by, /dev/mapper/vg-lv say."""
    short = name.removeprefix("/dev/")
    if short == name or "/" not in short or ".." in short:
        return short
    try:
        status = os.stat(name)  # noqa: PTH116  no Path is needed for one number
    except (OSError, ValueError):
        return short
    if not stat.S_ISBLK(status.st_mode):
        return short
    return sysfs.device_name(os.major(status.st_rdev), os.minor(status.st_rdev)) or short
