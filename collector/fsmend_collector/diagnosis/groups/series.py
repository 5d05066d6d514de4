"""Series: the marks of one group in one aspect by time, and the windows in which there are too many.

What crosses is a function of the set of marks: it is found by one walk over them in the order of time. Marks that come
in that order cost their own step of the walk only, and less while all windows hold enough as it is; one that comes late
takes the walk back to a state before it.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from operator import attrgetter
from typing import NamedTuple

from fsmend_collector.diagnosis.groups.counting import Limits
from fsmend_collector.diagnosis.groups.drift import Drift
from fsmend_collector.diagnosis.groups.marks import Mark
from fsmend_collector.diagnosis.groups.rates import AspectGroup
from fsmend_collector.diagnosis.groups.settings import DAY_NS

_SECONDS_NS = 1_000_000_000
_STATES_FROM = 64  # shorter series are walked anew
_STATE_EVERY = 256
_FOREVER_NS = 1 << 62
LimitsOf = Callable[[int], Limits]
"""A day since 1970 → the limits of windows that end on it."""

_key = attrgetter("key")


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
class _Reach:
    """How far one window has come.

    Attributes:
        from_ns: where the last walk back ended; a window that still holds it holds `enough` units.
    """

    from_ns: int = -1
    enough: int = 0


class _Hold(NamedTuple):
    """Up to when new marks change nothing but when the intervals end: all windows hold what the last walk back found.

    Attributes:
        limits: for which that is so.
        below: with so many units, one more window would count.
        until_ns: wall clock.
    """

    limits: Limits
    below: int
    until_ns: int


@dataclass(slots=True, eq=False)
class Series:
    """The marks of one group in one aspect.

    Attributes:
        wide: the group spans hosts; then hosts are counted, not units.
        key: aspect and group.
        marks: by time.
        times: of the marks, in nanoseconds: what is looked for is a time, and numbers side by side are found sooner.
        drift: the sequential test, once there are marks enough for it.
        asked: the newest limits that were asked for, in which state of what is counted and for which day.
    """

    wide: bool
    key: AspectGroup = ("", ("", ""))
    marks: list[Mark] = field(default_factory=list)
    times: "array[int]" = field(default_factory=lambda: array("q"))
    drift: Drift | None = None
    asked: tuple[int, int, Limits] = (-1, -1, ())
    _walked: int = 0
    _found: dict[int, list[Interval]] = field(default_factory=dict)
    _hold: _Hold | None = None
    _held_ns: int = 0
    _hosts: dict[str, int] = field(default_factory=dict)
    _recent: OrderedDict[str, int] | None = None
    _deep: int = 0
    _reaches: dict[int, _Reach] = field(default_factory=dict)
    _states: list[tuple[int, dict[int, tuple[int, int, int, int, int]]]] = field(default_factory=list)

    def insert(self, mark: Mark) -> None:
        """Take a mark in."""
        if not self.times or mark.time_ns > self.times[-1]:
            self.marks.append(mark)
            self.times.append(mark.time_ns)
        else:
            at = self._place(mark)
            self.marks.insert(at, mark)
            self.times.insert(at, mark.time_ns)
            self._back(at)
            self._drift_back(at)
        if self.wide:
            self._hosts[mark.agent_id] = self._hosts.get(mark.agent_id, 0) + 1

    def remove(self, mark: Mark) -> None:
        """Take a mark out that was none."""
        self._drift_back(self._take_out(mark))

    def drop(self, mark: Mark) -> None:
        """Take a mark out whose time is over."""
        self._take_out(mark)
        if self.drift is not None:  # its share of the sum stays: walked over anew, old bursts would cross for ever
            self.drift.count -= 1

    def _take_out(self, mark: Mark) -> int:
        """Take a mark out; return the position that it had, or where it would be."""
        at = self._place(mark)
        if at == len(self.marks) or self.marks[at] is not mark:
            return at
        del self.marks[at], self.times[at]
        self._back(at)
        if self.wide:
            self._hosts[mark.agent_id] -= 1
            if not self._hosts[mark.agent_id]:
                del self._hosts[mark.agent_id]
        return at

    def _drift_back(self, at: int) -> None:
        """Take the sequential test back to before a position that changed; one that cannot is walked anew."""
        if self.drift is not None and at < self.drift.count and not self.drift.back(at):
            self.drift = None

    def _place(self, mark: Mark) -> int:
        """Return where a mark is or belongs: by its time, and at one time by its unit."""
        low, high = self.span(mark.time_ns, mark.time_ns)
        return bisect_left(self.marks, mark.key, low, high, key=_key) if low < high else low

    @property
    def crossings(self) -> dict[int, list[Interval]]:
        """Return the intervals by time of each length of window in seconds; 0: what the sequential test found."""
        self._settle()
        return self._found

    def _settle(self) -> None:
        """Let what held until now end with the newest mark."""
        if self._held_ns and self._hold is not None:
            for least, seconds in self._hold.limits:
                if least < self._hold.below:
                    self._found[seconds][-1].end_ns = self._held_ns
            self._held_ns = 0

    @property
    def counted(self) -> int:
        """Return how many distinct hosts there are, or at most how many units."""
        return len(self._hosts) if self.wide else len(self.marks)

    def span(self, start_ns: int, end_ns: int) -> tuple[int, int]:
        """Return the positions of the marks of a time, both ends included: from the first to before the last."""
        return bisect_left(self.times, start_ns), bisect_right(self.times, end_ns)

    def between(self, start_ns: int, end_ns: int) -> list[Mark]:
        """Return the marks of a time, both ends included."""
        low, high = self.span(start_ns, end_ns)
        return self.marks[low:high]

    def evaluate(self, least_units: int, limits: LimitsOf) -> bool:
        """Walk over what is new; say whether anything crosses now or did before.

        Args:
            least_units: no limit is lower.
            limits: of each day.
        """
        had = bool(self._found)
        if self._walked < len(self.marks) and self.counted >= least_units:
            while self._walked < len(self.marks):
                self._walk(limits)
            self._remember()
        return had or bool(self._found)

    def _walk(self, limits: LimitsOf) -> None:
        """Walk over what is new of one day, up to where a state is kept, or as far as all windows hold."""
        first, times = self._walked, self.times
        day = times[first] // DAY_NS
        until = min(len(times), first - first % _STATE_EVERY + _STATE_EVERY)
        if times[until - 1] // DAY_NS != day:
            until = bisect_left(times, (day + 1) * DAY_NS, first, until)
        held = self._held(limits(day), first, until)
        if held > first:
            self._held_ns, self._recent, self._walked = times[held - 1], None, held
        else:
            self._settle()
            rows = [row for row in limits(day) if row[0] <= self.counted]
            for at in range(first, until):
                self._step(at, rows)
            self._hold, self._walked = None, until
        if not self._walked % _STATE_EVERY:
            self._remember()

    def _held(self, limits: Limits, first: int, until: int) -> int:
        """Return the position up to which all windows hold enough as it is."""
        counted, hold = self.counted, self._hold
        if hold is None or hold.limits is not limits or counted >= hold.below:
            self._settle()
            hold = self._hold = self._holding(limits, counted)
        if hold is None or self.times[until - 1] <= hold.until_ns:
            return first if hold is None else until
        return bisect_right(self.times, hold.until_ns, first, until)

    def _holding(self, limits: Limits, counted: int) -> _Hold | None:
        """Return how long the windows that count hold enough as it is; None: not all of them do."""
        until_ns = _FOREVER_NS
        for least, seconds in limits:
            if least > counted:
                return _Hold(limits, least, until_ns)
            reach = self._reaches.get(seconds)
            if reach is None or least > reach.enough:
                return None
            until_ns = min(until_ns, reach.from_ns + seconds * _SECONDS_NS)
        return _Hold(limits, _FOREVER_NS, until_ns)

    def _step(self, at: int, rows: list[tuple[int, int]]) -> None:
        """Look at the windows that end with one mark."""
        end_ns = self.times[at]
        if self._recent is not None:
            agent_id = self.marks[at].agent_id
            self._recent[agent_id] = end_ns
            self._recent.move_to_end(agent_id)
        waiting = []
        for row in rows:
            least, seconds = row
            from_ns = end_ns - seconds * _SECONDS_NS
            reach = self._reaches.get(seconds)
            if reach is not None and reach.from_ns >= from_ns and least <= reach.enough:
                self._found[seconds][-1].end_ns = end_ns  # the window still holds all that the last walk back found
            elif at + 1 >= least and self.times[at + 1 - least] >= from_ns:
                waiting.append(row)
        if not waiting:
            return
        for least, seconds in self._enough(at, waiting) if self.wide else waiting:
            start_ns = self._walk_back(at, seconds * _SECONDS_NS, least)
            if start_ns is not None:
                self._cross(seconds, start_ns, end_ns)
                self._reaches[seconds] = _Reach(start_ns, least)

    def _enough(self, at: int, waiting: list[tuple[int, int]]) -> list[tuple[int, int]]:
        """Return the windows with enough hosts, of those that are ordered by how many that is."""
        end_ns = self.times[at]
        if self._recent is None or self._deep < waiting[-1][0]:
            self._look_back(at, waiting[-1][0])
        latest = reversed(self._recent.values()) if self._recent is not None else iter(())
        seen, time_ns = 0, end_ns
        found: list[tuple[int, int]] = []
        for least, seconds in waiting:
            if least > len(self._recent or ()):
                break  # so many hosts have not failed up to here
            while seen < least:
                time_ns = next(latest, -1)
                seen += 1
                if time_ns < 0:
                    return found
            if time_ns >= end_ns - seconds * _SECONDS_NS:
                found.append((least, seconds))
        return found

    def _look_back(self, at: int, deep: int) -> None:
        """Find the newest marks of so many hosts, up to a position."""
        newest: dict[str, int] = {}
        for position in range(at, -1, -1):
            mark = self.marks[position]
            if mark.agent_id not in newest:
                newest[mark.agent_id] = mark.time_ns
                if len(newest) >= deep:
                    break
        self._recent = OrderedDict(reversed(newest.items()))
        self._deep = deep if len(newest) >= deep else 1 << 62

    def _cross(self, seconds: int, start_ns: int, end_ns: int) -> None:
        found = self._found.setdefault(seconds, [])
        if found and start_ns <= found[-1].end_ns:
            found[-1].end_ns = end_ns
            found[-1].start_ns = min(start_ns, found[-1].start_ns)
        else:
            found.append(Interval(start_ns, end_ns))

    def _walk_back(self, at: int, length_ns: int, least: int) -> int | None:
        """Return when the shortest stretch with enough distinct units began; None when the window has too few."""
        not_before_ns = self.times[at] - length_ns
        seen: set[object] = set()
        while at >= 0 and self.times[at] >= not_before_ns:
            seen.add(self._name(at))
            if len(seen) >= least:
                return self._same_hosts(at, seen, not_before_ns)
            at -= 1
        return None

    def _same_hosts(self, at: int, seen: set[object], not_before_ns: int) -> int:
        """Go further back over what the units seen, or their hosts, showed just before."""
        while at > 0 and self.times[at - 1] >= not_before_ns and self._name(at - 1) in seen:
            at -= 1
        return self.times[at]

    def _name(self, at: int) -> object:
        mark = self.marks[at]
        return mark.agent_id if self.wide else mark.key

    def _remember(self) -> None:
        """Keep the state of the walk; older states thin out, so that going back far costs about as what came since.

        One is kept wherever somebody looked, also while all windows hold: until the next look, what crosses is as it
        was there, so a mark that is a little late must not take it back far.
        """
        if self._walked < _STATES_FROM:
            return
        state = {}
        crossings = self.crossings
        for seconds, reach in self._reaches.items():
            found = crossings[seconds]
            state[seconds] = (len(found), found[-1].start_ns, found[-1].end_ns, reach.from_ns, reach.enough)
        states = self._states
        if not states or states[-1][0] < self._walked:
            states.append((self._walked, state))
        for at in range(len(states) - 3, -1, -1):
            if states[at + 2][0] - states[at][0] <= self._walked - states[at + 2][0]:
                del states[at + 1]

    def _back(self, position: int) -> None:
        """Take the walk back to before a position that changed."""
        if position >= self._walked:
            return
        while self._states and self._states[-1][0] > position:
            self._states.pop()
        self._walked, state = self._states[-1] if self._states else (0, {})
        self._recent = self._hold = None
        self._held_ns = 0
        for seconds in [seconds for seconds in self.crossings if seconds and seconds not in state]:
            del self.crossings[seconds]
        self._reaches = {}
        for seconds, (count, start_ns, end_ns, from_ns, enough) in state.items():
            found = self.crossings[seconds]
            del found[count:]
            found[-1].start_ns, found[-1].end_ns = start_ns, end_ns
            self._reaches[seconds] = _Reach(from_ns, enough)
