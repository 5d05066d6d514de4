"""Failing hosts: how many distinct hosts of a group fail in an interval, by marks that are taken off bit by bit."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from operator import attrgetter

from fsmend_collector.diagnosis.groups.marks import Mark
from fsmend_collector.diagnosis.groups.views import Group

_time_of = attrgetter("time_ns")


class FailingHosts:
    """The marks of one group by time.

    A host's first mark in an interval is one whose predecessor on the same host lies before it. So it is enough to know
    for each mark where its predecessor is, and a count costs one comparison a mark.

    Attributes:
        group: whose marks.
        hosts: that it has, failing or not.
    """

    __slots__ = ("_before", "_counts", "_gone", "_marks", "_times", "group", "hosts")

    def __init__(self, group: Group, hosts: int, marks: list[Mark]) -> None:
        """Take marks in the order of time."""
        self.group = group
        self.hosts = hosts
        self._gone: set[Mark] = set()
        self._set(marks)

    def _set(self, marks: list[Mark]) -> None:
        self._marks = marks
        self._times = list(map(_time_of, marks))
        newest: dict[str, int] = {}
        self._before: list[int] = []
        for at, mark in enumerate(marks):
            self._before.append(newest.get(mark.agent_id, -1))
            newest[mark.agent_id] = at
        self._counts: dict[tuple[int, int], int] = {}

    def lose(self, gone: Iterable[Mark]) -> None:
        """Take marks off; others than its own do no harm."""
        self._gone.update(gone)

    def count(self, start_ns: int, end_ns: int) -> int:
        """Return how many distinct hosts fail in an interval, both ends included."""
        if self._gone:
            self._set([mark for mark in self._marks if mark not in self._gone])
            self._gone = set()
        low, high = bisect_left(self._times, start_ns), bisect_right(self._times, end_ns)
        known = self._counts.get((low, high))
        if known is None:
            known = self._counts[low, high] = sum(map(low.__gt__, self._before[low:high]))
        return known
