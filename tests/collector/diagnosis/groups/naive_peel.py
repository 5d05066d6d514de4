"""The peel as it would be written if time did not matter: everything is scored, sorted and tested again at each step."""

from fsmend_collector.diagnosis.groups import explain as ours
from fsmend_collector.diagnosis.groups.candidate import distinct
from fsmend_collector.diagnosis.groups.dimensions import parent_value
from fsmend_collector.diagnosis.groups.peel import SIBLINGS_P
from fsmend_collector.diagnosis.groups.tails import hypergeometric_sf


def explain(candidates, within):
    """Return group, marks, score, suspects, the marks left for each suspect, and the siblings, of each cause."""
    alive = frozenset().union(*(one.marks for one in candidates))
    return [
        (one.candidate.group, one.marks, one.score, one.suspects, dict(one.rivals), one.around)
        for one in _peel(candidates, alive, within, 0)
    ]


def _peel(candidates, alive, within, depth):
    found = []
    tried = [one for one in candidates if not depth or len(one.marks & alive) >= one.least]
    scored = [(one.score(one.marks & alive), one) for one in tried]
    while scored:
        scored.sort(key=lambda row: (-row[0], row[1].order))
        best = _first_that_stands(scored, alive, within)
        if best is None:
            return found
        taken = _finer(scored, best, alive, within, depth)
        for one in taken:
            _suspect(scored, one, alive)
            one.around = _siblings(one.candidate, one.marks, alive, within)
        found += taken
        gone = frozenset().union(*(one.marks for one in taken))
        alive -= gone
        scored = _again(scored, gone, alive)
    return found


def _again(scored, gone, alive):
    kept = []
    for score, one in scored:
        if one.marks.isdisjoint(gone):
            kept.append((score, one))
        elif len(rest := one.marks & alive) >= one.least:
            kept.append((one.score(rest), one))
    return kept


def _first_that_stands(scored, alive, within):
    for score, one in scored:
        if score <= 0:
            return None
        marks = one.marks & alive
        if one.stands(marks) and _differs(one, marks, alive, within):
            return ours.Explanation(one, marks, score)
    return None


def _differs(one, marks, alive, within):
    mine = distinct(marks, wide=True)
    rows = _siblings(one, marks, alive, within)
    return all(hypergeometric_sf(mine, hosts, one.hosts, failed) <= SIBLINGS_P for _, hosts, failed in rows)


def _siblings(one, marks, alive, within):
    rows = []
    for parent in one.dimension.parents:
        group = (parent, parent_value(one.group[1], parent))
        all_marks, hosts = within(one.aspect, group)
        near = {other for other in all_marks if one.start_ns <= other.time_ns <= one.end_ns}
        failed = max(distinct(near & alive, wide=True), distinct(marks, wide=True))
        rows.append((group, max(hosts, failed, one.hosts), failed))
    return rows


def _finer(scored, best, alive, within, depth):
    if depth >= ours._DEPTH:
        return [best]
    finer = []
    for score, one in scored:
        marks = one.marks & alive
        smaller = one.units < best.candidate.units and one.group != best.candidate.group
        if score > 0 and smaller and marks and len(marks & best.marks) >= ours._INSIDE * len(marks):
            finer.append((score, one))
    finer = finer[: ours._FINER_TRIED]
    gains = [ours._known(best, [one], len(best.marks) - len(one.marks & alive)) for _, one in finer]
    alone = [score + gain for (score, _), gain in zip(finer, gains, strict=True)]
    more = sum(score for score, _ in finer) > best.score or max(alone, default=0.0) > best.score
    if not more:
        finer = [row for row in finer if ours._is_place(row[1]) and ours.is_labelled(best.candidate)]
    if not finer:
        return [best]
    inside = [one for _, one in finer]
    parts = _peel(inside, best.marks, within, depth + 1)
    if _total(parts) <= best.score and best.candidate.group[0] == "fleet" and len(best.marks) < ours._LED_AT_MOST:
        parts = max([parts, *_led(inside, parts, best.marks, alive, within, depth)], key=_total)
    if more and ours._explain_more(parts, best):
        return parts
    strayed = ours._with_strays(best, parts)
    return [strayed] if strayed is not None and strayed.score > best.score else [best]


def _led(inside, parts, marks, alive, within, depth):
    """Explain by the finer ones, with other groups first."""
    firsts = {}
    for lead in inside:
        if not parts or lead.group != parts[0].candidate.group:
            firsts.setdefault(lead.group, lead)
    for lead in list(firsts.values())[: ours._LEADS]:
        own = [one for one in inside if one.units < lead.units and one.group != lead.group]
        own = [one for one in own if len(one.marks & lead.marks & alive) >= ours._INSIDE * len(one.marks & alive)]
        found = _peel([lead, *own], marks, within, depth + 1)
        gone = frozenset().union(*(one.marks for one in found))
        yield found + _peel(inside, marks - gone, within, depth + 1)


def _total(parts):
    return sum(one.score for one in parts)


def _suspect(scored, chosen, alive):
    best = {}
    for score, one in scored:
        covers = len(one.marks & chosen.marks)
        if one.group == chosen.candidate.group or covers < ours._SUSPECT_COVERS * len(chosen.marks) or not covers:
            continue
        if one.group not in best or score > best[one.group][0]:
            best[one.group] = score, one
    kept = sorted(best.items(), key=lambda row: (-row[1][0], row[0]))[: ours._SUSPECTS_KEPT]
    chosen.suspects = [(group, score) for group, (score, _) in kept]
    chosen.rivals = {group: (one, one.marks & alive) for group, (_, one) in kept}
