"""Fold storms: let the first of a kind through at once, then count, and say at the end of the window how many.

A finding has two keys. The *coarse* one is what the source put into `signature` (code location, errno, form of the log
line), with the filesystem and the device. The *fine* one adds the place: inode or sector. Every fine finding shows by
itself, up to `MAX_PLACES` of them per coarse one; further places are folded into the coarse finding, with an exact
count, a sample of places in the message, and `others_unknown`. When even the coarse keys become too many, they fold
into one entry per unit and kind, and at last into one per source and kind. Nothing is dropped at any level: the sum
of `count` going out is the sum coming in.

Pure: `now` is an argument, in seconds of any clock that does not go backwards.
"""

from collections.abc import Hashable, Iterator

from fsmend_proto.v1 import event_pb2 as pb

MAX_PLACES = 64
"""Places (inodes, sectors) of one coarse finding that are shown one by one within a window."""

SAMPLE_PLACES = 8
"""Places named in the message of a folded event."""

DISTINCT_LIMIT = 128
"""Distinct places counted for the message of a folded event; beyond it the message says `more than`."""

MAX_COUNT = 2**64 - 1

_FINE, _COARSE, _UNIT, _KIND = range(4)

# Readings of counters and changes of state say something new each time, and their sources bound their own rate.
_STATEFUL = frozenset(
    {"ext4_counters", "xfs_health", "xfs_monitor", "btrfs_device", "scrub", "smart", "source_state"},
)
_STATE_KINDS = frozenset(
    {
        pb.EVENT_KIND_FS_HEALTHY,
        pb.EVENT_KIND_FS_MOUNTED,
        pb.EVENT_KIND_FS_UNMOUNTED,
        pb.EVENT_KIND_FS_SCRUB,
        pb.EVENT_KIND_DEVICE_ADDED,
        pb.EVENT_KIND_DEVICE_GONE,
        pb.EVENT_KIND_SOURCE_STATE,
        pb.EVENT_KIND_AGENT_STATE,
    },
)


class _Fold:
    """What came for one key since its window began, apart from what was let through."""

    __slots__ = ("children", "count", "deadline", "distinct", "event", "is_mixed", "level", "parent", "sample")

    def __init__(self, deadline: float, level: int, parent: "_Fold | None") -> None:
        self.deadline = deadline
        self.level = level
        self.parent = parent
        self.children = 0
        self.event: pb.Event | None = None
        self.count = 0
        self.is_mixed = False
        self.distinct: set[int] = set()
        self.sample: list[str] = []

    def add(self, event: pb.Event, count: int) -> None:
        """Count `event` in; the first one since the last `take` is the pattern of what goes out."""
        if self.event is None:
            self.event = pb.Event()
            self.event.CopyFrom(event)
            self.event.last.CopyFrom(event.last if event.HasField("last") else event.clocks)
        else:
            self._merge(self.event, event)
        self.count += count
        if self.level > _FINE and len(self.distinct) <= DISTINCT_LIMIT:
            self._note_place(event)

    def _merge(self, into: pb.Event, event: pb.Event) -> None:
        last = event.last if event.HasField("last") else event.clocks
        if last.boot_ns >= into.last.boot_ns:
            into.last.CopyFrom(last)
        if event.clocks.boot_ns < into.clocks.boot_ns:
            into.clocks.CopyFrom(event.clocks)
        into.severity = max(into.severity, event.severity)
        into.others_unknown |= event.others_unknown
        if self.level >= _UNIT and not self.is_mixed:
            self.is_mixed = _identity(event) != _identity(into)

    def _note_place(self, event: pb.Event) -> None:
        place = _place(event)
        if place is None:
            return
        key = hash(place)
        if key not in self.distinct:
            self.distinct.add(key)
            if len(self.sample) < SAMPLE_PLACES:
                self.sample.append(_place_text(event))

    def take(self) -> pb.Event | None:
        """Return the event that stands for what was counted, or None when nothing was; begin anew."""
        event, self.event = self.event, None
        if event is None:
            return None
        event.count = self.count
        if self.count == 1:
            event.ClearField("last")
        if self.is_mixed:
            _generalise(event, keep_unit=self.level == _UNIT)
        if self.count > 1:
            event.message = f"{event.message} [{self._summary()}]"
        if self.level > _FINE and (len(self.distinct) > 1 or self.is_mixed):
            event.others_unknown = True
        self.count, self.is_mixed, self.distinct, self.sample = 0, False, set(), []
        return event

    def _summary(self) -> str:
        if len(self.distinct) <= 1:
            return f"{self.count} times"
        number = len(self.distinct)
        many = f"more than {DISTINCT_LIMIT}" if number > DISTINCT_LIMIT else str(number)
        return f"{self.count} times in {many} places, such as {', '.join(self.sample)}"


