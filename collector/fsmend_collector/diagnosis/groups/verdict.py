"""Verdicts: the shared causes as they are now."""

import hashlib
import math
from dataclasses import dataclass

from fsmend_collector.diagnosis.groups.aspects import ASPECTS
from fsmend_collector.diagnosis.groups.candidate import Candidate, distinct
from fsmend_collector.diagnosis.groups.counting import Counting
from fsmend_collector.diagnosis.groups.dimensions import dimension
from fsmend_collector.diagnosis.groups.explain import Explanation
from fsmend_collector.diagnosis.groups.marks import Mark
from fsmend_collector.diagnosis.groups.settings import DAY_NS, HOUR_NS
from fsmend_collector.diagnosis.groups.tails import gamma_poisson_sf, poisson_interval
from fsmend_collector.diagnosis.groups.views import Group

_SLOW_NS = 6 * HOUR_NS
_ENVIRONMENT = frozenset({"health", "media", "link"})
_MOST_ODDS = 1e9


@dataclass(frozen=True, slots=True)
class Statistics:
    """Why a verdict was reached.

    Attributes:
        aspect: in which way the units fail.
        counted: what was counted: hosts, devices or filesystems.
        observed: how many.
        expected: how many there would be without a shared cause.
        units: in the group.
        unit_hours: exposure: units by hours of the interval.
        ratio_low: of the observed rate to the expected one, 95 % interval.
        ratio_high: its upper end.
        p: chance of so many or more.
        spent_per_day: false incidents a day that a test this strict costs the whole fleet.
        window_seconds: length of the window; 0: the sequential test.
    """

    aspect: str
    counted: str
    observed: int
    expected: float
    units: int
    unit_hours: float
    ratio_low: float
    ratio_high: float
    p: float
    spent_per_day: float
    window_seconds: int


@dataclass(frozen=True, slots=True)
class Suspect:
    """Another group that would explain the same; odds against all the others together."""

    group: Group
    odds: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """One shared cause.

    Attributes:
        incident_id: of its incident; follows from the group and the day it began.
        group: dimension and value.
        odds: of this cause against the suspects together.
        marks: what it explains.
        changes: names of changes that came before most of it.
    """

    incident_id: str
    group: Group
    code: str
    odds: float
    suspects: tuple[Suspect, ...]
    marks: frozenset[Mark]
    onset_ns: int
    latest_ns: int
    statistics: Statistics
    changes: tuple[str, ...] = ()

    @property
    def face(self) -> tuple[object, ...]:
        """Return what must be told when it changes."""
        suspects = tuple(one.group for one in self.suspects)
        return (self.incident_id, self.code, suspects, self.onset_ns, self.latest_ns, len(self.marks), self.changes)


def verdict_of(
    parts: list[Explanation], absorbed: frozenset[Mark], changes: tuple[str, ...], counting: Counting
) -> Verdict:
    """Return the verdict on one group from what it explains in each aspect and time, best first."""
    best = parts[0]
    group = best.candidate.group
    marks = absorbed.union(*(one.marks for one in parts))
    onset_ns, latest_ns = min(one.time_ns for one in marks), max(one.time_ns for one in marks)
    odds, suspects = _odds(best)
    return Verdict(
        incident_id=verdict_id(group, onset_ns),
        group=group,
        code=_code(group, {one.aspect for one in marks}, latest_ns - onset_ns),
        odds=odds,
        suspects=suspects,
        marks=marks,
        onset_ns=onset_ns,
        latest_ns=latest_ns,
        statistics=_statistics(best.candidate, best.marks, counting),
        changes=changes,
    )


def verdict_id(group: Group, onset_ns: int) -> str:
    """Return the id of a shared cause: the same group on the same day is the same incident."""
    return "inc-" + hashlib.sha256(f"group\0{group[0]}\0{group[1]}\0{onset_ns // DAY_NS}".encode()).hexdigest()[:16]


def _code(group: Group, aspects: set[str], took_ns: int) -> str:
    row = dimension(group[0])
    if aspects == {"silent"}:
        return "CONNECTION_LOST"
    if row.code == "AREA_FAULT" and took_ns > _SLOW_NS and aspects <= _ENVIRONMENT:
        return "ENVIRONMENT_DRIFT"
    return row.code


def _odds(best: Explanation) -> tuple[float, tuple[Suspect, ...]]:
    """Turn scores into odds: each is a log likelihood ratio against the same chance, with its prior taken off."""
    scores = [best.score, *(score for _, score in best.suspects)]
    top = max(scores)
    weights = [math.exp(max(score - top, -700.0)) for score in scores]
    total = math.fsum(weights)
    odds = [min(weight / max(total - weight, weight / _MOST_ODDS), _MOST_ODDS) for weight in weights]
    return odds[0], tuple(Suspect(group, odds[at + 1]) for at, (group, _) in enumerate(best.suspects))


def _statistics(one: Candidate, marks: frozenset[Mark], counting: Counting) -> Statistics:
    local = one.dimension.local
    observed = distinct(marks, wide=not local)
    hours = one.span_hours
    expected = one.per_hour * one.units * hours
    low, high = poisson_interval(observed)
    window = one.seconds or int(hours * 3_600)
    return Statistics(
        aspect=one.aspect,
        counted=("devices", "filesystems", "hosts")[ASPECTS[one.aspect].kind] if local else "hosts",
        observed=observed,
        expected=expected,
        units=one.units,
        unit_hours=one.units * hours,
        ratio_low=low / expected if expected else 0.0,
        ratio_high=high / expected if expected else 0.0,
        p=gamma_poisson_sf(observed, expected, one.shape),
        spent_per_day=counting.spent(one.group, one.per_hour * one.units, one.shape, window, observed),
        window_seconds=one.seconds,
    )
