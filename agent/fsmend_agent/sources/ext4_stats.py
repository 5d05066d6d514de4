"""Read the error counters in ext4's superblocks: the truth about how many errors there were, also before the agent.

The kernel log is rate-limited and rings overflow; these counters do neither, so a delta is exact.
"""

import asyncio
import errno
import time
from collections.abc import Iterator
from contextlib import aclosing
from typing import TYPE_CHECKING

from fsmend_agent.event import text, undecoded
from fsmend_agent.kernel import ext4
from fsmend_agent.kernel.ext4 import ErrorCounters, ErrorPlace
from fsmend_agent.sources import Source, Watch
from fsmend_agent.sources._polling import Polling
from fsmend_agent.sources._units import Unit, Units
from fsmend_proto.v1 import event_pb2 as pb
from fsmend_proto.v1 import inventory_pb2

if TYPE_CHECKING:
    from fsmend_agent.filesystems import MountedFilesystem

MAX_KNOWN = 4096
_U64_MAX = 2**64 - 1

_KINDS: dict[str, tuple["pb.EventKind.ValueType", int]] = {
    "EFSCORRUPTED": (pb.EVENT_KIND_FS_METADATA_CORRUPTION, errno.EUCLEAN),
    "EFSBADCRC": (pb.EVENT_KIND_FS_METADATA_CORRUPTION, errno.EBADMSG),
    "EIO": (pb.EVENT_KIND_FS_IO_ERROR, errno.EIO),
    "ENOSPC": (pb.EVENT_KIND_FS_SPACE, errno.ENOSPC),
    "EROFS": (pb.EVENT_KIND_FS_READ_ONLY, errno.EROFS),
    "ESHUTDOWN": (pb.EVENT_KIND_FS_SHUTDOWN, errno.ESHUTDOWN),
}


class Ext4StatsSource(Source):
    """The counters in /sys/fs/ext4."""

    name = "ext4_stats"
    covers = "exact count of ext4's metadata errors, first and last one, also from before the agent"

    def __init__(self, watch: Watch) -> None:
        super().__init__(watch)
        self._known: dict[str, int] = {}
        self._since_seconds = int(time.time())
        self._polling: Polling | None = None

    @classmethod
    def probe(cls) -> inventory_pb2.Capability:
        """Say whether sysfs has ext4's folder: it appears with the module."""
        available = ext4.SYSFS.is_dir()
        reason = cls.covers if available else f"{ext4.SYSFS} does not exist: no ext4 in this kernel yet"
        return inventory_pb2.Capability(name="source.ext4_stats", available=available, reason=reason)

    def poke(self, filesystem_uuid: str) -> None:
        """Look at a filesystem soon."""
        if self._polling is not None:
            self._polling.poke(filesystem_uuid)

    async def run(self) -> None:
        """Read at the interval, at every change of the mount table, and when poked."""
        self._polling = polling = Polling(self.watch.config.ext4_stats_interval_seconds)
        units = Units(self.watch)
        try:
            async with aclosing(polling.filesystems(self.watch.filesystems, "ext4")) as due:
                async for filesystem in due:
                    await self._look(filesystem, units)
        finally:
            self._polling = None
            units.close()

    def replay(self, raw: bytes) -> Iterator[pb.Event]:
        """Convert a reading as `grep . /sys/fs/ext4/DEVICE/*` prints it: lines of `[PATH/]NAME:VALUE`."""
        counters = parse_capture(raw)
        if counters is None:
            yield undecoded("ext4_stats", self.watch.clock.now(), "ext4 counters", raw, "no errors_count")
        elif counters.errors_count:
            clocks = self.watch.clock.now()
            yield to_event(counters, counters.errors_count, Unit(None, None), clocks, is_before=True)

    async def _look(self, filesystem: "MountedFilesystem", units: Units) -> None:
        if not filesystem.device_names:
            return
        name = filesystem.device_names[0]
        try:
            counters = await asyncio.to_thread(ext4.error_counters, name)
        except FileNotFoundError:  # unmounted meanwhile
            return
        if counters.errors_count is None:
            return
        key = filesystem.uuid or name
        known = self._known.pop(key, None)
        self._known[key] = counters.errors_count
        if len(self._known) > MAX_KNOWN:
            del self._known[next(iter(self._known))]
        added, is_before = compare(known, counters, self._since_seconds)
        unit, clocks = units.by_filesystem(name), self.watch.clock.now()
        if added:
            self.watch.emit(to_event(counters, added, unit, clocks, is_before=is_before))
        elif is_cleared(known, counters) and self.watch.filesystems.by_uuid(filesystem.uuid) is not None:
            # Of two clones, one says nothing of the other.
            self.watch.emit(to_healthy(counters, unit, clocks, is_first=known is None))


