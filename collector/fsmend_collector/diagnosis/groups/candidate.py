"""Candidates: groups with too many marks in a time, and how well each explains them."""

import math
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from fsmend_collector.diagnosis.groups.dimensions import Dimension, dimension
from fsmend_collector.diagnosis.groups.marks import Mark
from fsmend_collector.diagnosis.groups.settings import HOUR_NS
from fsmend_collector.diagnosis.groups.tails import log_likelihood_ratio
from fsmend_collector.diagnosis.groups.views import Group

_LEAST_SPAN_HOURS = 300 / 3_600


@dataclass(slots=True, eq=False)
class Candidate:
    """One group in one aspect over one interval.

    Attributes:
        seconds: length of the window that it crossed in; 0: found by the sequential test.
        least: how many distinct units are too many in that window.
        marks: all of its marks in the interval.
        units: units of the aspect's kind in the group; hosts likewise.
        per_hour: expected, of one unit of the group.
        base_per_hour: of one unit of the fleet: causes compare on the same ground.
        shape: of the gamma behind it.
        penalty: nats that any cause of its dimension must earn.
        here: host → units of the group on it.
    """

    group: Group
    aspect: str
    seconds: int
    start_ns: int
    end_ns: int
    least: int
    marks: frozenset[Mark]
    units: int
    hosts: int
    per_hour: float
    base_per_hour: float
    shape: float
    penalty: float
    here: dict[str, int] = field(default_factory=dict)

    @property
    def dimension(self) -> Dimension:
        """Return the row of its dimension."""
        return dimension(self.group[0])

    @property
    def span_hours(self) -> float:
        """Return how long it took."""
        return max((self.end_ns - self.start_ns) / HOUR_NS, _LEAST_SPAN_HOURS)

    @property
    def order(self) -> tuple[int, str, str, int, int]:
        """Break ties the same way in every process."""
        return (self.dimension.rank, *self.group, self.seconds, self.start_ns)

    def score(self, marks: Collection[Mark]) -> float:
        """Return the penalised log likelihood ratio of the group being at fault, by these of its marks.

        Where the group spans hosts it is counted in hosts. How many units fail on a host that fails is a second
        question, with the same answer for every cause that spans the host; so it is added, and causes of all
        dimensions compare on the same evidence.
        """
        chance = -math.expm1(-self.base_per_hour * self.span_hours)
        if self.dimension.local:
            return log_likelihood_ratio(len(_units(marks)), max(self.units, 1), chance) - self.penalty
        per_host = Counter(agent_id for agent_id, _ in _units(marks))
        mean = self.units / max(self.hosts, 1)
        host_chance = -math.expm1(-self.base_per_hour * self.span_hours * mean)
        # Summed exactly, so that the order of sets does not show in the last digit.
        gains = [log_likelihood_ratio(len(per_host), self.hosts, host_chance), -self.penalty]
        for agent_id, failed in per_host.items():
            if failed > 1:
                here = max(self.here.get(agent_id, failed), failed)
                gains += [log_likelihood_ratio(failed, here, chance), -log_likelihood_ratio(1, here, chance)]
        return math.fsum(gains)

    def alone(self, agent_id: str, failed: int) -> float:
        """Return the log likelihood ratio of one host failing for a reason of its own."""
        chance = -math.expm1(-self.base_per_hour * self.span_hours)
        return log_likelihood_ratio(failed, max(self.here.get(agent_id, failed), failed), chance)

    def stands(self, marks: Collection[Mark]) -> bool:
        """Say whether these of its marks alone are still too many."""
        if not self.seconds:
            return self.score(marks) > 0 and distinct(marks, wide=not self.dimension.local) >= self.least
        length_ns = self.seconds * 1_000_000_000
        ordered = sorted(marks, key=lambda mark: mark.identity)
        seen: Counter[object] = Counter()
        start = 0
        for mark in ordered:
            seen[_counted(mark, self.dimension.local)] += 1
            while ordered[start].time_ns < mark.time_ns - length_ns:
                old = _counted(ordered[start], self.dimension.local)
                seen[old] -= 1
                if not seen[old]:
                    del seen[old]
                start += 1
            if len(seen) >= self.least:
                return True
        return False


def distinct(marks: Iterable[Mark], *, wide: bool) -> int:
    """Count the hosts, or the units, that marks are of."""
    return len({mark.key[2] for mark in marks} if wide else {mark.key[1:] for mark in marks})


def _counted(mark: Mark, local: bool) -> object:
    return mark.key[1:] if local else mark.agent_id


def _units(marks: Iterable[Mark]) -> set[tuple[str, str]]:
    return {(mark.key[2], mark.key[3]) for mark in marks}
