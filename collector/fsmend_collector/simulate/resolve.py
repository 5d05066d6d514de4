"""What the statistics can resolve: from how many units on a cause of a group is told from chance within the budget."""

from fsmend_collector.diagnosis.groups.counting import Counting
from fsmend_collector.simulate.world import START, Cause

_UNIT = frozenset({"device", "filesystem"})


def resolvable(cause: Cause, counting: Counting) -> int:
    """Return the least count that a window as long as the cause took would need."""
    if cause.dimension in _UNIT:
        return 1
    settings = counting.settings
    seconds = next(
        (one for one in settings.windows_seconds if one >= cause.window_seconds), settings.windows_seconds[-1]
    )
    group = (cause.dimension, cause.value)
    return counting.threshold(cause.aspect, group, seconds, START)
