"""Peel: candidates by score, of which the best is taken off again and again.

A candidate's score only falls when marks are taken from it. So a heap may hold scores that are out of date: what comes
to the top is scored anew and goes back; what stays there is the best. Which candidates lose marks an index from marks
to candidates says; nothing else is looked at. The whole costs as the marks times the groups that each is in.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from heapq import heapify, heappop, heappush, heapreplace
from itertools import chain

from fsmend_collector.diagnosis.groups.candidate import Candidate, Tally, distinct
from fsmend_collector.diagnosis.groups.dimensions import parent_value
from fsmend_collector.diagnosis.groups.failing import FailingHosts
from fsmend_collector.diagnosis.groups.marks import Mark
from fsmend_collector.diagnosis.groups.tails import hypergeometric_sf
from fsmend_collector.diagnosis.groups.views import Group

SIBLINGS_P = 1e-3

Within = Callable[[str, Group], tuple[list[Mark], int]]
"""Aspect and group → its marks by time, and how many hosts it has."""

_NEVER = -1


class Standing:
    """A candidate, and what is left for it to explain.

    Attributes:
        left: marks that are left; they are taken off in place.
        count: of these.
        live: still has enough of them to be looked at.
        fresh: `last_score` is the score by what is left; else it is that, or more.
        retry: groups around it with the most failing hosts that they may have for it to differ from its siblings.
    """

    __slots__ = ("_tally", "candidate", "count", "fresh", "last_score", "left", "live", "retry")

    def __init__(self, candidate: Candidate, alive: frozenset[Mark] | None) -> None:
        self.candidate = candidate
        self.live = True
        self.retry: list[tuple[FailingHosts, int]] | None = None
        self.left: frozenset[Mark] | set[Mark] = candidate.marks
        if alive is not None and not candidate.marks <= alive:
            self.left = candidate.marks & alive
        self.fresh = self.left is candidate.marks
        self.count = len(self.left)
        self.last_score = candidate.whole
        self._tally: Tally | None = None

    def marks(self) -> frozenset[Mark]:
        """Return what is left for it to explain, as it is now."""
        return frozenset(self.left)

    def hosts(self) -> int:
        """Return how many distinct hosts are left."""
        one = self.candidate
        return one.failing_hosts if self.left is one.marks else distinct(self.left, wide=True)

    def score(self) -> float:
        """Return the score by what is left."""
        if not self.fresh:
            if self._tally is None:
                self._tally = Tally(self.candidate, self.left)
            self.last_score, self.fresh = self._tally.score(), True
        return self.last_score

    def row(self) -> tuple[float, tuple[int, str, str, int, int]]:
        """Order standings, best first."""
        return (-self.score(), self.candidate.order)

    def stands(self) -> bool:
        """Say whether what is left alone is still too much."""
        one = self.candidate
        return one.whole_stands if self.left is one.marks else one.stands(self.left)

    def lose(self, gone: frozenset[Mark], count: int) -> None:
        """Take marks off, so many of which it holds."""
        self.count -= count
        if self.count < self.candidate.least:
            self.live, self.left = False, frozenset()
            return
        lost = gone & self.left
        if not isinstance(self.left, set):
            self.left = set(self.left)
        self.left -= lost
        if self._tally is not None:
            self._tally.remove(lost)
        self.fresh = False


class Peel:
    """Candidates, and the marks that nothing explains yet."""

    def __init__(self, candidates: Iterable[Candidate], within: Within, alive: frozenset[Mark] | None = None) -> None:
        """Take candidates, of which only some marks may be left to explain; without a chance then they are left out."""
        self._within = within
        self._holders: defaultdict[Mark, list[Standing]] = defaultdict(list)
        self._failing: dict[tuple[str, Group], FailingHosts] = {}
        self._aside: list[Standing] = []
        self._step = 0
        self._taken_at: dict[Mark, int] = {}
        standings = [Standing(one, alive) for one in candidates if alive is None or one.whole > 0]
        if alive is not None:
            standings = [one for one in standings if one.count >= one.candidate.least]
        for one in standings:
            for mark in one.left:
                self._holders[mark].append(one)
        self._left = set(self._holders if alive is None else alive)
        self._heap = [(-one.last_score, one.candidate.order, number, one) for number, one in enumerate(standings)]
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
            elif not one.stands():
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
        for failing in self._failing.values():
            failing.lose(gone)
        self._retry()

    def _retry(self) -> None:
        """Put back what may differ from its siblings now."""
        kept = []
        for one in self._aside:
            if not one.live:
                continue
            start_ns, end_ns = one.candidate.start_ns, one.candidate.end_ns
            if one.retry is None:
                one.retry = [(around, self._differs_below(one, around)) for around in self._around(one.candidate)]
            if all(around.count(start_ns, end_ns) <= below for around, below in one.retry):
                self._number += 1
                heappush(self._heap, (-one.last_score, one.candidate.order, self._number, one))
            else:
                kept.append(one)
        self._aside = kept

    def _around(self, one: Candidate) -> list[FailingHosts]:
        """Return the groups that a group lies in."""
        return [self._failing_in(one.aspect, (name, parent_value(one.group[1], name))) for name in one.row.parents]

    def _failing_in(self, aspect: str, group: Group) -> FailingHosts:
        known = self._failing.get((aspect, group))
        if known is None:
            marks, hosts = self._within(aspect, group)
            left = [mark for mark in marks if mark in self._left]
            known = self._failing[aspect, group] = FailingHosts(group, hosts, left)
        return known

    def _differs(self, one: Standing) -> bool:
        """Test a group exactly against the rest of each group that it lies in."""
        if not one.candidate.row.parents:
            return True
        mine, own = one.hosts(), one.candidate.hosts
        return all(_apart(mine, hosts, own, failed) for _, hosts, failed in self.siblings(one.candidate, mine))

    def _differs_below(self, one: Standing, around: FailingHosts) -> int:
        """Return with how many failing hosts around it, at most, a group would differ from its siblings."""
        mine, own = one.hosts(), one.candidate.hosts
        low, high = mine, max(around.count(one.candidate.start_ns, one.candidate.end_ns), mine)
        if not _apart(mine, max(around.hosts, low, own), own, low):
            return _NEVER
        while low < high:
            middle = (low + high + 1) // 2
            if _apart(mine, max(around.hosts, middle, own), own, middle):
                low = middle
            else:
                high = middle - 1
        return low

    def siblings(self, one: Candidate, mine: int) -> list[tuple[Group, int, int]]:
        """Return the groups that a group lies in, with their hosts and those of them that fail; so many do in it."""
        rows = []
        for around in self._around(one):
            failed = max(around.count(one.start_ns, one.end_ns), mine)
            rows.append((around.group, max(around.hosts, failed, one.hosts), failed))
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


@lru_cache(maxsize=1 << 16)
def _apart(mine: int, hosts: int, own: int, failed: int) -> bool:
    return hypergeometric_sf(mine, hosts, own, failed) <= SIBLINGS_P