class Coalescer:
    """Bounded table of the findings of the current window.

    Args:
        window_seconds: how long repeats are folded before their count goes out; 0 folds nothing.
        max_signatures: keys kept at most; beyond it new ones fold into coarser entries.
    """

    def __init__(self, window_seconds: float, max_signatures: int = 1024) -> None:
        self._window_seconds = window_seconds
        self._max_signatures = max_signatures
        # In the order of deadlines, for all windows are equally long and a renewed one moves to the end.
        self._folds: dict[Hashable, _Fold] = {}
        self._coarser = 0

    def __len__(self) -> int:
        """Return the number of keys kept."""
        return len(self._folds)

    def add(self, event: pb.Event, now: float) -> list[pb.Event]:
        """Take an event in; return what is to go out at once: the event itself, or nothing when it was folded.

        The table keeps no reference to `event`.
        """
        if self._window_seconds <= 0 or event.WhichOneof("detail") in _STATEFUL or event.kind in _STATE_KINDS:
            return [event]
        fold, is_new = self._fold_for(event, now)
        if is_new:
            return [event]
        count = max(1, event.count)
        out: list[pb.Event] = []
        if fold.count + count > MAX_COUNT:
            full = fold.take()
            out = [full] if full is not None else []
        fold.add(event, count)
        return out

    def due(self, now: float) -> list[pb.Event]:
        """Return what was folded in windows that have ended by `now`."""
        out: list[pb.Event] = []
        while self._folds:
            key, fold = next(iter(self._folds.items()))
            if fold.deadline > now:
                break
            out.extend(self._end(key, fold, now))
        return out

    def next_due(self) -> float | None:
        """Return when `due` should be asked next; None while nothing is kept."""
        return next((fold.deadline for fold in self._folds.values()), None)

    def flush(self) -> list[pb.Event]:
        """Return everything that was folded, and forget all keys."""
        out = [event for fold in self._folds.values() if (event := fold.take()) is not None]
        self._folds.clear()
        self._coarser = 0
        return out

    def _end(self, key: Hashable, fold: _Fold, now: float) -> Iterator[pb.Event]:
        """End a window; a storm that goes on gets the next one, and so one event a window."""
        event = fold.take()
        del self._folds[key]
        if event is not None or fold.children:
            fold.deadline = now + self._window_seconds
            self._folds[key] = fold
            if event is not None:
                yield event
            return
        self._coarser -= fold.level >= _UNIT
        if fold.parent is not None:
            fold.parent.children -= 1

    def _fold_for(self, event: pb.Event, now: float) -> tuple[_Fold, bool]:
        """Find where `event` belongs, and whether it is the first there."""
        unit = (event.source, event.kind, event.filesystem.uuid or event.filesystem.device_name, _device(event))
        coarse = (*unit, event.signature, event.errno, event.command_id)
        fine = (coarse, _place(event))
        fold = self._folds.get(fine)
        if fold is not None:
            return fold, False
        parent = self._folds.get(coarse)
        if parent is not None and parent.children >= MAX_PLACES:
            return parent, False
        room = self._max_signatures - (len(self._folds) - self._coarser)
        if parent is not None and room < 1:
            return parent, False
        if room >= 2:  # a fine key and perhaps its coarse one
            parent = parent or self._begin(coarse, now, level=_COARSE)
            parent.children += 1
            return self._begin(fine, now, level=_FINE, parent=parent), True
        return self._coarsest_for(unit, now)

    def _coarsest_for(self, unit: tuple[Hashable, ...], now: float) -> tuple[_Fold, bool]:
        """Find the entry for a unit and kind, or for a source and kind: the last ones are as few as our own sources."""
        key, level = unit, _UNIT
        if key not in self._folds and self._coarser >= self._max_signatures // 4:
            key, level = unit[:2], _KIND
        fold = self._folds.get(key)
        if fold is not None:
            return fold, False
        self._coarser += 1
        return self._begin(key, now, level=level), True

    def _begin(self, key: Hashable, now: float, *, level: int, parent: _Fold | None = None) -> _Fold:
        fold = self._folds[key] = _Fold(now + self._window_seconds, level, parent)
        return fold


def _device(event: pb.Event) -> str:
    return event.device.id or event.device.name


def _place(event: pb.Event) -> Hashable:
    """Return what the fine key adds: the inode or the sectors; None when the event names no place."""
    if event.HasField("inode"):
        inode = event.inode
        return inode.ino, inode.generation, inode.subvolume
    return event.sectors.start if event.HasField("sectors") else None


def _place_text(event: pb.Event) -> str:
    if event.HasField("inode"):
        return f"inode {event.inode.ino}"
    return f"sector {event.sectors.start}"


def _identity(event: pb.Event) -> Hashable:
    unit = (event.filesystem.uuid, event.filesystem.device_name, _device(event))
    return (*unit, event.signature, event.errno, event.command_id)


def _generalise(event: pb.Event, *, keep_unit: bool) -> None:
    """Take away what does not hold for all of the findings that were folded into one."""
    event.ClearField("inode")
    event.ClearField("sectors")
    event.ClearField("errno")
    event.ClearField("command_id")
    event.ClearField("detail")
    if not keep_unit:
        event.ClearField("filesystem")
        event.ClearField("device")
    event.signature = f"{event.source} {pb.EventKind.Name(event.kind)} many"
    event.message = f"findings of many signatures, among them: {event.message}"
