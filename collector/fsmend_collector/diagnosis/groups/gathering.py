"""Gathering: explanations of one group become one verdict, with what trickled in around them."""

from collections.abc import Mapping
from itertools import chain

from fsmend_collector.diagnosis.groups.aspects import ASPECTS
from fsmend_collector.diagnosis.groups.changes import Change, suspected
from fsmend_collector.diagnosis.groups.counting import Counting
from fsmend_collector.diagnosis.groups.explain import Explanation
from fsmend_collector.diagnosis.groups.marks import Mark
from fsmend_collector.diagnosis.groups.rates import AspectGroup
from fsmend_collector.diagnosis.groups.series import Series
from fsmend_collector.diagnosis.groups.settings import DAY_NS, HOUR_NS
from fsmend_collector.diagnosis.groups.verdict import Verdict, verdict_of
from fsmend_collector.diagnosis.groups.views import Group

_LEAST_REACH_NS = HOUR_NS // 2
_CHANCE = 0.1


def gather(
    explanations: list[Explanation],
    series: Mapping[AspectGroup, Series],
    changes: list[Change],
    counting: Counting,
) -> list[Verdict]:
    """Return one verdict for each group and episode, by the score of its best explanation."""
    episodes = [part for parts in _by_group(explanations).values() for part in _episodes(parts)]
    episodes.sort(key=lambda parts: (-parts[0].score, parts[0].candidate.order))
    taken: set[Mark] = set(chain.from_iterable(one.marks for one in explanations))
    verdicts = []
    for parts in episodes:
        absorbed = _around(parts, taken, series, counting)
        taken |= absorbed
        marks = sorted(absorbed.union(*(one.marks for one in parts)), key=lambda one: one.identity)
        names = tuple(one.name for one in suspected(changes, marks))
        verdicts.append(verdict_of(parts, absorbed, names, counting))
    return _distinct(verdicts)


def _by_group(explanations: list[Explanation]) -> dict[Group, list[Explanation]]:
    found: dict[Group, list[Explanation]] = {}
    for one in explanations:
        found.setdefault(one.candidate.group, []).append(one)
    return found


def _episodes(parts: list[Explanation]) -> list[list[Explanation]]:
    """Split the explanations of one group where nothing happened for a day; best first in each."""
    ordered = sorted(parts, key=lambda one: (min(mark.time_ns for mark in one.marks), one.candidate.order))
    episodes: list[list[Explanation]] = []
    until_ns = 0
    for one in ordered:
        begins_ns = min(mark.time_ns for mark in one.marks)
        if episodes and begins_ns - until_ns <= DAY_NS:
            episodes[-1].append(one)
        else:
            episodes.append([one])
        until_ns = max(until_ns, *(mark.time_ns for mark in one.marks))
    return [sorted(one, key=lambda part: (-part.score, part.candidate.order)) for one in episodes]


def _around(
    parts: list[Explanation], taken: set[Mark], series: Mapping[AspectGroup, Series], counting: Counting
) -> frozenset[Mark]:
    """Return marks of the group that nothing else explains, so near in time that chance hardly puts them there."""
    group = parts[0].candidate.group
    start_ns = min(mark.time_ns for one in parts for mark in one.marks)
    end_ns = max(mark.time_ns for one in parts for mark in one.marks)
    own = {one.candidate.aspect for one in parts}
    found: set[Mark] = set()
    for aspect, row in ASPECTS.items():
        rows = series.get((aspect, group))
        if rows is None:
            continue
        per_hour = counting.expect(aspect, group, start_ns).per_hour * max(counting.units(group, row.kind), 1)
        reach_ns = max(min(end_ns - start_ns, DAY_NS), _LEAST_REACH_NS)
        reach_ns = min(reach_ns, int(_CHANCE / per_hour * HOUR_NS)) if per_hour else reach_ns
        near = [one for one in rows.between(start_ns - reach_ns, end_ns + reach_ns) if one not in taken]
        chance = per_hour * (end_ns - start_ns + 2 * reach_ns) / HOUR_NS
        if aspect in own or (near and chance < _CHANCE * len(near)):
            found.update(near)
    return frozenset(found)


def _distinct(verdicts: list[Verdict]) -> list[Verdict]:
    """Keep the first of verdicts with one id: two episodes that began on one day are told as the stronger."""
    return list({one.incident_id: one for one in reversed(verdicts)}.values())[::-1]
