"""Crossings: the series of all groups, and which of them have too many marks in some time."""

from dataclasses import dataclass, field

from fsmend_collector.diagnosis.config import SECONDS_NS
from fsmend_collector.diagnosis.groups import bounds
from fsmend_collector.diagnosis.groups.aspects import ASPECTS
from fsmend_collector.diagnosis.groups.cells import Keys
from fsmend_collector.diagnosis.groups.counting import Counting
from fsmend_collector.diagnosis.groups.dimensions import dimension
from fsmend_collector.diagnosis.groups.drift import Drift, bound
from fsmend_collector.diagnosis.groups.marks import Mark
from fsmend_collector.diagnosis.groups.rates import AspectGroup
from fsmend_collector.diagnosis.groups.series import Interval, Series
from fsmend_collector.diagnosis.groups.settings import DAY_NS, ScanSettings

_KEPT = 10_000
_Paces = dict[tuple[AspectGroup | tuple[str, str], int, float, int], tuple[float, float]]


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
    _paces: _Paces = field(default_factory=dict)
    _learnt_hours: float = -1.0

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
        found = [(series.key, self._crosses(series)) for series in self.dirty]
        self.dirty.clear()
        return found

    def _crosses(self, series: Series) -> bool:
        windows = self.settings.windows_seconds if series.wide else bounds.WINDOWS_LOCAL
        crosses = series.evaluate(self.settings.least_units, lambda day: self.counting.limits(series.key, windows, day))
        if series.wide and len(series.marks) >= bounds.DRIFT_MARKS:
            return self._drifts(series) or crosses
        if series.crossings.pop(0, None) is not None:
            series.drift = None
        return crosses

    def _drifts(self, series: Series) -> bool:
        drift = series.drift
        if drift is None:
            drift = series.drift = Drift(self.settings.drift_ratio, self.settings.quiet_seconds * SECONDS_NS)
            series.crossings.pop(0, None)
        day, per_hour, height = -1, 0.0, 0.0
        for mark in series.marks[drift.count :]:
            if mark.time_ns // DAY_NS != day:
                day = mark.time_ns // DAY_NS
                per_hour, height = self._pace(series.key, day)
            drift.add(mark.time_ns, mark.agent_id, per_hour, height)
        if drift.found:
            series.crossings[0] = [Interval(start_ns, end_ns) for start_ns, end_ns in drift.found]
        else:
            series.crossings.pop(0, None)
        return 0 in series.crossings

    def _pace(self, key: AspectGroup, day: int) -> tuple[float, float]:
        """Return how many marks an hour a group is expected to show on a day, and how high its sum must rise.

        Groups without a history of their own are alike, as for the limits.
        """
        counting = self.counting
        if self._learnt_hours != counting.rates.hours or len(self._paces) > _KEPT:
            self._paces.clear()
            self._learnt_hours = counting.rates.hours
        aspect, group = key
        units, ways = counting.units(group, ASPECTS[aspect].kind), counting.ways(group)
        alike = (key if key in counting.rates.groups else (aspect, group[0]), units, ways, day)
        known = self._paces.get(alike)
        if known is None:
            per_hour = counting.expect(aspect, group, (day - 30) * DAY_NS).per_hour * units
            known = self._paces[alike] = per_hour, bound(per_hour, ways, self.settings.budget_per_day)
        return known
