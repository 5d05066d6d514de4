"""Peel: candidates by score, of which the best is taken off again and again.

A candidate's score only falls when marks are taken from it. So a heap may hold scores that are out of date: what comes
to the top is scored anew and goes back; what stays there is the best. Which candidates lose marks an index from marks
to candidates says; nothing else is looked at. The whole costs as the marks times the groups that each is in.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from heapq import heapify, heappop, heappush, heapreplace
from itertools import chain
from operator import attrgetter

from fsmend_collector.diagnosis.groups.candidate import Candidate, Tally, distinct
from fsmend_collector.diagnosis.groups.dimensions import parent_value
from fsmend_collector.diagnosis.groups.marks import Mark
from fsmend_collector.diagnosis.groups.tails import hypergeometric_sf
from fsmend_collector.diagnosis.groups.views import Group

SIBLINGS_P = 1e-3

Within = Callable[[str, Group, int, int], tuple[Iterable[Mark], int]]
"""Aspect, group, from, to → its marks, and how many hosts it has."""

_AroundKey = tuple[str, Group, int, int]
_NEVER = -1
_host_of = attrgetter("agent_id")


class Standing:
    """A candidate, and what is left for it to explain.

    Attributes:
        count: marks left.
        live: still has enough of them to be looked at.
        fresh: `last_score` is the score by what is left; else it is that, or more.
        retry: groups around it with the most failing hosts that they may have for it to differ from its siblings.
    """

    __slots__ = ("_alive", "_tally", "candidate", "count", "fresh", "last_score", "live", "retry")

    def __init__(self, candidate: Candidate, alive: frozenset[Mark] | None) -> None:
        self.candidate = candidate
        self.live = self.fresh = True
        self.retry: list[tuple[_Around, int]] | None = None
        self._alive: frozenset[Mark] | set[Mark] = candidate.marks
        self._tally: Tally | None = None
        if alive is not None and not candidate.marks <= alive:
            self._alive = set(candidate.marks & alive)
            self._tally = Tally(candidate, self._alive)
        self.count = len(self._alive)
        self.last_score = candidate.whole if self._tally is None else self._tally.score()

    def marks(self) -> frozenset[Mark]:
        """Return what is left for it to explain."""
        return frozenset(self._alive)

    def score(self) -> float:
        """Return the score by what is left."""
        if not self.fresh and self._tally is not None:
            self.last_score, self.fresh = self._tally.score(), True
        return self.last_score

    def row(self) -> tuple[float, tuple[int, str, str, int, int]]:
        """Order standings, best first."""
        return (-self.score(), self.candidate.order)

    def lose(self, gone: frozenset[Mark], count: int) -> None:
        """Take marks off, so many of which it holds."""
        self.count -= count
        if self.count < self.candidate.least:
            self.live, self._alive = False, frozenset()
            return
        lost = gone & self._alive
        if self._tally is None:
            self._alive = set(self._alive)
            self._tally = Tally(self.candidate, self._alive)
        self._alive -= lost
        self._tally.remove(lost)
        self.fresh = False


class _Around:
    """A group in which candidates lie, over the interval of one: how many of its hosts fail."""

    __slots__ = ("_by_host", "_key", "hosts")

    def __init__(self, key: _AroundKey, marks: Iterable[Mark], hosts: int) -> None:
        self._key = key
        self._by_host = Counter(map(_host_of, marks))
        self.hosts = hosts

    @property
    def failed(self) -> int:
        """Return how many hosts fail."""
        return len(self._by_host)

    def lose(self, gone: frozenset[Mark]) -> None:
        """Take off what is explained."""
        aspect, group, start_ns, end_ns = self._key
        for mark in gone:
            failed = self._by_host.get(mark.agent_id)
            inside = start_ns <= mark.time_ns <= end_ns and mark.aspect == aspect and group in mark.groups
            if failed is None or not inside:
                continue
            if failed > 1:
                self._by_host[mark.agent_id] = failed - 1
            else:
                del self._by_host[mark.agent_id]


class Peel:
    """Candidates, and the marks that nothing explains yet."""

    def __init__(self, candidates: Iterable[Candidate], within: Within, alive: frozenset[Mark] | None = None) -> None:
        self._within = within
        self._holders: defaultdict[Mark, list[Standing]] = defaultdict(list)
        self._arounds: dict[_AroundKey, _Around] = {}
        self._aside: list[Standing] = []
        self._step = 0
        self._taken_at: dict[Mark, int] = {}
        standings = [Standing(one, alive) for one in candidates]
        for one in standings:
            for mark in one.marks():
                self._holders[mark].append(one)
        self._left = set(self._holders if alive is None else alive)
        self._heap = [(*one.row(), number, one) for number, one in enumerate(standings)]
        self._number = len(standings)
        heapify(self._heap)

    def best(self) -> Standing | None:
        """Return the best candidate that stands by what is left and differs from its siblings; None: there is none."""
        heap = self._heap
        while heap:
            one = heap[0][3]
            if not one.live:
                heappop(heap)
            elif not one.fresh:
                heapreplace(heap, (*one.row(), heap[0][2], one))
            elif one.last_score <= 0:
                return None
            elif not one.candidate.stands(one.marks()):
                heappop(heap)  # with less it will not stand either
            elif not self._differs(one):
                heappop(heap)
                one.retry = None
                self._aside.append(one)  # with less around it, it may
            else:
                return one
        return None

    def overlapping(self, marks: Iterable[Mark]) -> Counter[Standing]:
        """Return the candidates that hold some of these marks, with how many."""
        held = [self._holders[mark] for mark in marks if mark in self._holders]
        counts = Counter(chain.from_iterable(held))
        for one in [one for one in counts if not one.live]:
            del counts[one]
        return counts

    def take(self, gone: frozenset[Mark]) -> None:
        """Take off marks that are explained."""
        hits = self.overlapping(gone)
        self._step += 1
        self._left -= gone
        self._taken_at.update(dict.fromkeys(gone, self._step))
        for mark in gone:
            self._holders.pop(mark, None)
        for one, count in hits.items():
            one.lose(gone, count)
        for around in self._arounds.values():
            around.lose(gone)
        self._retry()

    def _retry(self) -> None:
        """Put back what may differ from its siblings now."""
        kept = []
        for one in self._aside:
            if not one.live:
                continue
            if one.retry is None:
                one.retry = [(around, self._differs_below(one, around)) for around in self._around(one)]
            if all(around.failed <= below for around, below in one.retry):
                self._number += 1
                heappush(self._heap, (-one.last_score, one.candidate.order, self._number, one))
            else:
                kept.append(one)
        self._aside = kept

    def _around(self, one: Standing) -> list[_Around]:
        return [self._around_of(one.candidate, parent) for parent in one.candidate.row.parents]

    def _around_of(self, one: Candidate, parent: str) -> _Around:
        key = (one.aspect, (parent, parent_value(one.group[1], parent)), one.start_ns, one.end_ns)
        known = self._arounds.get(key)
        if known is None:
            marks, hosts = self._within(*key)
            known = self._arounds[key] = _Around(key, (mark for mark in marks if mark in self._left), hosts)
        return known

    def _differs(self, one: Standing) -> bool:
        """Test a group exactly against the rest of each group that it lies in."""
        if not one.candidate.row.parents:
            return True
        marks = one.marks()
        mine, own = distinct(marks, wide=True), one.candidate.hosts
        return all(_apart(mine, hosts, own, failed) for _, hosts, failed in self.siblings(one.candidate, marks))

    def _differs_below(self, one: Standing, around: _Around) -> int:
        """Return with how many failing hosts around it, at most, a group would differ from its siblings."""
        mine, own = distinct(one.marks(), wide=True), one.candidate.hosts
        low, high = mine, max(around.failed, mine)
        if not _apart(mine, max(around.hosts, low, own), own, low):
            return _NEVER
        while low < high:
            middle = (low + high + 1) // 2
            if _apart(mine, max(around.hosts, middle, own), own, middle):
                low = middle
            else:
                high = middle - 1
        return low

    def siblings(self, one: Candidate, marks: frozenset[Mark]) -> list[tuple[Group, int, int]]:
        """Return the groups that a group lies in, with their hosts and those of them that fail."""
        rows = []
        for parent in one.row.parents:
            around = self._around_of(one, parent)
            failed = max(around.failed, distinct(marks, wide=True))
            group = (parent, parent_value(one.group[1], parent))
            rows.append((group, max(around.hosts, failed, one.hosts), failed))
        return rows

    def rivals(self, candidates: Mapping[Group, Candidate]) -> "Rivals":
        """Return candidates with what is left for them now, to be looked up later."""
        return Rivals(candidates, self._taken_at, self._step)


class Rivals(Mapping[Group, tuple[Candidate, frozenset[Mark]]]):
    """Candidates behind the suspects, each with what was left for it to explain; found when it is asked for."""

    __slots__ = ("_candidates", "_step", "_taken_at")

    def __init__(self, candidates: Mapping[Group, Candidate], taken_at: Mapping[Mark, int], step: int) -> None:
        self._candidates = candidates
        self._taken_at = taken_at
        self._step = step

    def __getitem__(self, group: Group) -> tuple[Candidate, frozenset[Mark]]:
        """Return the candidate of a group and its marks that nothing better had explained."""
        one, still = self._candidates[group], self._step + 1
        return one, frozenset(mark for mark in one.marks if self._taken_at.get(mark, still) >= still)

    def __iter__(self) -> Iterator[Group]:
        """Yield the groups, best first."""
        return iter(self._candidates)

    def __len__(self) -> int:
        """Count the groups."""
        return len(self._candidates)


def _apart(mine: int, hosts: int, own: int, failed: int) -> bool:
    return hypergeometric_sf(mine, hosts, own, failed) <= SIBLINGS_P
