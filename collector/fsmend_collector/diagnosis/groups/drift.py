"""Drift: a sequential test for rates that rise slowly (Page's CUSUM for a Poisson process).

Between marks the sum falls by what a raised rate would have shown, at a mark it rises by log(ratio). It crosses when it
is higher than chance lifts it within the budget, and the rise began where the sum last left zero.
"""

import math
from dataclasses import dataclass, field

_HOUR_NS = 3_600_000_000_000


@dataclass(slots=True)
class Drift:
    """The sum for one group in one aspect.

    Attributes:
        ratio: rise of the rate that is looked for.
        sum: now.
        onset_ns: when it left zero.
        at_ns: newest mark.
        count: marks taken.
        hosts: host → its newest mark; a host counts once in a quiet time.
    """

    ratio: float
    quiet_ns: int
    sum: float = 0.0
    onset_ns: int = 0
    at_ns: int = 0
    count: int = 0
    hosts: dict[str, int] = field(default_factory=dict)

    def add(self, time_ns: int, host: str, per_hour: float) -> float:
        """Take a mark that is not older than the newest; return the sum.

        Args:
            time_ns: collector's wall clock.
            host: whose unit it is.
            per_hour: marks that the whole group is expected to show.
        """
        self.count += 1
        if self.at_ns:
            self.sum -= (self.ratio - 1) * per_hour * (time_ns - self.at_ns) / _HOUR_NS
        self.at_ns = time_ns
        if self.sum <= 0:
            self.sum, self.onset_ns = 0.0, time_ns
            self.hosts = {}
        if time_ns - self.hosts.get(host, -self.quiet_ns) >= self.quiet_ns:
            self.sum += math.log(self.ratio)
        self.hosts[host] = time_ns
        return self.sum


def bound(per_hour: float, ways: float, budget_per_day: float) -> float:
    """Return how high the sum may rise by chance: each excursion begins at a mark and passes h with at most exp(-h).

    Args:
        per_hour: marks that the whole group is expected to show.
        ways: how many groups share the budget.
        budget_per_day: false crossings a day for all of them.
    """
    return max(math.log(max(per_hour * 24 * ways / budget_per_day, 1.0)), 5 * math.log(2))