def compare(known: int | None, counters: ErrorCounters, since_seconds: int) -> tuple[int, bool]:
    """Return how many errors are new, and whether they are from before the agent watched.

    Args:
        known: count at the last reading; None at the first.
        counters: this reading. A lower count means that e2fsck cleared it, and that all of these are new.
        since_seconds: wall clock when the watch began. A filesystem whose first error is younger was mounted (or made)
            under our eyes, and its errors are new even at the first reading.
    """
    count = counters.errors_count or 0
    if known is None:
        first = counters.first_error
        return count, first is None or first.time_seconds < since_seconds
    return (count - known if count >= known else count), False


def is_cleared(known: int | None, counters: ErrorCounters) -> bool:
    """Tell whether the counter stands at 0 and did not before, or may not have: this is the first reading.

    Within a mount the counter only grows, and it is kept in the superblock over mounts and boots: only a check that
    ended well (e2fsck) clears it. What the first reading tells may be news after a check at boot.
    """
    return counters.errors_count == 0 and known != 0


def to_healthy(counters: ErrorCounters, unit: Unit, clocks: pb.Clocks, *, is_first: bool) -> pb.Event:
    """Make the event of a superblock that remembers no errors; at the first reading that is a mere state."""
    event = pb.Event(
        source="ext4_stats",
        kind=pb.EVENT_KIND_FS_HEALTHY,
        severity=pb.SEVERITY_INFO if is_first else pb.SEVERITY_NOTICE,
        clocks=clocks,
        count=1,
        message="the superblock remembers no errors",
        signature="ext4_counters cleared",
    )
    unit.put_into(event)
    detail = event.ext4_counters
    detail.warning_count, detail.msg_count = counters.warning_count or 0, counters.msg_count or 0
    return event


def to_event(counters: ErrorCounters, added: int, unit: Unit, clocks: pb.Clocks, *, is_before: bool) -> pb.Event:
    """Make the event of a reading. Old errors count as one finding: each start of the agent sees them again."""
    last = counters.last_error
    kind, number = _KINDS.get(last.code if last else "", (pb.EVENT_KIND_FS_ERROR, 0))
    place = f"{last.function}:{last.line}" if last and last.function else "unknown place"
    event = pb.Event(
        source="ext4_stats",
        kind=kind,
        severity=pb.SEVERITY_WARNING if is_before else pb.SEVERITY_ERROR,
        clocks=clocks,
        count=1 if is_before else added,
        errno=number,
        message=text(
            f"the superblock remembers {added} errors from before, the last at {place}"
            if is_before
            else f"{added} new errors, {counters.errors_count} in all, the last at {place}"
        ),
        signature=text(f"ext4_counters {'before ' if is_before else ''}{place}"),
        others_unknown=added > 1,
    )
    unit.put_into(event)
    if last and last.inode:
        event.inode.ino = min(last.inode, _U64_MAX)
    detail = event.ext4_counters
    detail.errors_count, detail.new_errors = counters.errors_count or 0, added
    detail.warning_count, detail.msg_count = counters.warning_count or 0, counters.msg_count or 0
    detail.before_agent = is_before
    for occurrence, error in ((detail.first, counters.first_error), (detail.last, last)):
        if error is not None:
            occurrence.CopyFrom(_occurrence(error))
    return event


def _occurrence(place: ErrorPlace) -> pb.Ext4Occurrence:
    codes = {name: code for code, name in ext4.ERROR_CODES.items()}
    return pb.Ext4Occurrence(
        time_seconds=min(place.time_seconds, _U64_MAX),
        ino=min(place.inode, _U64_MAX),
        block=min(place.block, _U64_MAX),
        function=text(place.function),
        line=min(place.line, 2**32 - 1),
        code=codes.get(place.code, 0),
        code_name=text(place.code),
    )


def parse_capture(raw: bytes) -> ErrorCounters | None:
    """Return the counters of a captured reading; None when it has no errors_count."""
    values: dict[str, str] = {}
    for line in raw.splitlines():
        path, colon, value = line.partition(b":")
        if colon:
            values[text(path.rpartition(b"/")[2])] = text(value.strip(b"\0 "))
    if not values.get("errors_count", "").isdecimal():
        return None
    return ErrorCounters(
        errors_count=_capped(values, "errors_count"),
        warning_count=_capped(values, "warning_count"),
        msg_count=_capped(values, "msg_count"),
        first_error=_captured_place(values, "first_error_"),
        last_error=_captured_place(values, "last_error_"),
    )


def _captured_place(values: dict[str, str], prefix: str) -> ErrorPlace | None:
    time_seconds = _capped(values, f"{prefix}time")
    if not time_seconds:
        return None
    code = _capped(values, f"{prefix}errcode")
    return ErrorPlace(
        time_seconds=time_seconds,
        inode=_capped(values, f"{prefix}ino"),
        block=_capped(values, f"{prefix}block"),
        function=values.get(f"{prefix}func", ""),
        line=_capped(values, f"{prefix}line"),
        code=ext4.ERROR_CODES.get(code, f"code{code}") if code else "",
    )


def _capped(values: dict[str, str], name: str) -> int:
    """Return a number of a capture, within 64 bits; 0 for none."""
    value = values.get(name, "")
    return min(int(value[:20]), _U64_MAX) if value.isascii() and value.isdecimal() else 0
