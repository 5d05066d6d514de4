"""Candidates: groups with too many marks in a time, and how well each explains them."""

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from operator import attrgetter

from fsmend_collector.diagnosis.groups.dimensions import Dimension, dimension
from fsmend_collector.diagnosis.groups.marks import Mark
from fsmend_collector.diagnosis.groups.settings import HOUR_NS
from fsmend_collector.diagnosis.groups.tails import log_likelihood_ratio
from fsmend_collector.diagnosis.groups.views import Group

_LEAST_SPAN_HOURS = 300 / 3_600
_unit_of = attrgetter("unit")
_host_of = attrgetter("agent_id")
_identity_of = attrgetter("identity")
_time_of = attrgetter("time_ns")


def _unknown(_agent_id: str) -> int:
    return 0


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
        prior: of these, what it must earn whatever its dimension: how rare shared causes are.
        here: host → units of the group on it; 0: unknown.
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
    prior: float = 0.0
    here: Callable[[str], int] = _unknown
    row: Dimension = field(init=False)
    order: tuple[int, str, str, int, int] = field(init=False)
    _whole: float | None = field(init=False, default=None)
    _whole_stands: bool | None = field(init=False, default=None)
    _failing_hosts: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        """Look its dimension up, and make the key that breaks ties the same way in every process."""
        self.row = dimension(self.group[0])
        self.order = (self.row.rank, *self.group, self.seconds, self.start_ns)

    @property
    def dimension(self) -> Dimension:
        """Return the row of its dimension."""
        return self.row

    @property
    def span_hours(self) -> float:
        """Return how long it took."""
        return max((self.end_ns - self.start_ns) / HOUR_NS, _LEAST_SPAN_HOURS)

    @property
    def chance(self) -> float:
        """Return the probability that one unit fails in the interval when nothing is shared."""
        return -math.expm1(-self.base_per_hour * self.span_hours)

    @property
    def whole(self) -> float:
        """Return the score by all of its marks; taken once."""
        if self._whole is None:
            if self.row.local:
                units = len(set(map(_unit_of, self.marks)))
                self._whole = log_likelihood_ratio(units, max(self.units, 1), self.chance) - self.penalty
            else:
                self._whole = self.score(self.marks)
        return self._whole

    @property
    def whole_stands(self) -> bool:
        """Say whether all of its marks are too many; looked at once."""
        if self._whole_stands is None:
            self._whole_stands = self.stands(self.marks)
        return self._whole_stands

    @property
    def failing_hosts(self) -> int:
        """Return how many distinct hosts all of its marks are of; counted once."""
        if not self._failing_hosts:
            self._failing_hosts = distinct(self.marks, wide=True)
        return self._failing_hosts

    @property
    def coincidence(self) -> float:
        """Return what an independent cause costs in the interval of another, in nats: less where it is long."""
        return max(0.0, self.prior - math.log(self.span_hours / _LEAST_SPAN_HOURS))

    def score(self, marks: Collection[Mark]) -> float:
        """Return the penalised log likelihood ratio of the group being at fault, by these of its marks; see Tally."""
        return Tally(self, marks).score()

    def alone(self, agent_id: str, failed: int) -> float:
        """Return the log likelihood ratio of one host failing for a reason of its own."""
        return log_likelihood_ratio(failed, max(self.here(agent_id), failed), self.chance)

    def stands(self, marks: Collection[Mark]) -> bool:
        """Say whether these of its marks alone are still too many."""
        if len(marks) < self.least or distinct(marks, wide=not self.row.local) < self.least:
            return False
        if not self.seconds:
            return self.score(marks) > 0
        length_ns = self.seconds * 1_000_000_000
        if max(map(_time_of, marks)) - min(map(_time_of, marks)) <= length_ns:
            return True
        counted = _unit_of if self.row.local else _host_of
        ordered = sorted(marks, key=_identity_of)
        seen: Counter[object] = Counter()
        start = 0
        for mark in ordered:
            seen[counted(mark)] += 1
            while ordered[start].time_ns < mark.time_ns - length_ns:
                old = counted(ordered[start])
                seen[old] -= 1
                if not seen[old]:
                    del seen[old]
                start += 1
            if len(seen) >= self.least:
                return True
        return False


class Tally:
    """How many units fail on how many hosts, by some marks of a candidate; marks can be taken off one by one.

    Where the group spans hosts it is counted in hosts. How many units fail on a host that fails is a second question,
    with the same answer for every cause that spans the host; so it is added, and causes of all dimensions compare on
    the same evidence.
    """

    __slots__ = ("_by_host", "_chance", "_many", "_of", "_repeated", "_units")

    def __init__(self, candidate: Candidate, marks: Collection[Mark]) -> None:
        self._of = candidate
        self._chance = candidate.chance
        units = set(map(_unit_of, marks))
        again = len(units) < len(marks)  # a unit failed, was well, and failed again
        self._repeated = Counter(map(_unit_of, marks)) if again else None
        self._units = len(units)
        self._by_host: Counter[str] = Counter()
        self._many: Counter[tuple[int, int]] = Counter()  # (failed, here) → hosts, where more than one failed
        if not candidate.row.local:
            self._by_host.update((agent_id for agent_id, _ in units) if again else map(_host_of, marks))
            for agent_id, failed in self._by_host.items():
                if failed > 1:
                    self._many[failed, candidate.here(agent_id)] += 1

    def remove(self, marks: Iterable[Mark]) -> None:
        """Take marks off that it was made of."""
        for mark in marks:
            if self._repeated is not None:
                self._repeated[mark.unit] -= 1
                if self._repeated[mark.unit]:
                    continue
            self._units -= 1
            if not self._of.row.local:
                self._remove_unit(mark.agent_id)

    def _remove_unit(self, agent_id: str) -> None:
        failed = self._by_host[agent_id]
        if failed == 1:
            del self._by_host[agent_id]
            return
        self._by_host[agent_id] = failed - 1
        here = self._of.here(agent_id)
        self._many[failed, here] -= 1
        if failed > 2:
            self._many[failed - 1, here] += 1

    def score(self) -> float:
        """Return the penalised log likelihood ratio."""
        one, chance = self._of, self._chance
        if one.row.local:
            return log_likelihood_ratio(self._units, max(one.units, 1), chance) - one.penalty
        mean = one.units / max(one.hosts, 1)
        host_chance = -math.expm1(-one.base_per_hour * one.span_hours * mean)
        # Summed exactly, so that the order of sets does not show in the last digit.
        gains = [log_likelihood_ratio(len(self._by_host), one.hosts, host_chance), -one.penalty]
        for (failed, here), hosts in self._many.items():
            if hosts:
                size = max(here, failed)
                gain = log_likelihood_ratio(failed, size, chance) - log_likelihood_ratio(1, size, chance)
                gains.append(hosts * gain)
        return math.fsum(gains)


def distinct(marks: Iterable[Mark], *, wide: bool) -> int:
    """Count the hosts, or the units, that marks are of."""
    return len(set(map(_host_of, marks))) if wide else len({mark.key[1:] for mark in marks})
