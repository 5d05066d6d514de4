"""Crossings: the series of all groups, and which of them have too many marks in some time."""

from dataclasses import dataclass, field

from fsmend_collector.diagnosis.config import SECONDS_NS
from fsmend_collector.diagnosis.groups import bounds
from fsmend_collector.diagnosis.groups.aspects import ASPECTS
from fsmend_collector.diagnosis.groups.cells import Keys
from fsmend_collector.diagnosis.groups.counting import Counting, Limits
from fsmend_collector.diagnosis.groups.dimensions import dimension
from fsmend_collector.diagnosis.groups.drift import Drift, bound
from fsmend_collector.diagnosis.groups.marks import Mark
from fsmend_collector.diagnosis.groups.rates import AspectGroup
from fsmend_collector.diagnosis.groups.series import Interval, Series
from fsmend_collector.diagnosis.groups.settings import DAY_NS, ScanSettings


@dataclass(slots=True)
class Crossings:
    """Keep a series for each group in each aspect, and look at those that changed.

    Attributes:
        series: of each group that has marks.
        dirty: those whose marks changed since they were last looked at.
        waiting: aspect → those that only grew by what a known cause explains; they are looked at when all is.
    """

    settings: ScanSettings
    counting: Counting
    series: dict[AspectGroup, Series] = field(default_factory=dict)
    dirty: dict[Series, None] = field(default_factory=dict)
    waiting: dict[str, dict[Series, None]] = field(default_factory=lambda: {name: {} for name in ASPECTS})
    _together: dict[int, tuple[Keys, tuple[Series, ...]]] = field(default_factory=dict)
    _stamp: tuple[int, int, float] = (-1, -1, 0.0)
    _epoch: int = 0

    def insert(self, mark: Mark, *, explained: bool = False) -> None:
        """Take a mark into the series of its groups; one that is explained already makes nobody look."""
        changed = self.waiting[mark.aspect] if explained else self.dirty
        for series in self._of(mark.keys):
            series.insert(mark)
            changed[series] = None

    def _of(self, keys: Keys) -> tuple[Series, ...]:
        """Return the series of groups, found once for all units that share them."""
        known = self._together.get(id(keys))
        if known is None:  # the keys are kept too: so long no others have their id
            known = self._together[id(keys)] = (keys, tuple(self._one(key) for key in keys))
        return known[1]

    def _one(self, key: AspectGroup) -> Series:
        series = self.series.get(key)
        if series is None:
            series = self.series[key] = Series(wide=not dimension(key[1][0]).local, key=key)
        return series

    def touch(self, mark: Mark) -> None:
        """Say that a mark tells something else now."""
        self.dirty.update(dict.fromkeys(self.series[key] for key in mark.keys))

    def remove(self, mark: Mark) -> None:
        """Take a mark out that was none."""
        for key in mark.keys:
            self.series[key].remove(mark)
        self.touch(mark)

    def drop(self, mark: Mark) -> None:
        """Take a mark out whose time is over."""
        for key in mark.keys:
            self.series[key].drop(mark)
        self.touch(mark)

    def forget_empty(self) -> list[AspectGroup]:
        """Forget the groups without marks; return them."""
        self._together.clear()
        empty = [series for series in self.series.values() if not series.marks]
        for series in empty:
            del self.series[series.key]
            series.crossings.clear()  # it may be dirty still
        return [series.key for series in empty]

    def admit(self, aspect: str) -> None:
        """Let what waits be looked at too."""
        self.dirty.update(self.waiting[aspect])
        self.waiting[aspect].clear()

    def look(self) -> list[tuple[AspectGroup, bool]]:
        """Look at what changed: each group, and whether it crosses or did."""
        stamp = (self.counting.population.changes, self.counting.generation, self.counting.rates.hours)
        if stamp[1] != self._stamp[1]:  # units get their keys anew, and nobody asks by the old ones
            self._together.clear()
        if stamp != self._stamp:  # what was asked for groups that span hosts is asked anew
            self._stamp, self._epoch = stamp, self._epoch + 1
        found = [(series.key, self._crosses(series)) for series in self.dirty]
        self.dirty.clear()
        return found

    def _crosses(self, series: Series) -> bool:
        crosses = series.evaluate(self.settings.least_units, lambda day: self._limits(series, day))
        if series.wide and len(series.marks) >= bounds.DRIFT_MARKS:
            return self._drifts(series) or crosses
        if series.crossings.pop(0, None) is not None:
            series.drift = None
        return crosses

    def _limits(self, series: Series, day: int) -> Limits:
        if not series.wide:
            return self.counting.limits(series.key, bounds.WINDOWS_LOCAL, day)
        if series.asked[:2] != (self._epoch, day):
            series.asked = (self._epoch, day, self.counting.limits(series.key, self.settings.windows_seconds, day))
        return series.asked[2]

    def _drifts(self, series: Series) -> bool:
        drift = series.drift
        if drift is None:
            drift = series.drift = Drift(self.settings.drift_ratio, self.settings.quiet_seconds * SECONDS_NS)
            series.crossings.pop(0, None)
        for mark in series.marks[drift.count :]:
            day = mark.time_ns // DAY_NS
            if day != drift.day or self._epoch != drift.epoch:
                self._pace(drift, series.key, day)
            drift.add(mark.time_ns, mark.agent_id)
        if drift.found:
            series.crossings[0] = [Interval(start_ns, end_ns) for start_ns, end_ns in drift.found]
        else:
            series.crossings.pop(0, None)
        return 0 in series.crossings

    def _pace(self, drift: Drift, key: AspectGroup, day: int) -> None:
        """Let the sequential test know what its group is expected to show on a day."""
        units = self.counting.units(key[1], ASPECTS[key[0]].kind)
        drift.per_hour = self.counting.expect(*key, (day - 30) * DAY_NS).per_hour * units
        drift.height = bound(drift.per_hour, self.counting.ways(key[1]), self.settings.budget_per_day)
        drift.day, drift.epoch = day, self._epoch
