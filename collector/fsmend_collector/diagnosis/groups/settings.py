"""What the group scan takes for granted until the operator or the history says otherwise."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

HOUR_NS = 3_600_000_000_000
DAY_NS = 24 * HOUR_NS
WINDOWS_SECONDS = (300, 1_800, 21_600, 86_400, 604_800, 2_592_000)
"""Five minutes, half an hour, six hours, a day, a week, thirty days."""


@dataclass(frozen=True, slots=True)
class ScanSettings:
    """Settings of the group scan.

    Attributes:
        budget_per_day: how many false incidents a day the whole fleet may cost.
        least_units: a shared cause has at least so many distinct units (of distinct hosts, where groups span hosts).
        windows_seconds: lengths of the windows.
        lateness_seconds: evidence may come this late.
        quiet_seconds: a unit that was well for so long and fails again is a new mark.
        shape: of the gamma that the rates of groups follow. Over model and firmware groups of real drives (66,776
            reports of linuxhw/EnterpriseDrive) the moments give 0.58.
        most_shape: what history may raise it to; rates move with time too.
        pairs: how many failures of a host bring another one on it within a day, cause or not. Of 18,387 tickets 14.4 %
            are in groups on one node (FAST'21), most of them pairs.
        prior_nats: what any shared cause must earn over chance, beyond which group of its dimension it is.
        drift_ratio: the rise of a rate that the sequential test looks for.
    """

    budget_per_day: float = 0.01
    least_units: int = 3
    windows_seconds: tuple[int, ...] = WINDOWS_SECONDS
    lateness_seconds: int = 86_400
    quiet_seconds: int = 36 * 3_600
    shape: float = 0.58
    most_shape: float = 30.0
    pairs: float = 0.1
    prior_nats: float = 7.0
    drift_ratio: float = 3.0
    rates: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def horizon_ns(self) -> int:
        """How long a mark without a verdict is kept."""
        return (max(self.windows_seconds) + self.lateness_seconds) * 1_000_000_000
