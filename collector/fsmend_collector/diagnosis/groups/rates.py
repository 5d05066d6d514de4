"""Rates: how often units begin to fail when nothing is shared, learnt day by day.

Each aspect has a rate for the fleet (a gamma prior worth a few events, plus what was seen), each group a factor on it:
gamma distributed over groups, narrowed by the group's own history. A day is learnt when nothing of it can come late any
more, without the marks that shared causes explained. Judging a window uses the days before it began, so that a slow
rise does not become its own baseline.
"""

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from fsmend_collector.diagnosis.groups.aspects import ASPECTS
from fsmend_collector.diagnosis.groups.settings import ScanSettings
from fsmend_collector.diagnosis.groups.views import Group

_PRIOR_EVENTS = 20.0
_DAYS_BACK = 34
_HOURS = 24.0

AspectGroup = tuple[str, Group]


@dataclass(slots=True)
class Day:
    """What one day added: units by hours watched and marks by aspect, and marks by group."""

    number: int
    exposure: dict[str, float]
    marks: Counter[str]
    groups: Counter[AspectGroup]


@dataclass(frozen=True, slots=True)
class Expectation:
    """How one group is expected to fail.

    Attributes:
        per_hour: of one unit, best estimate.
        shape: of the gamma that says how sure that is.
        fleet_per_hour: of one unit of the fleet.
    """

    per_hour: float
    shape: float
    fleet_per_hour: float


@dataclass(slots=True)
class Rates:
    """What was learnt; `exposure` and `marks` are totals through the newest learnt day."""

    settings: ScanSettings
    exposure: dict[str, float] = field(default_factory=lambda: dict.fromkeys(ASPECTS, 0.0))
    marks: Counter[str] = field(default_factory=Counter)
    groups: Counter[AspectGroup] = field(default_factory=Counter)
    days: deque[Day] = field(default_factory=deque)
    hours: float = 0.0

    @property
    def learnt_through(self) -> int:
        """Return the number of the newest learnt day since 1970, 0: none."""
        return self.days[-1].number if self.days else 0

    def learn(self, number: int, units: tuple[int, int, int], marks: Iterable[tuple[str, Iterable[Group]]]) -> None:
        """Learn one day: how many units of each kind were watched, and the marks that no shared cause explained."""
        day = Day(number, {}, Counter(), Counter())
        for name, aspect in ASPECTS.items():
            day.exposure[name] = units[aspect.kind] * _HOURS
        for name, groups in marks:
            day.marks[name] += 1
            day.groups.update((name, group) for group in groups)
        self.days.append(day)
        for name, hours in day.exposure.items():
            self.exposure[name] += hours
        self.marks.update(day.marks)
        self.groups.update(day.groups)
        self.hours += _HOURS
        if len(self.days) > _DAYS_BACK:
            self.days.popleft()

    def seed(self, days: int, units: tuple[int, int, int], groups: Counter[AspectGroup], marks: Counter[str]) -> None:
        """Take a history that was learnt elsewhere: so many days of so many units, with these marks."""
        for name, aspect in ASPECTS.items():
            self.exposure[name] += units[aspect.kind] * _HOURS * days
        self.marks.update(marks)
        self.groups.update(groups)
        self.hours += _HOURS * days

    def expect(self, aspect: str, group: Group, units: int, before_day: int) -> Expectation:
        """Return how a group of so many units is expected to fail, by what was learnt of the days before one."""
        newer = self._newer(before_day)
        fleet = self._fleet(aspect, newer)
        own = self.groups.get((aspect, group), 0) - sum(day.groups.get((aspect, group), 0) for day in newer)
        hours = self.hours - _HOURS * len(newer)
        shape = self.settings.shape
        expected = fleet * units * hours
        factor = (shape + own) / (shape + expected)
        return Expectation(fleet * factor, min(shape + own, self.settings.most_shape), fleet)

    def _newer(self, before_day: int) -> list[Day]:
        if not self.days or self.days[-1].number < before_day:
            return []
        return [day for day in self.days if day.number >= before_day]

    def _fleet(self, aspect: str, newer: list[Day]) -> float:
        prior = self.settings.rates.get(aspect, ASPECTS[aspect].per_hour)
        seen = self.marks[aspect] - sum(day.marks[aspect] for day in newer)
        exposure = self.exposure[aspect] - sum(day.exposure[aspect] for day in newer)
        return (_PRIOR_EVENTS + seen) / (_PRIOR_EVENTS / prior + exposure)
