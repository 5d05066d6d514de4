"""Score: how does what diagnosis told compare with the truth?"""

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from fsmend_collector.simulate.run import Outcome, Reported
from fsmend_collector.simulate.world import SECOND, Cause, Unit

LEAST_JACCARD = 0.8
_OVERLAPS = 0.3


@dataclass(slots=True)
class Score:
    """One run.

    Attributes:
        right: incidents whose cause is exact and whose members are the true ones.
        told: incidents of shared causes, and of the single units that truly failed.
        causes: true causes that had to be found; found: those that were.
        seen: causes that some incident overlaps; exact: of those, how many have the exact cause.
        top2: of those, how many have it among the cause and the first suspect.
        detect_seconds: from the k-th unit's event to the telling.
        unit_repairs: incidents of members of a shared cause that would still be repaired one by one.
    """

    scenario: str
    family: str
    right: int = 0
    told: int = 0
    causes: int = 0
    found: int = 0
    seen: int = 0
    exact: int = 0
    top2: int = 0
    detect_seconds: list[float] = field(default_factory=list)
    unit_repairs: int = 0


def score(outcome: Outcome, family: str, resolvable: Callable[[Cause], int]) -> Score:
    """Compare an outcome with the truth of its world.

    Args:
        outcome: of the run.
        family: of the scenario.
        resolvable: how many units of a cause the statistics need to see it.
    """
    result = compare(outcome.world.name, family, outcome.world.causes, outcome.shared, outcome.units)
    for cause in outcome.world.causes:
        told_ns = _first_told(outcome, cause)
        times = _arrivals(outcome, cause)
        least = resolvable(cause)
        if cause.dimension != "device" and told_ns and len(times) >= least:
            result.detect_seconds.append(max(0.0, (told_ns - times[least - 1]) / SECOND))
    members = {unit for one in outcome.shared for unit in one.members}
    result.unit_repairs = sum(bool(one.members & members) for one in outcome.units)
    return result


def compare(name: str, family: str, causes: list[Cause], shared: list[Reported], units: list[Reported]) -> Score:
    """Compare incidents with the truth; also for those of the baselines."""
    result = Score(name, family)
    true_units = {unit for cause in causes if cause.dimension == "device" for unit in cause.members}
    alone = [one for one in units if one.members & true_units]
    told = [*shared, *alone]
    result.told = len(told)
    result.right = sum(any(_right(one, cause) for cause in causes) for one in told)
    for cause in causes:
        near = [one for one in told if _jaccard(one.members, cause.members) >= _OVERLAPS]
        exact = [one for one in near if _named(one, cause)]
        found = any(_right(one, cause) for one in told)
        if not cause.optional:
            result.causes += 1
            result.found += found
        if near:
            result.seen += 1
            result.exact += bool(exact)
            first_two = [(one.dimension, one.value) for one in near] + [one.suspects[0] for one in near if one.suspects]
            result.top2 += bool(exact) or any(cause.names(*group) for group in first_two)
    return result


def _named(one: Reported, cause: Cause) -> bool:
    return one.members == cause.members if cause.dimension == "device" else cause.names(one.dimension, one.value)


def _right(one: Reported, cause: Cause) -> bool:
    return _named(one, cause) and _jaccard(one.members, cause.members) >= LEAST_JACCARD


def _jaccard(left: frozenset[Unit], right: frozenset[Unit]) -> float:
    either = len(left | right)
    return len(left & right) / either if either else 0.0


def _first_told(outcome: Outcome, cause: Cause) -> int:
    """Return when a shared cause was first told of which most members are this cause's."""
    times = [when for when, members in outcome.first_told if 2 * len(members & cause.members) > len(members)]
    return min(times, default=0)


def _arrivals(outcome: Outcome, cause: Cause) -> list[int]:
    """Return when the first event of each host's, or unit's, failing arrived."""
    first: dict[object, int] = {}
    wide = cause.dimension not in {"host", "hba", "enclosure"}
    for arrival_ns, _, what in outcome.world.happenings:
        agent_id = getattr(what, "agent_id", "")
        names = {getattr(what, "device_id", ""), getattr(what, "filesystem_uuid", "")} - {""}
        for name in names:
            if (agent_id, name) in cause.members:
                key = agent_id if wide else (agent_id, name)
                first[key] = min(first.get(key, arrival_ns), arrival_ns)
    return sorted(first.values())


def bootstrap(
    values: Iterable[tuple[float, float]], rng: random.Random, rounds: int = 1_000
) -> tuple[float, float, float]:
    """Return a ratio of sums with its 95 % interval over resampled runs; all 1 when there is nothing to divide by."""
    rows = list(values)
    below = sum(row[1] for row in rows)
    if not below:
        return 1.0, 1.0, 1.0
    ratios = []
    for _ in range(rounds):
        drawn = rng.choices(rows, k=len(rows))
        divisor = sum(row[1] for row in drawn)
        ratios.append(sum(row[0] for row in drawn) / divisor if divisor else 1.0)
    ratios.sort()
    return sum(row[0] for row in rows) / below, ratios[int(0.025 * rounds)], ratios[int(0.975 * rounds) - 1]
