"""Gathering: explanations of one group become one verdict, with what trickled in around them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import chain

from fsmend_collector.diagnosis.groups.aspects import ASPECTS
from fsmend_collector.diagnosis.groups.changes import Change, suspected
from fsmend_collector.diagnosis.groups.counting import Counting
from fsmend_collector.diagnosis.groups.dimensions import FLEET_VALUE, LABEL_DIMENSIONS
from fsmend_collector.diagnosis.groups.explain import Explanation, is_labelled, label_nats
from fsmend_collector.diagnosis.groups.marks import Mark
from fsmend_collector.diagnosis.groups.rates import AspectGroup
from fsmend_collector.diagnosis.groups.series import Series
from fsmend_collector.diagnosis.groups.settings import DAY_NS, HOUR_NS
from fsmend_collector.diagnosis.groups.signatures import SIGNED
from fsmend_collector.diagnosis.groups.verdict import Verdict, verdict_of
from fsmend_collector.diagnosis.groups.views import Group

_LEAST_REACH_NS = HOUR_NS // 2
_CHANCE = 0.1
_MOST_OF_IT = 0.5
_CLOCK_OFF_NS = 65 * HOUR_NS // 60


@dataclass(slots=True)
class _Episode:
    """The explanations of one group that belong together in time, the best first.

    Attributes:
        hosts: of which something fails.
    """

    parts: list[Explanation]
    hosts: set[str] = field(init=False)

    def __post_init__(self) -> None:
        """Take the hosts together once: every episode is compared with every place."""
        self.hosts = {mark.agent_id for one in self.parts for mark in one.marks}

    @property
    def is_whole(self) -> bool:
        """Say whether most of a place fails."""
        whole = self.parts[0].candidate
        return whole.group[0] in LABEL_DIMENSIONS and len(self.hosts) >= whole.hosts * _MOST_OF_IT

    def take(self, other: "_Episode") -> None:
        """Take another one in."""
        self.parts += other.parts
        self.hosts |= other.hosts


def gather(
    explanations: list[Explanation],
    series: Mapping[AspectGroup, Series],
    changes: list[Change],
    counting: Counting,
) -> list[Verdict]:
    """Return one verdict for each group and episode, by the score of its best explanation."""
    episodes = [_Episode(part) for parts in _by_group(explanations).values() for part in _episodes(parts)]
    episodes.sort(key=lambda one: (not one.is_whole, -one.parts[0].score, one.parts[0].candidate.order))
    gathered = [one.parts for one in _fold(episodes)]
    taken: set[Mark] = set(chain.from_iterable(one.marks for one in explanations))
    whole = series.get((SIGNED, ("fleet", FLEET_VALUE)))
    signed = whole.marks if whole is not None else []
    verdicts = []
    for parts in gathered:
        absorbed = _around(parts, taken, series, counting)
        taken |= absorbed
        marks = sorted(absorbed.union(*(one.marks for one in parts)), key=lambda one: one.identity)
        names = tuple(one.name for one in suspected(changes, marks))
        verdicts.append(verdict_of(parts, absorbed, names, counting, signed))
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


def _fold(episodes: list[_Episode]) -> list[_Episode]:
    """Take what fails within one host into the fault of the place around it, when most of the place fails.

    And what a larger place is blamed for, when its hosts are those of the place that fails: power goes and takes the
    disks of some with it, the others are only silent; and some may be labelled wrongly.

    The clocks of single hosts may be off: what one of them dates an hour before is the same fault.
    """
    kept: list[_Episode] = []
    for episode in episodes:
        around = next((one for one in kept if _holds(one, episode) or _does_as_well(one, episode)), None)
        if around is None:
            kept.append(episode)
        else:
            around.take(episode)
    return kept


def _does_as_well(known: _Episode, episode: _Episode) -> bool:
    """Say whether a cause that is there already explains this too: it need not earn its penalty a second time."""
    if len(episode.parts) > 1:
        return False
    one, other = episode.parts[0], known.parts[0].candidate
    scores = [score for group, score in one.suspects if group == other.group]
    if not scores or scores[0] + other.penalty < one.score:
        return False
    return _apart_ns(one.marks, known.parts[0].marks) <= _CLOCK_OFF_NS


def _apart_ns(marks: frozenset[Mark], others: frozenset[Mark]) -> int:
    """Return the least time between a mark of one cause and one of another."""
    return _least_apart(sorted(one.time_ns for one in marks), sorted(one.time_ns for one in others))


def _least_apart(times: list[int], others: list[int]) -> int:
    least, at = abs(times[0] - others[0]), 0
    for time_ns in times:
        while at + 1 < len(others) and others[at + 1] <= time_ns:
            at += 1
        least = min(least, *(abs(time_ns - one) for one in others[at : at + 2]))
    return least


def _holds(place: _Episode, episode: _Episode) -> bool:
    """Say whether a place fails as a whole, at about the time at which something inside it, or of its hosts, does."""
    outer, inner = place.parts[0].candidate, episode.parts[0].candidate
    if not place.is_whole:
        return False
    if inner.dimension.local:
        inside = all(outer.group in mark.groups for one in episode.parts for mark in one.marks)
    else:
        inside = is_labelled(inner) and _stand_in(place, episode)
    return inside and _apart_ns(episode.parts[0].marks, place.parts[0].marks) <= _CLOCK_OFF_NS


def _stand_in(place: _Episode, episode: _Episode) -> bool:
    """Say whether the hosts of a cause are those of a place, but for a few whose labels may be wrong or missing.

    That must cost less than another cause at the same time does.
    """
    outside = episode.hosts - place.hosts
    if 2 * len(outside) > len(episode.hosts):
        return False
    strays = [mark for one in episode.parts for mark in one.marks if mark.agent_id in outside]
    inner = episode.parts[0].candidate
    return label_nats(strays, place.parts[0].candidate, inner) < inner.penalty


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
