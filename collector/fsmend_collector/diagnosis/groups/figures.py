"""Figures: what was counted for a cause or a suspect, and what it was held against."""

from dataclasses import dataclass

from fsmend_collector.diagnosis.groups.aspects import ASPECTS
from fsmend_collector.diagnosis.groups.candidate import Candidate, distinct
from fsmend_collector.diagnosis.groups.counting import Counting
from fsmend_collector.diagnosis.groups.marks import Mark
from fsmend_collector.diagnosis.groups.tails import gamma_poisson_sf, poisson_interval


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
        hosts: in the group.
        per_hour: base rate of one unit of the group, as learnt before the onset.
        fleet_per_hour: of one unit of the fleet.
        shape: of the gamma that the rates of groups follow.
        score: penalised log likelihood ratio, in nats.
        penalty: what any cause of the dimension must earn, in nats.
        least: so many in the window are too many for the budget.
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
    hosts: int = 0
    per_hour: float = 0.0
    fleet_per_hour: float = 0.0
    shape: float = 0.0
    score: float = 0.0
    penalty: float = 0.0
    least: int = 0


def statistics_of(one: Candidate, marks: frozenset[Mark], score: float, counting: Counting) -> Statistics:
    """Return the figures of a group that is held to explain these marks."""
    local = one.dimension.local
    observed = distinct(marks, wide=not local)
    hours = one.span_hours
    expected = one.per_hour * one.units * hours
    low, high = poisson_interval(observed)
    window = one.seconds or int(hours * 3_600)
    return Statistics(
        aspect=one.aspect,
        counted=counted_by(one),
        observed=observed,
        expected=expected,
        units=one.units,
        unit_hours=one.units * hours,
        ratio_low=low / expected if expected else 0.0,
        ratio_high=high / expected if expected else 0.0,
        p=gamma_poisson_sf(observed, expected, one.shape),
        spent_per_day=counting.spent(one.group, one.per_hour * one.units, one.shape, window, observed),
        window_seconds=one.seconds,
        hosts=one.hosts,
        per_hour=one.per_hour,
        fleet_per_hour=one.base_per_hour,
        shape=one.shape,
        score=score,
        penalty=one.penalty,
        least=one.least,
    )


def counted_by(one: Candidate) -> str:
    """Return what a group is counted in: hosts when it spans them."""
    return ("devices", "filesystems", "hosts")[ASPECTS[one.aspect].kind] if one.dimension.local else "hosts"
