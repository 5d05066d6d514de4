"""Solving: from groups that cross to the causes that explain them, each aspect on its own and at its own pace."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from itertools import chain

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


@dataclass(slots=True)
class _Pace:
    """How far one aspect has come.

    Attributes:
        pending: groups that cross, or did, and changed since they were last solved.
        fresh: marks that came since.
        solved: marks that were looked at last.
        solved_ns: when.
    """

    pending: dict[AspectGroup, None] = field(default_factory=dict)
    fresh: int = 0
    solved: int = 0
    solved_ns: int = 0

    def due(self, *, quiet: bool, now_ns: int) -> bool:
        """Say whether to look now: in a storm only when what crosses has grown, so that it costs as the marks do."""
        growth = bounds.GROWTH_IN_STORMS if self.solved > bounds.STORM else bounds.GROWTH
        pause_ns = max(bounds.PAUSE_NS, self.solved * bounds.PAUSE_A_MARK_NS)
        return bool(self.pending) and (
            quiet or self.fresh >= self.solved * growth or now_ns - self.solved_ns >= pause_ns
        )


class Solving:
    """Explain the marks of groups that cross. Aspects share no marks, so each is solved alone."""

    def __init__(self, counting: Counting, series: dict[AspectGroup, Series]) -> None:
        self._counting = counting
        self._series = series
        self._paces: dict[str, _Pace] = {name: _Pace() for name in ASPECTS}
        self._candidates: dict[AspectGroup, list[Candidate]] = {}
        self._parents: dict[tuple[str, Group, int, int], frozenset[Mark]] = {}
        self.explanations: list[Explanation] = []

    def came(self, aspect: str) -> None:
        """Say that a mark came."""
        self._paces[aspect].fresh += 1

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

    def solve(self, busy: set[str], now_ns: int) -> bool:
        """Solve the aspects that are due; say whether there were any.

        Args:
            busy: aspects in which something changed since the last time.
            now_ns: collector's wall clock.
        """
        due = [name for name, pace in self._paces.items() if pace.due(quiet=name not in busy, now_ns=now_ns)]
        for name in due:
            self._solve(name, now_ns)
        return bool(due)

    def _solve(self, aspect: str, now_ns: int) -> None:
        pace = self._paces[aspect]
        self._parents.clear()
        closure = self._closure(pace.pending)
        candidates = [one for key in closure for one in self._candidates_of(key)]
        touched = frozenset(chain.from_iterable(one.marks for one in candidates))
        pace.pending.clear()
        pace.fresh, pace.solved, pace.solved_ns = 0, len(touched), now_ns
        kept = [
            one
            for one in self.explanations
            if (one.candidate.aspect, one.candidate.group) not in closure
            and (one.candidate.aspect != aspect or one.marks.isdisjoint(touched))
        ]
        self.explanations = kept + (explain(candidates, self._within) if candidates else [])

    def _closure(self, start: Iterable[AspectGroup]) -> dict[AspectGroup, None]:
        """Return the groups that cross and share marks with these, directly or over others."""
        found = dict.fromkeys(start)
        waiting = list(found)
        seen: set[Mark] = set()
        cells: set[int] = set()
        while waiting:
            series = self._series.get(waiting.pop())
            if series is None:
                continue
            new: set[Mark] = set()
            for low, high in {series.span(one.start_ns, one.end_ns) for one in chain(*series.crossings.values())}:
                new.update(series.marks[low:high])
            new -= seen
            seen |= new
            fresh = {id(mark.keys): mark.keys for mark in new}
            near = set(chain.from_iterable(keys for name, keys in fresh.items() if name not in cells))
            cells.update(fresh)
            for key in sorted(near - found.keys()):
                if self._series[key].crossings:
                    found[key] = None
                    waiting.append(key)
        return found

    def _candidates_of(self, key: AspectGroup) -> list[Candidate]:
        series = self._series.get(key)
        if series is None:
            return []
        known = self._candidates.get(key)
        if known is not None:
            return known
        found: dict[tuple[int, int], Candidate] = {}
        for seconds in sorted(series.crossings, key=lambda one: one or _DRIFT_LAST):
            for interval in series.crossings[seconds]:
                low, high = span = series.span(interval.start_ns, interval.end_ns)
                if low < high and span not in found:
                    found[span] = self._candidate(key, seconds, interval, frozenset(series.marks[low:high]))
        self._candidates[key] = list(found.values())
        return self._candidates[key]

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
            here=partial(counting.units_here, group=group, kind=kind),
        )

    def _within(self, aspect: str, group: Group, start_ns: int, end_ns: int) -> tuple[frozenset[Mark], int]:
        key = (aspect, group, start_ns, end_ns)
        marks = self._parents.get(key)
        if marks is None:
            series = self._series.get((aspect, group))
            marks = self._parents[key] = frozenset(series.between(start_ns, end_ns) if series is not None else ())
        return marks, self._counting.units(group, HOST)
