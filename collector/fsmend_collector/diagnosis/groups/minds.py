"""What would change our mind: the least further observation with which the score that chose a cause chooses otherwise.

Nothing here is a rule of thumb: each figure is found by asking the same score, the same threshold and the same exact
test what they would say then.
"""

import enum
import math
from collections.abc import Callable
from dataclasses import dataclass

from fsmend_collector.diagnosis.groups.candidate import Candidate, distinct
from fsmend_collector.diagnosis.groups.dimensions import LABEL_DIMENSIONS, dimension, parent_value
from fsmend_collector.diagnosis.groups.explain import Explanation
from fsmend_collector.diagnosis.groups.figures import counted_by
from fsmend_collector.diagnosis.groups.marks import Mark
from fsmend_collector.diagnosis.groups.peel import SIBLINGS_P
from fsmend_collector.diagnosis.groups.tails import hypergeometric_sf, log_likelihood_ratio
from fsmend_collector.diagnosis.groups.views import Group

_HOST_WIDE = frozenset({"kernel", "fleet"}) | LABEL_DIMENSIONS


class Kind(enum.Enum):
    """Which observation it is."""

    MORE_OUTSIDE = 1
    FEWER_INSIDE = 2
    NOTHING = 3
    WITHDRAWN = 4
    SIBLINGS = 5


@dataclass(frozen=True, slots=True)
class MindChange:
    """One observation that would do.

    Attributes:
        count: the least number of units.
        counted: hosts, devices or filesystems.
        group: where: the suspect, the cause, or the group around it.
    """

    kind: Kind
    count: int
    counted: str
    group: Group


def of_suspect(best: Explanation, group: Group) -> list[MindChange]:
    """Return what would raise a suspect above the cause; it is never empty."""
    rival, marks = best.rivals[group]
    score = rival.score(marks)
    found = []
    if not _lies_within(rival, marks, best):
        more = _least(lambda n: _with_more(rival, marks, score, n) > best.score, _room(rival, marks))
        if more:
            found.append(MindChange(Kind.MORE_OUTSIDE, more, counted_by(rival), group))
    fewer = _fewer_inside(best, marks, score)
    if fewer:
        found.append(MindChange(Kind.FEWER_INSIDE, fewer, counted_by(best.candidate), group))
    return found or [MindChange(Kind.NOTHING, 0, counted_by(rival), group)]


def of_cause(best: Explanation) -> list[MindChange]:
    """Return what would refute the cause."""
    one = best.candidate
    units = _by_unit(one, best.marks)
    order = sorted(units, key=lambda key: (-len(units[key]), key))  # those that speak loudest for it first

    def falls(n: int) -> bool:
        left = best.marks.difference(*(units[key] for key in order[:n]))
        return one.score(left) <= 0 or not one.stands(left)

    found = []
    withdrawn = _least(falls, len(order))
    if withdrawn:
        found.append(MindChange(Kind.WITHDRAWN, withdrawn, counted_by(one), one.group))
    mine = distinct(best.marks, wide=True)
    for group, hosts, failed in best.around:
        room = hosts - one.hosts - (failed - mine)
        more = _least(_like_siblings(one, mine, hosts, failed), room)
        if more:
            found.append(MindChange(Kind.SIBLINGS, more, "hosts", group))
    return found


def _like_siblings(one: Candidate, mine: int, hosts: int, failed: int) -> Callable[[int], bool]:
    """Return the question whether so many more outside make the group look like its siblings."""
    return lambda n: hypergeometric_sf(mine, hosts, one.hosts, failed + n) > SIBLINGS_P


def _fewer_inside(best: Explanation, marks: frozenset[Mark], score: float) -> int:
    """Return how many units of the cause that the suspect lacks must have another reason; 0: none would do."""
    one = best.candidate
    units = _by_unit(one, best.marks - marks)
    order = sorted(units, key=lambda key: (-len(units[key]), key))

    def falls(n: int) -> bool:
        return one.score(best.marks.difference(*(units[key] for key in order[:n]))) < score

    return _least(falls, len(order))


def _with_more(one: Candidate, marks: frozenset[Mark], score: float, more: int) -> float:
    """Return the score that a group would have with so many more of its hosts, or units, failing, one mark each."""
    failed, size, chance = _counts(one, marks)
    now = log_likelihood_ratio(failed, size, chance)
    return score - now + log_likelihood_ratio(failed + more, size, chance)


def _counts(one: Candidate, marks: frozenset[Mark]) -> tuple[int, int, float]:
    """Return what fails, of how many, and the chance of each: hosts where the group spans them. See Candidate.score."""
    if one.dimension.local:
        failed = len({(mark.key[2], mark.key[3]) for mark in marks})
        return failed, max(one.units, 1), -math.expm1(-one.base_per_hour * one.span_hours)
    mean = one.units / max(one.hosts, 1)
    return distinct(marks, wide=True), one.hosts, -math.expm1(-one.base_per_hour * one.span_hours * mean)


def _room(one: Candidate, marks: frozenset[Mark]) -> int:
    failed, size, _ = _counts(one, marks)
    return size - failed


def _by_unit(one: Candidate, marks: frozenset[Mark]) -> dict[str, set[Mark]]:
    """Return the marks by what the group is counted in."""
    found: dict[str, set[Mark]] = {}
    for mark in marks:
        name = f"{mark.agent_id} {mark.key[3]}" if one.dimension.local else mark.agent_id
        found.setdefault(name, set()).add(mark)
    return found


def _lies_within(rival: Candidate, marks: frozenset[Mark], best: Explanation) -> bool:
    """Say whether every further unit of the suspect would be one of the cause too."""
    inner, outer = rival.group, best.candidate.group
    if outer[0] == "fleet":
        return True
    if outer[0] in dimension(inner[0]).parents:
        return parent_value(inner[1], outer[0]) == outer[1]
    if rival.dimension.local:  # all of it is on one host
        host_wide = outer[0] in _HOST_WIDE or outer[0].startswith("label:") or outer[0] == "host"
        return host_wide and any(outer in mark.groups for mark in marks)
    nested = {inner[0], outer[0]} <= LABEL_DIMENSIONS and rival.dimension.rank < best.candidate.dimension.rank
    return nested and marks <= best.marks


def _least(holds: Callable[[int], bool], most: int) -> int:
    """Return the least number from 1 for which a monotone condition holds; 0: none up to `most`."""
    if most < 1 or not holds(most):
        return 0
    low, high = 1, most
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle + 1, high)
    return low
