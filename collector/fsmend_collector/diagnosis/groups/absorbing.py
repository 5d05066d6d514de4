"""Absorbing: a large cause that is known takes in what fails alike in its group, before all is looked at again."""

from collections.abc import Iterable

from fsmend_collector.diagnosis.groups import bounds
from fsmend_collector.diagnosis.groups.marks import Mark
from fsmend_collector.diagnosis.groups.settings import DAY_NS, HOUR_NS
from fsmend_collector.diagnosis.groups.verdict import Verdict

_LEAST_REACH_NS = HOUR_NS // 2


class Absorbing:
    """Know the large causes, and how near in time a mark must be to one.

    In a storm looking at all of it costs, so it waits; but the units that the storm hits meanwhile are held as members
    at once.
    """

    def __init__(self, verdicts: Iterable[Verdict] = ()) -> None:
        self._causes: dict[tuple[str, tuple[str, str]], tuple[int, int, str]] = {}
        for one in verdicts:
            if len(one.marks) > bounds.STORM:
                reach_ns = max(min(one.latest_ns - one.onset_ns, DAY_NS), _LEAST_REACH_NS)
                row = (one.onset_ns - reach_ns, one.latest_ns + reach_ns, one.incident_id)
                for aspect in sorted({mark.aspect for mark in one.marks}):
                    self._causes.setdefault((aspect, one.group), row)

    def into(self, mark: Mark) -> str:
        """Return the incident of the cause that takes a mark in; empty: none does."""
        if self._causes:
            for key in mark.keys:
                row = self._causes.get(key)
                if row is not None and row[0] <= mark.time_ns <= row[1]:
                    return row[2]
        return ""
