"""Drift: a sequential test for rates that rise slowly (Page's CUSUM for a Poisson process).

Between marks the sum falls by what a raised rate would have shown, at a mark it rises by log(ratio). It crosses when it
is higher than chance lifts it within the budget, and the rise began where the sum last left zero.
"""

import math
from collections import deque
from dataclasses import dataclass, field

_HOUR_NS = 3_600_000_000_000
_LOG_FROM = 128  # fewer marks are walked over anew
_LOG_KEPT = 4_096


_Step = tuple[float, int, int, dict[str, int], str, int | None, int, int]
"""What one mark changed, so that it can be taken back: the sum, its onset, the newest mark and the hosts before it, its
host, when that had shown one, how many crossings were found, and when the newest of them ended."""


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
        found: from when to when it crossed.
        per_hour: marks that the whole group is expected to show now; the caller knows it.
        height: where it crosses; see `bound`.
        day: since 1970, for which both are, and epoch: in which state of what is counted.
    """

    ratio: float
    quiet_ns: int
    sum: float = 0.0
    onset_ns: int = 0
    at_ns: int = 0
    count: int = 0
    hosts: dict[str, int] = field(default_factory=dict)
    found: list[tuple[int, int]] = field(default_factory=list)
    per_hour: float = 0.0
    height: float = math.inf
    day: int = -1
    epoch: int = -1
    _rise: float = field(init=False)
    _log: deque[_Step] = field(default_factory=lambda: deque(maxlen=_LOG_KEPT))

    def __post_init__(self) -> None:
        """Take the logarithm once."""
        self._rise = math.log(self.ratio)

    def add(self, time_ns: int, host: str) -> float:
        """Take a mark of a host that is not older than the newest, by the collector's wall clock; return the sum."""
        value, onset_ns, at_ns, hosts, found = self.sum, self.onset_ns, self.at_ns, self.hosts, self.found
        self.count += 1
        if at_ns:
            value -= (self.ratio - 1) * self.per_hour * (time_ns - at_ns) / _HOUR_NS
        if value <= 0:
            value, self.onset_ns, self.hosts = 0.0, time_ns, {}
        newest = self.hosts.get(host)
        if self.count > _LOG_FROM:
            found_end_ns = found[-1][1] if found else 0
            self._log.append((self.sum, onset_ns, at_ns, hosts, host, newest, len(found), found_end_ns))
        if newest is None or time_ns - newest >= self.quiet_ns:
            value += self._rise
        self.sum, self.at_ns, self.hosts[host] = value, time_ns, time_ns
        if value >= self.height:
            if found and found[-1][0] == self.onset_ns:
                found[-1] = (self.onset_ns, time_ns)
            else:
                found.append((self.onset_ns, time_ns))
        return value

    def back(self, count: int) -> bool:
        """Take the newest marks back until so many are left; say whether so far back was remembered."""
        if self.count - count > len(self._log):
            return False
        while self.count > count:
            value, onset_ns, at_ns, hosts, host, host_ns, found, found_end_ns = self._log.pop()
            if hosts is self.hosts and host_ns is None:
                del self.hosts[host]
            elif hosts is self.hosts and host_ns is not None:
                self.hosts[host] = host_ns
            self.sum, self.onset_ns, self.at_ns, self.hosts = value, onset_ns, at_ns, hosts
            del self.found[found:]
            if self.found:
                self.found[-1] = (self.found[-1][0], found_end_ns)
            self.count -= 1
        return True


def bound(per_hour: float, ways: float, budget_per_day: float) -> float:
    """Return how high the sum may rise by chance: each excursion begins at a mark and passes h with at most exp(-h).

    Args:
        per_hour: marks that the whole group is expected to show.
        ways: how many groups share the budget.
        budget_per_day: false crossings a day for all of them.
    """
    return max(math.log(max(per_hour * 24 * ways / budget_per_day, 1.0)), 5 * math.log(2))
