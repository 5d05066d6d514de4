"""Solving: from groups that cross to the causes that explain them, each aspect on its own and at its own pace."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from operator import attrgetter

from fsmend_collector.diagnosis.groups import bounds
from fsmend_collector.diagnosis.groups.aspects import ASPECTS, HOST
from fsmend_collector.diagnosis.groups.candidate import Candidate
from fsmend_collector.diagnosis.groups.counting import Counting
from fsmend_collector.diagnosis.groups.explain import Explanation, explain
from fsmend_collector.diagnosis.groups.marks import Mark
from fsmend_collector.diagnosis.groups.rates import AspectGroup
from fsmend_collector.diagnosis.groups.series import Interval, Series
from fsmend_collector.diagnosis.groups.views import Group

_DRIFT_LAST = 1 << 40
_APART = 0.9
_ends = attrgetter("end_ns")


@dataclass(slots=True)
class _Pace:
    """How far one aspect has come.

    Attributes:
        pending: groups that cross, or did, and changed since they were last solved.
        absorbed: marks that came since, and that a large cause explains which is known already.
        fresh: the other marks that came since.
        stirred: some came since the last tick.
        glanced: how many of them were looked at in passing.
        solved: marks that were looked at last.
        solved_ns: when.
    """

    pending: dict[AspectGroup, None] = field(default_factory=dict)
    absorbed: int = 0
    fresh: dict[Mark, None] = field(default_factory=dict)
    stirred: bool = False
    glanced: int = 0
    solved: int = 0
    solved_ns: int = 0

    @property
    def storm(self) -> bool:
        """Say whether so much fails that looking at all of it costs."""
        return self.solved > bounds.STORM

    def due(self, *, quiet: bool, now_ns: int) -> bool:
        """Say whether to look at all of it now: in a storm only when it has grown, so that it costs as the marks do."""
        if not (self.pending or self.absorbed):
            return False
        growth = bounds.GROWTH_IN_STORMS if self.storm else bounds.GROWTH
        if self.absorbed + len(self.fresh) >= self.solved * growth or (quiet and not self.storm):
            return True
        pause_ns = min(max(bounds.PAUSE_NS, self.solved * bounds.PAUSE_A_MARK_NS), bounds.LONGEST_PAUSE_NS)
        return now_ns - self.solved_ns >= pause_ns and (quiet or bool(self.fresh) or not self.storm)

    def solve(self, marks: int, now_ns: int) -> None:
        """Note that all of it was looked at."""
        self.pending.clear()
        self.fresh.clear()
        self.absorbed = self.glanced = 0
        self.solved, self.solved_ns = marks, now_ns


class Solving:
    """Explain the marks of groups that cross. Aspects share no marks, so each is solved alone."""

    def __init__(self, counting: Counting, series: dict[AspectGroup, Series]) -> None:
        self._counting = counting
        self._series = series
        self._paces: dict[str, _Pace] = {name: _Pace() for name in ASPECTS}
        self._candidates: dict[AspectGroup, list[Candidate]] = {}
        self._generation = counting.generation
        self.explanations: list[Explanation] = []

    def came(self, mark: Mark, *, absorbed: bool) -> None:
        """Say that a mark came, and whether a large cause that is known explains it."""
        pace = self._paces[mark.aspect]
        pace.stirred = True
        if absorbed:
            pace.absorbed += 1
        else:
            pace.fresh[mark] = None

    def went(self, mark: Mark) -> None:
        """Say that a mark was none."""
        self._paces[mark.aspect].fresh.pop(mark, None)

    def note(self, changed: Iterable[tuple[AspectGroup, bool]]) -> None:
        """Take the groups that changed; those are solved anew that cross, or did."""
        for key, crosses in changed:
            self._candidates.pop(key, None)
            if crosses:
                self._paces[key[0]].pending[key] = None

    def forget(self, key: AspectGroup) -> None:
        """Forget a group that has no marks any more."""
        self._candidates.pop(key, None)
        self._paces[key[0]].pending.pop(key, None)

    def close(self, marks: frozenset[Mark]) -> None:
        """Take out the explanations of marks that are over."""
        self.explanations = [one for one in self.explanations if one.marks.isdisjoint(marks)]

    def solve(self, busy: set[str], now_ns: int, admit: Callable[[str], object], *, all_of_it: bool = False) -> bool:
        """Solve the aspects that are due; say whether anything may have changed.

        Args:
            busy: aspects in which something changed since the last time.
            now_ns: collector's wall clock.
            admit: notes what changed by marks that were explained when they came.
            all_of_it: whatever waits is due.
        """
        if self._generation != self._counting.generation:  # candidates know the sizes of their groups
            self._candidates.clear()
            self._generation = self._counting.generation
        changed = False
        for name, pace in self._paces.items():
            quiet, pace.stirred = name not in busy and not pace.stirred, False
            if pace.due(quiet=quiet, now_ns=now_ns) or (all_of_it and (pace.pending or pace.absorbed)):
                admit(name)
                self._solve(name, now_ns)
                changed = True
            elif pace.storm and len(pace.fresh) > pace.glanced:
                changed = self._glance(pace) or changed
        return changed

    def _glance(self, pace: _Pace) -> bool:
        """Look, in a storm, at what fails apart from it: groups of which nearly all marks are new and unexplained.

        What is found is told at once, and stands until all is looked at again.
        """
        pace.glanced = len(pace.fresh)
        times: dict[AspectGroup, list[int]] = {}
        for mark in sorted(pace.fresh, key=attrgetter("time_ns")):
            for key in mark.keys:
                times.setdefault(key, []).append(mark.time_ns)
        found = [one for key in sorted(times) for one in self._apart(key, times[key])]
        found = [one for one in found if sum(mark in pace.fresh for mark in one.marks) >= _APART * len(one.marks)]
        if not found:
            return False
        marks = frozenset(chain.from_iterable(one.marks for one in found))
        self.close(marks)
        self.explanations += explain(found, self._within)
        return True

    def _apart(self, key: AspectGroup, fresh_ns: list[int]) -> list[Candidate]:
        """Return the candidates of a group of which nearly all is fresh, by the times of what is."""
        series = self._series.get(key)
        if series is None:  # its last mark is over
            return []
        chosen: dict[int, list[Interval]] = {}
        for seconds, intervals in series.crossings.items():
            for one in intervals[bisect_left(intervals, fresh_ns[0], key=_ends) :]:
                low, high = series.span(one.start_ns, one.end_ns)
                fresh = bisect_right(fresh_ns, one.end_ns) - bisect_left(fresh_ns, one.start_ns)
                if fresh >= (high - low) * _APART:
                    chosen.setdefault(seconds, []).append(one)
        return self._made(key, series, chosen)

    def _solve(self, aspect: str, now_ns: int) -> None:
        pace = self._paces[aspect]
        closure, touched = self._closure(pace.pending)
        candidates = [one for key in closure for one in self._candidates_of(key)]
        pace.solve(len(touched), now_ns)
        kept = [
            one
            for one in self.explanations
            if (one.candidate.aspect, one.candidate.group) not in closure
            and (one.candidate.aspect != aspect or one.marks.isdisjoint(touched))
        ]
        self.explanations = kept + (explain(candidates, self._within) if candidates else [])
        if pace.storm:  # next time nearly all have changed; what is kept of each is as large as it is
            for key in closure:
                self._candidates.pop(key, None)

    def _closure(self, start: Iterable[AspectGroup]) -> tuple[dict[AspectGroup, None], set[Mark]]:
        """Return the groups that cross and share marks with these, directly or over others; and all those marks."""
        found = dict.fromkeys(start)
        waiting = list(found)
        seen: set[Mark] = set()
        cells: set[int] = set()
        while waiting:
            new = set().union(*(one.marks for one in self._candidates_of(waiting.pop()))) - seen
            seen |= new
            fresh = {id(mark.keys): mark.keys for mark in new}
            near = set(chain.from_iterable(keys for name, keys in fresh.items() if name not in cells))
            cells.update(fresh)
            for key in sorted(key for key in near if key not in found):
                if self._series[key].crossings:
                    found[key] = None
                    waiting.append(key)
        return found, seen

    def _candidates_of(self, key: AspectGroup) -> list[Candidate]:
        series = self._series.get(key)
        if series is None:
            return []
        known = self._candidates.get(key)
        if known is not None:
            return known
        made = self._candidates[key] = self._made(key, series, series.crossings)
        return made

    def _made(self, key: AspectGroup, series: Series, crossings: Mapping[int, Iterable[Interval]]) -> list[Candidate]:
        """Make a candidate of each time in which a group crosses; of windows that find the same the shortest."""
        found: dict[tuple[int, int], Candidate] = {}
        for seconds in sorted(crossings, key=lambda one: one or _DRIFT_LAST):
            for interval in crossings[seconds]:
                low, high = span = series.span(interval.start_ns, interval.end_ns)
                if low < high and span not in found:
                    found[span] = self._candidate(key, seconds, interval, frozenset(series.marks[low:high]))
        return list(found.values())

    def _candidate(self, key: AspectGroup, seconds: int, interval: Interval, marks: frozenset[Mark]) -> Candidate:
        aspect, group = key
        kind = ASPECTS[aspect].kind
        counting = self._counting
        expected = counting.expect(aspect, group, interval.start_ns)
        return Candidate(
            group=group,
            aspect=aspect,
            seconds=seconds,
            start_ns=interval.start_ns,
            end_ns=interval.end_ns,
            least=counting.threshold(aspect, group, seconds or interval.seconds, interval.end_ns),
            marks=marks,
            units=counting.units(group, kind),
            hosts=counting.units(group, HOST),
            per_hour=expected.per_hour,
            base_per_hour=expected.fleet_per_hour,
            shape=expected.shape,
            penalty=counting.penalty(group),
            prior=counting.settings.prior_nats,
            here=partial(counting.units_here, group=group, kind=kind),
        )

    def _within(self, aspect: str, group: Group) -> tuple[list[Mark], int]:
        series = self._series.get((aspect, group))
        return series.marks if series is not None else [], self._counting.units(group, HOST)
