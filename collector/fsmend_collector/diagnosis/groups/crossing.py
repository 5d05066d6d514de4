"""Crossings: the series of all groups, and which of them have too many marks in some time."""

from dataclasses import dataclass, field

from fsmend_collector.diagnosis.config import SECONDS_NS
from fsmend_collector.diagnosis.groups import bounds
from fsmend_collector.diagnosis.groups.aspects import ASPECTS
from fsmend_collector.diagnosis.groups.counting import Counting
from fsmend_collector.diagnosis.groups.dimensions import dimension
from fsmend_collector.diagnosis.groups.drift import Drift, bound
from fsmend_collector.diagnosis.groups.marks import Mark
from fsmend_collector.diagnosis.groups.rates import AspectGroup
from fsmend_collector.diagnosis.groups.series import Interval, Limits, Series
from fsmend_collector.diagnosis.groups.settings import DAY_NS, ScanSettings


@dataclass(slots=True)
class Crossings:
    """Keep a series for each group in each aspect, and look at those that changed.

    Attributes:
        series: of each group that has marks.
        dirty: groups whose marks changed since they were last looked at.
        waiting: aspect → groups that only grew by what a known cause explains; they are looked at when all is.
    """

    settings: ScanSettings
    counting: Counting
    series: dict[AspectGroup, Series] = field(default_factory=dict)
    dirty: dict[AspectGroup, None] = field(default_factory=dict)
    waiting: dict[str, dict[AspectGroup, None]] = field(default_factory=lambda: {name: {} for name in ASPECTS})
    _drift: dict[AspectGroup, Drift] = field(default_factory=dict)

    def insert(self, mark: Mark, *, explained: bool = False) -> None:
        """Take a mark into the series of its groups; one that is explained already makes nobody look."""
        changed = self.waiting[mark.aspect] if explained else self.dirty
        for key in mark.keys:
            series = self.series.get(key)
            if series is None:
                series = self.series[key] = Series(wide=not dimension(key[1][0]).local)
            at = series.insert(mark)
            changed[key] = None
            drift = self._drift.get(key)
            if drift is not None and at < drift.count and not drift.back(at):
                del self._drift[key]

    def remove(self, mark: Mark) -> None:
        """Take a mark out that was none."""
        for key in mark.keys:
            at = self.series[key].remove(mark)
            drift = self._drift.get(key)
            if drift is not None and at < drift.count and not drift.back(at):
                del self._drift[key]
            self.dirty[key] = None

    def drop(self, mark: Mark) -> None:
        """Take a mark out whose time is over."""
        for key in mark.keys:
            self.series[key].remove(mark)
            self.dirty[key] = None
            if key in self._drift:  # its share of the sum stays: walked over anew, old bursts would cross for ever
                self._drift[key].count -= 1

    def forget_empty(self) -> list[AspectGroup]:
        """Forget the groups without marks; return them."""
        empty = [key for key, series in self.series.items() if not series.marks]
        for key in empty:
            del self.series[key]
            self._drift.pop(key, None)
        return empty

    def admit(self, aspect: str) -> None:
        """Let what waits be looked at too."""
        self.dirty.update(self.waiting[aspect])
        self.waiting[aspect].clear()

    def look(self) -> list[tuple[AspectGroup, bool]]:
        """Look at what changed: each group, and whether it crosses or did."""
        found = [(key, self._crosses(key)) for key in self.dirty]
        self.dirty.clear()
        return found

    def _crosses(self, key: AspectGroup) -> bool:
        series = self.series.get(key)
        if series is None:
            return False
        windows = self.settings.windows_seconds if series.wide else bounds.WINDOWS_LOCAL
        crosses = series.evaluate(windows, self.settings.least_units, self._limits(key, windows))
        if series.wide and len(series.marks) >= bounds.DRIFT_MARKS:
            return self._drifts(key, series) or crosses
        if series.crossings.pop(0, None) is not None:
            self._drift.pop(key, None)
        return crosses

    def _limits(self, key: AspectGroup, windows: tuple[int, ...]) -> Limits:
        return lambda day: self.counting.limits(*key, windows, day)

    def _drifts(self, key: AspectGroup, series: Series) -> bool:
        drift = self._drift.get(key)
        if drift is None:
            drift = self._drift[key] = Drift(self.settings.drift_ratio, self.settings.quiet_seconds * SECONDS_NS)
            series.crossings.pop(0, None)
        day, per_hour, height = -1, 0.0, 0.0
        for mark in series.marks[drift.count :]:
            if mark.time_ns // DAY_NS != day:
                day = mark.time_ns // DAY_NS
                units = self.counting.units(key[1], ASPECTS[key[0]].kind)
                per_hour = self.counting.expect(*key, mark.time_ns - 30 * DAY_NS).per_hour * units
                height = bound(per_hour, self.counting.ways(key[1]), self.settings.budget_per_day)
            drift.add(mark.time_ns, mark.agent_id, per_hour, height)
        if drift.found:
            series.crossings[0] = [Interval(start_ns, end_ns) for start_ns, end_ns in drift.found]
        else:
            series.crossings.pop(0, None)
        return 0 in series.crossings
