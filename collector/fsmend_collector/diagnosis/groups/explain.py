"""Explain: which few shared causes account best for the marks? Peel the best one off and look again.

A large group may score high only because it holds several small causes. So the best one is compared with the best
explanation by finer groups inside it, each of which must earn its own penalty; the higher total wins. Where that is
several places at one time, and all of it of one model, kernel or label, the places may as well be where that shows:
then they are one cause, when the coincidence of several costs more than the name of the model.

What the finer ones leave over may be what that part of the large group was known to do: a score counts against the
rate of the fleet, and where drives are frail chance brings more. So the large one is worth less by what is known of the
rest.
"""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from fsmend_collector.diagnosis.groups.candidate import Candidate, distinct
from fsmend_collector.diagnosis.groups.dimensions import LABEL_DIMENSIONS
from fsmend_collector.diagnosis.groups.marks import Mark
from fsmend_collector.diagnosis.groups.peel import Peel, Standing, Within
from fsmend_collector.diagnosis.groups.views import Group

_FINER_TRIED = 60
_FINER_TRIED_IN_STORMS = 24
_STORM = 2_000
_DEPTH = 2
_LEADS = 3
_LED_AT_MOST = 1_000
_INSIDE = 0.9
_SUSPECT_COVERS = 0.5
_SUSPECTS_KEPT = 8
_PLACE_FAILS = 0.2
_STRAYS = 0.34
_STRAYS_LEAST = 2
_STRAYS_UNNAMED = 0.5
_LABEL_WRONG_NATS = 5.0


@dataclass(slots=True)
class Explanation:
    """One shared cause.

    Attributes:
        marks: what it explains.
        score: penalised log likelihood ratio.
        suspects: other groups that would explain most of it, with their scores, best first.
        rivals: the candidates behind the suspects, with what was left for them to explain.
        around: groups that it lies in: (group, its hosts, those that fail), as the exact test saw them.
        places: where it shows, when it does in some places only, the most marks first.
    """

    candidate: Candidate
    marks: frozenset[Mark]
    score: float
    suspects: list[tuple[Group, float]] = field(default_factory=list)
    rivals: Mapping[Group, tuple[Candidate, frozenset[Mark]]] = field(default_factory=dict)
    around: list[tuple[Group, int, int]] = field(default_factory=list)
    places: tuple[Group, ...] = ()


def explain(candidates: list[Candidate], within: Within) -> list[Explanation]:
    """Return the shared causes of candidates that have marks in common, best first."""
    peel = Peel(candidates, within)
    found: list[Explanation] = []
    while (taken := _next(peel, within, 0)) is not None:
        for one in taken:
            _suspect(peel, one)
            one.around = peel.siblings(one.candidate, distinct(one.marks, wide=True))
        found += taken
        peel.take(frozenset().union(*(one.marks for one in taken)))
    return found


def _next(peel: Peel, within: Within, depth: int) -> list[Explanation] | None:
    """Return the best cause, or the finer ones inside it that explain more together; None: nothing is left."""
    standing = peel.best()
    if standing is None:
        return None
    best = Explanation(standing.candidate, standing.marks(), standing.score())
    finer = _finer(peel, best) if depth < _DEPTH else []
    more = _may_do_better(finer, best)
    if not more:  # a place inside may still do better with hosts that are only labelled wrongly
        finer = [one for one in finer if _is_place(one.candidate) and is_labelled(best.candidate)]
    parts = _parts(finer, best, within, depth + 1) if finer else []
    if more and _explain_more(parts, best):
        joined = _in_places(best, parts)
        return parts if joined is None else [joined]
    strayed = _with_strays(best, parts)
    return [strayed] if strayed is not None and strayed.score > best.score else [best]


def _may_do_better(finer: list[Standing], best: Explanation) -> bool:
    """Say whether finer causes, each at most as good as it is alone, may explain more than the whole of them."""
    if sum(one.score() for one in finer) > best.score:
        return True
    count = len(best.marks)
    return any(one.score() + _known(best, [one.candidate], count - one.count) > best.score for one in finer)


def _explain_more(parts: list[Explanation], best: Explanation) -> bool:
    """Say whether finer causes explain more than the whole of them.

    Each of several has chosen when it began and when it ended, of so many marks, and the whole has only once. They are
    worth less by that choice, or by what it gained them.
    """
    over = _total(parts) + _known(best, [one.candidate for one in parts], _left(best, parts)) - best.score
    if over <= 0 or len(parts) < 2:
        return over > 0
    ends = 2 * (math.fsum(math.log(len(one.marks)) for one in parts) - math.log(len(best.marks)))
    return over > ends or over > sum(_lost_over(one, best.candidate) for one in parts)


