"""What the statistics can resolve: from which unit on is a true cause told from chance, and from everything else?

Two questions, both about the truth's own units as they arrive, and neither asks the scan:

*told from chance*: some window holds so many distinct units of the group that chance brings as many only within the
budget of false incidents. This is the k of the table of measures.

*told from the others*: in that window the group also explains more than nothing, and more than any other group that
the same units are in (likelihood ratio less what a cause of its dimension must earn; with three nats in place of seven
for the prior a healthy year brought three false incidents), and it differs from its siblings by the exact test. Three
hosts on one kernel that a fifth of the fleet runs are something shared, but nobody can say yet that it is the kernel.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fsmend_collector.diagnosis.groups.aspects import ASPECTS, HOST
from fsmend_collector.diagnosis.groups.counting import Counting
from fsmend_collector.diagnosis.groups.dimensions import dimension, parent_value
from fsmend_collector.diagnosis.groups.tails import hypergeometric_sf, log_likelihood_ratio
from fsmend_collector.diagnosis.groups.views import Group
from fsmend_collector.simulate.sightings import Sighting
from fsmend_collector.simulate.world import HOUR, SECOND, START, Cause

_LEAST_SPAN_NS = 300 * SECOND
_SIBLINGS_P = 1e-3
UNIT_DIMENSIONS = frozenset({"device", "filesystem"})


@dataclass(frozen=True, slots=True)
class Resolved:
    """From which unit on: the how many-th it is, and when its event arrived."""

    count: int
    arrival_ns: int


@dataclass(frozen=True, slots=True)
class Resolution:
    """When a cause can be told from chance, and from the others; None: never with what happens."""

    from_chance: Resolved | None
    from_others: Resolved | None


def resolve(cause: Cause, rows: Sequence[Sighting], counting: Counting) -> Resolution:
    """Say when the statistics can resolve a cause.

    Args:
        cause: that spans units.
        rows: all sightings of the world, by arrival.
        counting: sizes and learnt rates.
    """
    names = {(cause.dimension, cause.value), *cause.same}
    local = dimension(cause.dimension).local
    own: dict[str, list[Sighting]] = {}
    seen: set[object] = set()
    from_chance: Resolved | None = None
    for one in rows:
        if one.unit not in cause.members or names.isdisjoint(one.groups) or (one.aspect, one.unit) in seen:
            continue
        seen.add((one.aspect, one.unit))
        mine = own.setdefault(one.aspect, [])
        mine.append(one)
        for window in _windows(mine, one, (cause.dimension, cause.value), counting):
            here = Resolved(_distinct(mine, local=local), one.arrival_ns)
            from_chance = from_chance or here
            if _stands_out(cause, names, window, rows, counting):
                return Resolution(from_chance, here)
    return Resolution(from_chance, None)


def resolvable(cause: Cause, counting: Counting) -> int:
    """Return how many units a window as long as the cause takes needs, to be told from chance."""
    if cause.dimension in UNIT_DIMENSIONS:
        return 1
    return counting.threshold(cause.aspect, (cause.dimension, cause.value), cause.window_seconds, START)


def _windows(rows: list[Sighting], newest: Sighting, group: Group, counting: Counting) -> Iterable[list[Sighting]]:
    """Yield, for each length of window, the rows of the fullest one around the newest, where they are too many."""
    local = dimension(group[0]).local
    for seconds in counting.settings.windows_seconds:
        length_ns = seconds * SECOND
        near = sorted(
            (one for one in rows if abs(one.time_ns - newest.time_ns) <= length_ns), key=lambda one: one.time_ns
        )
        best: list[Sighting] = []
        for first in near:
            inside = [one for one in near if first.time_ns <= one.time_ns <= first.time_ns + length_ns]
            if newest in inside and _distinct(inside, local=local) > _distinct(best, local=local):
                best = inside
            if first is newest:
                break
        if best and _distinct(best, local=local) >= counting.threshold(
            newest.aspect, group, seconds, max(one.time_ns for one in best)
        ):
            yield best


def _stands_out(
    cause: Cause, names: set[Group], window: list[Sighting], rows: Sequence[Sighting], counting: Counting
) -> bool:
    """Say whether no other group explains the window better, and the group differs from its siblings."""
    aspect, by_ns = window[0].aspect, max(one.arrival_ns for one in window)
    start_ns, end_ns = min(one.time_ns for one in window), max(one.time_ns for one in window)
    around = [
        one for one in rows if one.aspect == aspect and one.arrival_ns <= by_ns and start_ns <= one.time_ns <= end_ns
    ]
    group = (cause.dimension, cause.value)
    local = dimension(cause.dimension).local
    hours = max(end_ns - start_ns, _LEAST_SPAN_NS) / HOUR

    def score(other: Group) -> float:
        failed = _distinct((one for one in around if other in one.groups), local=local)
        kind = ASPECTS[aspect].kind
        units, hosts = counting.units(other, kind), counting.units(other, HOST)
        whole, each = (units, 1.0) if local else (hosts, units / max(hosts, 1))
        chance = counting.expect(aspect, other, start_ns).fleet_per_hour * hours * each
        return log_likelihood_ratio(failed, max(whole, failed), chance) - counting.penalty(other)

    rivals = {other for one in window for other in one.groups if dimension(other[0]).local == local} - names
    own = score(group)
    if own <= 0 or any(score(other) > own for other in rivals):
        return False
    return all(_differs(group, parent, around, counting) for parent in dimension(cause.dimension).parents)


def _differs(group: Group, parent: str, around: list[Sighting], counting: Counting) -> bool:
    """Test the group exactly against the rest of a group that it lies in."""
    outer = (parent, parent_value(group[1], parent))
    failed = _distinct((one for one in around if outer in one.groups or group in one.groups), local=False)
    mine = _distinct((one for one in around if group in one.groups), local=False)
    hosts = max(counting.units(outer, HOST), failed)
    return hypergeometric_sf(mine, hosts, counting.units(group, HOST), failed) <= _SIBLINGS_P


def _distinct(rows: Iterable[Sighting], *, local: bool) -> int:
    """Count the units, or the hosts that they are of."""
    return len({one.unit if local else one.unit[0] for one in rows})
