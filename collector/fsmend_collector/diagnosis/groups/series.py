"""Series: the marks of one group in one aspect by time, and the windows in which there are too many."""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable
from dataclasses import dataclass, field

from fsmend_collector.diagnosis.groups.marks import Mark, UnitKey

_SECONDS_NS = 1_000_000_000
_Entry = tuple[int, UnitKey, Mark]
Threshold = Callable[[int, int], int]
"""Length of a window in seconds, its end → how many units are too many."""


@dataclass(slots=True)
class Interval:
    """A time in which every window of one length that ends there holds too many units."""

    start_ns: int
    end_ns: int

    @property
    def seconds(self) -> int:
        """Return how long it is, in whole hours above zero."""
        return ((self.end_ns - self.start_ns) // (3_600 * _SECONDS_NS) + 1) * 3_600


@dataclass(slots=True)
class Series:
    """The marks of one group in one aspect.

    Attributes:
        wide: the group spans hosts; then hosts are counted, not units.
        crossings: length of the window in seconds → intervals, by time.
    """

    wide: bool
    entries: list[_Entry] = field(default_factory=list)
    crossings: dict[int, list[Interval]] = field(default_factory=dict)
    _reach: dict[int, tuple[int, int]] = field(default_factory=dict)
    _dirty_from: int = -1
    _dirty_to: int = -1

    def insert(self, mark: Mark) -> None:
        """Take a mark in."""
        entry = (mark.time_ns, mark.key, mark)
        if not self.entries or entry[:2] > self.entries[-1][:2]:
            self.entries.append(entry)
        else:
            insort(self.entries, entry, key=_order)
            self._reach.clear()
        self._touch(mark.time_ns)

    def remove(self, mark: Mark) -> None:
        """Take a mark out."""
        at = bisect_left(self.entries, (mark.time_ns, mark.key), key=_order)
        if at < len(self.entries) and self.entries[at][2] is mark:
            del self.entries[at]
            self._reach.clear()
            self._touch(mark.time_ns)

    def _touch(self, time_ns: int) -> None:
        self._dirty_from = time_ns if self._dirty_from < 0 else min(self._dirty_from, time_ns)
        self._dirty_to = max(self._dirty_to, time_ns)

    def between(self, start_ns: int, end_ns: int) -> list[Mark]:
        """Return the marks of a time, both ends included."""
        low = bisect_left(self.entries, start_ns, key=_time)
        high = bisect_right(self.entries, end_ns, key=_time)
        return [entry[2] for entry in self.entries[low:high]]

    def evaluate(self, windows_seconds: tuple[int, ...], threshold: Threshold) -> bool:
        """Find the crossings anew where marks changed; say whether there are any now or were before."""
        if self._dirty_from < 0:
            return bool(self.crossings)
        had = bool(self.crossings)
        for seconds in windows_seconds:
            if seconds in self.crossings or len(self.entries) >= _LEAST:
                self._evaluate_window(seconds, threshold)
        self._dirty_from = self._dirty_to = -1
        return had or bool(self.crossings)

    def _evaluate_window(self, seconds: int, threshold: Threshold) -> None:
        length_ns = seconds * _SECONDS_NS
        last_ns = self._dirty_to + length_ns
        found = self.crossings.pop(seconds, [])
        kept = [one for one in found if one.end_ns < self._dirty_from]
        cut = [one for one in found if one.end_ns >= self._dirty_from]
        begin_ns = min([self._dirty_from, *(one.start_ns for one in cut)])
        last_ns = max([last_ns, *(one.end_ns for one in cut)])
        low = bisect_left(self.entries, begin_ns, key=_time)
        high = bisect_right(self.entries, last_ns, key=_time)
        reach_ns, reached = self._reach.get(seconds, (-1, 0)) if kept else (-1, 0)
        for at in range(low, high):
            end_ns = self.entries[at][0]
            least = threshold(seconds, end_ns)
            if reach_ns >= end_ns - length_ns and least <= reached:
                kept[-1].end_ns = end_ns  # the window still holds all that the last walk back found
                continue
            start_ns = self._walk_back(at, length_ns, least)
            if start_ns is None:
                continue
            reach_ns, reached = start_ns, least
            if kept and start_ns <= kept[-1].end_ns:
                kept[-1].end_ns = max(end_ns, kept[-1].end_ns)
                kept[-1].start_ns = min(start_ns, kept[-1].start_ns)
            else:
                kept.append(Interval(start_ns, end_ns))
        self._reach[seconds] = (reach_ns, reached)
        kept.sort(key=lambda one: one.start_ns)
        if kept:
            self.crossings[seconds] = kept

    def _walk_back(self, at: int, length_ns: int, least: int) -> int | None:
        """Return when the shortest stretch with enough distinct units began; None when the window has too few."""
        end_ns = self.entries[at][0]
        if at + 1 < least or self.entries[at + 1 - least][0] < end_ns - length_ns:
            return None
        seen: set[object] = set()
        while at >= 0 and self.entries[at][0] >= end_ns - length_ns:
            key = self.entries[at][1]
            seen.add(key[2] if self.wide else key)
            if len(seen) >= least:
                return self._same_hosts(at, seen, end_ns - length_ns)
            at -= 1
        return None

    def _same_hosts(self, at: int, seen: set[object], not_before_ns: int) -> int:
        """Go further back over what the units seen, or their hosts, showed just before."""
        while at > 0 and self.entries[at - 1][0] >= not_before_ns:
            key = self.entries[at - 1][1]
            if (key[2] if self.wide else key) not in seen:
                break
            at -= 1
        return self.entries[at][0]


_LEAST = 3


def _order(entry: _Entry) -> tuple[int, UnitKey]:
    return entry[:2]


def _time(entry: _Entry) -> int:
    return entry[0]