def _left(best: Explanation, parts: list[Explanation]) -> int:
    """Return how many marks of a cause the finer ones leave over."""
    return len(best.marks.difference(*(one.marks for one in parts)))


def _known(best: Explanation, parts: list[Candidate], left: int) -> float:
    """Return how much of a cause's score is for what the rest of its group, beyond the parts, was known to do, in nats.

    That is by how much the rate learnt for the rest explains what is left there better than the rate of the fleet does.
    """
    whole = best.candidate
    if whole.row.local or not left:
        return 0.0
    fleet = whole.base_per_hour * (whole.units - sum(one.units for one in parts)) * whole.span_hours
    learnt = (whole.per_hour * whole.units - sum(one.per_hour * one.units for one in parts)) * whole.span_hours
    if fleet <= 0 or learnt <= fleet:
        return 0.0
    return max(0.0, left * math.log(learnt / fleet) - (learnt - fleet))


def _parts(finer: list[Standing], best: Explanation, within: Within, depth: int) -> list[Explanation]:
    """Explain what one cause explains by the finer ones inside it.

    The best of them is taken first. One that holds a whole cause, and by chance some of another, leaves too little of
    the other then. So before the whole fleet is said to fail, which is what is left when nothing else explains it, a
    few others are taken first in turn. Not with many marks, for the time that it takes; nor for any other whole: that
    is as good a cause as its parts, and the more ways are tried to part it, the more often one does better by chance.
    """
    causes = [one.candidate for one in finer]
    parts = _peeled(causes, best.marks, within, depth)
    if _total(parts) > best.score or best.candidate.group[0] != "fleet" or len(best.marks) >= _LED_AT_MOST:
        return parts
    tried = [parts]
    for lead in _leads(finer, parts):
        held = lead.marks()
        inside = [one.candidate for one in finer if _lies_inside(one, lead.candidate, len(one.marks() & held))]
        found = _peeled([lead.candidate, *inside], best.marks, within, depth)
        gone = frozenset().union(*(one.marks for one in found))
        tried.append(found + _peeled(causes, best.marks - gone, within, depth))
    return max(tried, key=_total)


def _leads(finer: list[Standing], parts: list[Explanation]) -> list[Standing]:
    """Return the best of the groups that nothing was explained by first, each at its best."""
    first = parts[0].candidate.group if parts else None
    groups = {one.candidate.group: one for one in reversed(finer) if one.candidate.group != first}
    return sorted(groups.values(), key=Standing.row)[:_LEADS]


def _peeled(causes: list[Candidate], marks: frozenset[Mark], within: Within, depth: int) -> list[Explanation]:
    """Explain marks by causes, the best first."""
    peel = Peel(causes, within, marks)
    found: list[Explanation] = []
    while (taken := _next(peel, within, depth)) is not None:
        found += taken
        peel.take(frozenset().union(*(one.marks for one in taken)))
    return found


def _total(parts: list[Explanation]) -> float:
    return sum(one.score for one in parts)


def _in_places(best: Explanation, parts: list[Explanation]) -> Explanation | None:
    """Return one cause that shows in several places; None: as several causes at one time they explain more.

    Each place still pays for which one it is, and is judged over the time of the whole: what happens there at other
    times is no coincidence. What falls away is the price of the others being there at that time by chance; what comes
    in is that of which model, kernel or label it is.
    """
    whole = best.candidate
    if len(parts) < 2 or whole.row.local or not whole.row.parents or _is_place(whole):
        return None
    if any(_stands_for_itself(one) for one in parts):
        return None
    lost = sum(_lost_over(one, whole) for one in parts)
    gained = (len(parts) - 1) * whole.coincidence - (whole.penalty - whole.prior) - lost
    if gained <= 0:
        return None
    places = sorted(parts, key=lambda one: (-len(one.marks), one.candidate.order))
    marks = frozenset().union(*(one.marks for one in parts))
    score = sum(one.score for one in parts) + gained
    return Explanation(whole, marks, score, places=tuple(one.candidate.group for one in places))


