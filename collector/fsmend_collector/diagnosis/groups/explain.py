"""Explain: which few shared causes account best for the marks? Peel the best one off and look again.

A large group may score high only because it holds several small causes. So the best one is compared with the best
explanation by finer groups inside it, each of which must earn its own penalty; the higher total wins.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from fsmend_collector.diagnosis.groups.candidate import Candidate, distinct
from fsmend_collector.diagnosis.groups.dimensions import LABEL_DIMENSIONS, parent_value
from fsmend_collector.diagnosis.groups.marks import Mark
from fsmend_collector.diagnosis.groups.tails import hypergeometric_sf
from fsmend_collector.diagnosis.groups.views import Group

_FINER_TRIED = 60
_FINER_TRIED_IN_STORMS = 24
_STORM = 2_000
_DEPTH = 2
_INSIDE = 0.9
_SUSPECT_COVERS = 0.5
_SUSPECTS_KEPT = 8
SIBLINGS_P = 1e-3
_PLACE_FAILS = 0.2
_STRAYS = 0.34
_STRAYS_LEAST = 2
_LABEL_WRONG_NATS = 5.0

Within = Callable[[str, Group, int, int], tuple[frozenset[Mark], int]]
"""Aspect, group, from, to → its marks, and how many hosts it has."""


@dataclass(slots=True)
class Explanation:
    """One shared cause.

    Attributes:
        marks: what it explains.
        score: penalised log likelihood ratio.
        suspects: other groups that would explain most of it, with their scores, best first.
        rivals: the candidates behind the suspects, with what was left for them to explain.
        around: groups that it lies in: (group, its hosts, those that fail), as the exact test saw them.
    """

    candidate: Candidate
    marks: frozenset[Mark]
    score: float
    suspects: list[tuple[Group, float]] = field(default_factory=list)
    rivals: dict[Group, tuple[Candidate, frozenset[Mark]]] = field(default_factory=dict)
    around: list[tuple[Group, int, int]] = field(default_factory=list)


def explain(candidates: list[Candidate], within: Within) -> list[Explanation]:
    """Return the shared causes of candidates that have marks in common, best first."""
    alive = frozenset().union(*(one.marks for one in candidates))
    return _peel(sorted(candidates, key=lambda one: one.order), alive, within, 0)


def _peel(candidates: list[Candidate], alive: frozenset[Mark], within: Within, depth: int) -> list[Explanation]:
    found: list[Explanation] = []
    scored = [(one.score(one.marks & alive), one) for one in candidates]
    while scored:
        scored.sort(key=lambda row: (-row[0], row[1].order))
        best = _first_that_stands(scored, alive, within)
        if best is None:
            return found
        taken = _finer(scored, best, alive, within, depth)
        for one in taken:
            one.suspects = _suspects(scored, one, alive)
            one.around = _siblings(one.candidate, one.marks, alive, within)
        found += taken
        gone = frozenset().union(*(one.marks for one in taken))
        alive -= gone
        scored = _again(scored, gone, alive)
    return found


def _again(
    scored: list[tuple[float, Candidate]], gone: frozenset[Mark], alive: frozenset[Mark]
) -> list[tuple[float, Candidate]]:
    """Score again what lost marks."""
    kept = []
    for score, one in scored:
        if one.marks.isdisjoint(gone):
            kept.append((score, one))
        elif len(rest := one.marks & alive) >= one.least:
            kept.append((one.score(rest), one))
    return kept


def _first_that_stands(
    scored: list[tuple[float, Candidate]], alive: frozenset[Mark], within: Within
) -> Explanation | None:
    for score, one in scored:
        if score <= 0:
            return None
        marks = one.marks & alive
        if one.stands(marks) and _differs_from_siblings(one, marks, alive, within):
            return Explanation(one, marks, score)
    return None


def _finer(
    scored: list[tuple[float, Candidate]], best: Explanation, alive: frozenset[Mark], within: Within, depth: int
) -> list[Explanation]:
    """Return the best cause, or the finer ones inside it that explain more together."""
    if depth >= _DEPTH:
        return [best]
    finer: list[tuple[float, Candidate]] = []
    for score, one in scored:
        if score <= 0:
            break
        if one.units >= best.candidate.units or one.group == best.candidate.group:
            continue
        marks = one.marks & alive
        if marks and len(marks & best.marks) >= _INSIDE * len(marks):
            finer.append((score, one))
            if len(finer) >= (_FINER_TRIED if len(best.marks) < _STORM else _FINER_TRIED_IN_STORMS):
                break
    if sum(score for score, _ in finer) <= best.score:  # each at most as good as it is alone
        return [best]
    parts = _peel([one for _, one in finer], best.marks, within, depth + 1)
    if sum(one.score for one in parts) > best.score:
        return parts
    strayed = _with_strays(best, parts)
    return [strayed] if strayed is not None and strayed.score > best.score else [best]


def _with_strays(best: Explanation, parts: list[Explanation]) -> Explanation | None:
    """Return a place inside a larger one with the few hosts that fail with it and may only be labelled wrongly."""
    if not parts or best.candidate.group[0] not in LABEL_DIMENSIONS:
        return None
    lead = parts[0]
    hosts = {mark.agent_id for mark in lead.marks}
    strays = frozenset(mark for mark in best.marks if mark.agent_id not in hosts)
    outside = {mark.agent_id for mark in strays}
    whole = len(hosts) >= _PLACE_FAILS * lead.candidate.hosts
    if (
        lead.candidate.group[0] not in LABEL_DIMENSIONS
        or not whole
        or len(outside) > max(_STRAYS_LEAST, _STRAYS * len(hosts))
    ):
        return None
    score = lead.score
    for agent_id in sorted(outside):
        own = [mark for mark in strays if mark.agent_id == agent_id]
        score += best.candidate.alone(agent_id, len({mark.key[3] for mark in own})) - _LABEL_WRONG_NATS
    return Explanation(lead.candidate, lead.marks | strays, score)


def _differs_from_siblings(one: Candidate, marks: frozenset[Mark], alive: frozenset[Mark], within: Within) -> bool:
    """Test a group exactly against the rest of each group that it lies in."""
    mine = distinct(marks, wide=True)
    rows = _siblings(one, marks, alive, within)
    return all(hypergeometric_sf(mine, hosts, one.hosts, failed) <= SIBLINGS_P for _, hosts, failed in rows)


def _siblings(
    one: Candidate, marks: frozenset[Mark], alive: frozenset[Mark], within: Within
) -> list[tuple[Group, int, int]]:
    """Return the groups that a group lies in, with their hosts and those of them that fail."""
    rows = []
    for parent in one.dimension.parents:
        group = (parent, parent_value(one.group[1], parent))
        all_marks, hosts = within(one.aspect, group, one.start_ns, one.end_ns)
        failed = max(distinct(all_marks & alive, wide=True), distinct(marks, wide=True))
        rows.append((group, max(hosts, failed, one.hosts), failed))
    return rows


def _suspects(
    scored: list[tuple[float, Candidate]], chosen: Explanation, alive: frozenset[Mark]
) -> list[tuple[Group, float]]:
    """Return the other groups that explain most of the same marks, by their best score."""
    best: dict[Group, tuple[float, Candidate]] = {}
    for score, one in scored:
        covers = len(one.marks & chosen.marks)
        if one.group == chosen.candidate.group or covers < _SUSPECT_COVERS * len(chosen.marks) or not covers:
            continue
        if one.group not in best or score > best[one.group][0]:
            best[one.group] = score, one
    kept = sorted(best.items(), key=lambda row: (-row[1][0], row[0]))[:_SUSPECTS_KEPT]
    chosen.rivals = {group: (one, one.marks & alive) for group, (_, one) in kept}
    return [(group, score) for group, (score, _) in kept]
