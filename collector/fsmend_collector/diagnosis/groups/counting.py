"""Counting: what is expected of a group, and how many failing units are too many for the budget of false incidents."""

import math
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

from fsmend_collector.diagnosis.groups.aspects import ASPECTS, DEVICE, FILESYSTEM
from fsmend_collector.diagnosis.groups.dimensions import dimension
from fsmend_collector.diagnosis.groups.population import Population
from fsmend_collector.diagnosis.groups.rates import AspectGroup, Expectation, Rates
from fsmend_collector.diagnosis.groups.settings import DAY_NS, ScanSettings
from fsmend_collector.diagnosis.groups.tails import gamma_poisson_sf
from fsmend_collector.diagnosis.groups.views import Group, HostView

_NESTED = 8.0  # six lengths of windows and the sequential test, all of which look at every mark
_NEVER = 1 << 30
_KEPT = 50_000
_Key = tuple[str, Group, int, int]
Limits = tuple[tuple[int, int], ...]
"""How many units are too many, and in how long a window in seconds; the lowest limit first."""


@dataclass(slots=True)
class Counting:
    """Know sizes, expectations and thresholds.

    Attributes:
        local: sizes of the groups that lie within one host, for hosts that were asked about.
        generation: how often the population has changed.
    """

    settings: ScanSettings
    population: Population
    rates: Rates
    local: dict[Group, list[int]] = field(default_factory=dict)
    generation: int = 0
    _here: dict[str, dict[Group, list[int]]] = field(default_factory=dict)
    _thresholds: dict[_Key, int] = field(default_factory=dict)
    _own: dict[tuple[AspectGroup, tuple[int, ...], int], Limits] = field(default_factory=dict)
    _alike: dict[tuple[str, str, int, tuple[int, ...], int], Limits] = field(default_factory=dict)
    _least: dict[tuple[float, float, float], int] = field(default_factory=dict)
    _found_at: dict[tuple[str, str, int], int] = field(default_factory=dict)

    def learn(self, view: HostView) -> None:
        """Take the view of a host with faults."""
        sizes = view.sizes()
        self._here[view.agent_id] = sizes
        for group, row in sizes.items():
            if dimension(group[0]).local:
                self.local[group] = row

    def forget(self, agent_id: str) -> None:
        """Forget a host without faults."""
        for group in self._here.pop(agent_id, {}):
            self.local.pop(group, None)

    def limits(self, key: AspectGroup, windows_seconds: tuple[int, ...], day: int) -> Limits:
        """Return the thresholds of windows that end on a day, each with its window in seconds, the lowest first.

        Groups without a history of their own are alike.
        """
        aspect, group = key
        if key in self.rates.groups:
            mine = (key, windows_seconds, day)
            known = self._own.get(mine)
            if known is None:
                rows = [(self.threshold(aspect, group, one, day * DAY_NS), one) for one in windows_seconds]
                known = self._own[mine] = tuple(sorted(rows))
            return known
        alike = (aspect, group[0], self.units(group, ASPECTS[aspect].kind), windows_seconds, day)
        known = self._alike.get(alike)
        if known is None:
            if len(self._alike) > _KEPT:
                self._alike.clear()
            rows = [(self._find(aspect, group, one, day), one) for one in windows_seconds]
            known = self._alike[alike] = tuple(sorted(rows))
        return known

    def forget_thresholds(self) -> None:
        """Find thresholds anew: the population has changed."""
        self.generation += 1
        self._thresholds.clear()
        self._own.clear()
        self._alike.clear()

    def units(self, group: Group, kind: int) -> int:
        """Return how many units of a kind a group has."""
        row = self.local.get(group)
        size = row[kind] if row is not None else self.population.size(group, kind)
        if size or kind != DEVICE:
            return size
        return self.units(group, FILESYSTEM)  # what a remote target serves has no disk here

    def units_here(self, agent_id: str, group: Group, kind: int) -> int:
        """Return how many units of a group are on one host; 0: its view is not known."""
        return self._here.get(agent_id, {}).get(group, (0, 0, 0))[kind]

    def expect(self, aspect: str, group: Group, start_ns: int) -> Expectation:
        """Return how a group is expected to fail, judged by the days well before a time.

        The newest two days are left out, because learning waits for what comes late: so it does not matter when asked.
        """
        units = self.units(group, ASPECTS[aspect].kind)
        return self.rates.expect(aspect, group, units, start_ns // DAY_NS - self._late_days())

    def _late_days(self) -> int:
        return 1 + math.ceil(self.settings.lateness_seconds / 86_400)

    def ways(self, group: Group) -> float:
        """Return how many tests share the budget with a group: all of its dimension, and all dimensions and aspects."""
        return max(self.population.groups[group[0]], 1) * self._share()

    def _share(self) -> float:
        return max(len(self.population.groups), 1) * len(ASPECTS) * _NESTED

    def penalty(self, group: Group) -> float:
        """Return what a cause of this dimension must earn, in nats."""
        return math.log(max(self.population.groups[group[0]], 1)) + self.settings.prior_nats

    def threshold(self, aspect: str, group: Group, seconds: int, end_ns: int) -> int:
        """Return how many distinct units in a window that ends then are too many."""
        day = end_ns // DAY_NS
        key = (aspect, group, seconds, day)
        known = self._thresholds.get(key)
        if known is None:
            if len(self._thresholds) > _KEPT:
                self._thresholds.clear()
                self._own.clear()
            known = self._thresholds[key] = self._find(aspect, group, seconds, day)
        return known

    def _find(self, aspect: str, group: Group, seconds: int, day: int) -> int:
        units = self.units(group, ASPECTS[aspect].kind)
        if units < self.settings.least_units:
            return _NEVER
        expected = self.expect(aspect, group, day * DAY_NS - seconds * 1_000_000_000)
        per_hour = expected.per_hour * units
        key = (round(per_hour, 12), round(expected.shape, 6), self.ways(group) * seconds)
        least = self._least.get(key)
        if least is None:
            ladder = _ladder(self.settings.least_units)

            def borne(count: int) -> bool:
                return self.spent(group, per_hour, expected.shape, seconds, count) <= self.settings.budget_per_day

            alike = (aspect, group[0], seconds)
            at = self._found_at[alike] = min(_first(ladder, borne, self._found_at.get(alike, 0)), len(ladder) - 1)
            least = self._least[key] = ladder[at]
        return least

    def spent(self, group: Group, per_hour: float, shape: float, seconds: float, count: int) -> float:
        """Return the false incidents a day that asking for so many units costs, over all tests that share the budget.

        Each mark begins a window; the alarm is false when as many more as are needed follow in it by chance. A group
        that shows a mark is likelier one with a high rate: the gamma is sized by it.
        """
        mean = per_hour * seconds / 3_600 * (shape + 1) / shape
        chance = gamma_poisson_sf(count - 1, mean, shape + 1)
        if dimension(group[0]).local:  # one in seven failures on a host comes as a pair (FAST'21)
            chance += self.settings.pairs * gamma_poisson_sf(count - 2, mean, shape + 1)
        return self.ways(group) * per_hour * 24 * chance


def _first(ladder: list[int], borne: Callable[[int], bool], guess: int) -> int:
    """Return the position of the first that is borne, looked for from a guess outwards: most of a kind are near it."""
    low, high, step = guess - 1, guess, 1
    if borne(ladder[guess]):
        while low >= 0 and borne(ladder[low]):
            low, high, step = low - 2 * step, low, 2 * step
    else:
        low, high = guess, guess + 1
        while high < len(ladder) and not borne(ladder[high]):
            low, high, step = high, high + 2 * step, 2 * step
    return bisect_left(ladder, True, max(low + 1, 0), min(high, len(ladder)), key=borne)


@cache
def _ladder(least: int) -> list[int]:
    """List the thresholds that are tried: one by one up to fifty, then in steps of four per cent."""
    rungs = [least]
    while rungs[-1] < _NEVER:
        rungs.append(rungs[-1] + (1 if rungs[-1] < 50 else rungs[-1] // 25))
    return rungs