def _lost_over(part: Explanation, whole: Candidate) -> float:
    """Return what a cause loses when it is judged over the time of another one."""
    one = part.candidate
    wider = replace(one, start_ns=min(one.start_ns, whole.start_ns), end_ns=max(one.end_ns, whole.end_ns))
    return one.score(part.marks) - wider.score(part.marks)


def _stands_for_itself(part: Explanation) -> bool:
    """Say whether a cause is more than where another one shows: lies within a host, or so much of it fails."""
    one = part.candidate
    if not (_is_place(one) or one.group[0].startswith("label:")):
        return True
    return len({mark.agent_id for mark in part.marks}) >= _PLACE_FAILS * one.hosts


def _finer(peel: Peel, best: Explanation) -> list[Standing]:
    """Return the best of the smaller groups that lie inside a cause, by score."""
    whole = best.candidate
    inside = [one for one, count in peel.overlapping(best.marks).items() if _lies_inside(one, whole, count)]
    rows = sorted((one for one in inside if one.score() > 0), key=Standing.row)
    return rows[: _FINER_TRIED if len(best.marks) < _STORM else _FINER_TRIED_IN_STORMS]


def _lies_inside(one: Standing, whole: Candidate, shared: int) -> bool:
    """Say whether a group is smaller than another one, and so many marks in common are nearly all of its own."""
    return one.candidate.units < whole.units and one.candidate.group != whole.group and shared >= _INSIDE * one.count


def _is_place(candidate: Candidate) -> bool:
    return candidate.group[0] in LABEL_DIMENSIONS


def is_labelled(candidate: Candidate) -> bool:
    """Say whether a group is one of hosts by a label: an operator's own may mean a place too."""
    return _is_place(candidate) or candidate.group[0].startswith("label:")


def _with_strays(best: Explanation, parts: list[Explanation]) -> Explanation | None:
    """Return a place inside a larger one with the few hosts that fail with it and may only be labelled wrongly."""
    lead = next((one for one in parts if _is_place(one.candidate)), None)
    if lead is None or not is_labelled(best.candidate):
        return None
    place = lead.candidate
    hosts = {mark.agent_id for mark in lead.marks}
    strays = frozenset(mark for mark in best.marks if mark.agent_id not in hosts)
    outside = {mark.agent_id for mark in strays}
    wrong = {mark.agent_id for mark in strays if _names_place(mark, place)}
    whole = len(hosts) >= _PLACE_FAILS * place.hosts
    if not whole or len(wrong) > _few(_STRAYS, hosts) or len(outside) > _few(_STRAYS_UNNAMED, hosts):
        return None
    score = lead.score - label_nats(strays, place, best.candidate)
    for agent_id in sorted(outside):
        own = {mark.key[3] for mark in strays if mark.agent_id == agent_id}
        score += best.candidate.alone(agent_id, len(own))
    return Explanation(place, lead.marks | strays, score)


def _few(share: float, hosts: Collection[str]) -> float:
    return max(_STRAYS_LEAST, share * len(hosts))


def label_nats(strays: Collection[Mark], place: Candidate, around: Candidate) -> float:
    """Return what it costs to hold hosts that are not of a place by their labels for hosts of it, in nats.

    A host with another label is labelled wrongly. One without contradicts nothing: it stands somewhere, and pays for
    which of the places in the group around it that is.
    """
    wrong = {mark.agent_id for mark in strays if _names_place(mark, place)}
    missing = len({mark.agent_id for mark in strays}) - len(wrong)
    which = math.log(max(around.hosts / max(place.hosts, 1), 1.0))
    return len(wrong) * _LABEL_WRONG_NATS + missing * min(which, _LABEL_WRONG_NATS)


def _names_place(mark: Mark, place: Candidate) -> bool:
    return any(name == place.group[0] for name, _ in mark.groups)


def _suspect(peel: Peel, chosen: Explanation) -> None:
    """Note the other groups that explain most of the same marks, by their best score."""
    best: dict[Group, Standing] = {}
    for one, count in peel.overlapping(chosen.marks).items():
        group = one.candidate.group
        if group == chosen.candidate.group or count < _SUSPECT_COVERS * len(chosen.marks):
            continue
        if group not in best or one.row() < best[group].row():
            best[group] = one
    kept = sorted(best.items(), key=lambda item: (-item[1].score(), item[0]))[:_SUSPECTS_KEPT]
    chosen.suspects = [(group, one.score()) for group, one in kept]
    chosen.rivals = peel.rivals({group: one.candidate for group, one in kept})
