"""Score: how does what diagnosis told compare with the truth?

What counts as told: every shared cause that stands at the end; every one that was told and taken back without another
in its place; every incident of a single unit that a scenario lets fail; and every incident of a unit that nothing let
fail. Incidents of background drives that truly failed are left out: they are right, and many, and would hide the rest.
"""

import random
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from fsmend_collector.diagnosis.groups.counting import Counting
from fsmend_collector.simulate.resolve import UNIT_DIMENSIONS, Resolution, resolve
from fsmend_collector.simulate.run import Outcome, Reported
from fsmend_collector.simulate.sightings import sightings
from fsmend_collector.simulate.world import SECOND, Cause, Unit, World

LEAST_JACCARD = 0.8
_OVERLAPS = 0.3


@dataclass(slots=True)
class Score:
    """One run.

    Attributes:
        told: incidents that count, see above; right: those whose cause is exact and whose members are the true ones.
        false_units: of those told, incidents of units that nothing let fail; withdrawn: shared causes taken back.
        causes: true causes that the statistics can resolve; found: those for which an incident is right.
        exact: causes whose most alike incident names them; top2: that names them first or as its first suspect.
        beyond: true causes that happened too rarely to be resolved.
        detect_seconds: from the event of the k-th unit, which tells a cause from chance, to the first incident that
            names it exactly and is mostly about its members.
        tellable_seconds: the same from the event that tells it from every other group of its units too.
        suspect_seconds: from the event that tells it from chance to the first incident mostly about its members.
        renamed: shared causes that were told by another name first.
        unit_repairs: incidents of members of a shared cause that would still be repaired one by one.
        misses: what was not right, in words.
    """

    scenario: str
    family: str
    seed: int = 0
    right: int = 0
    told: int = 0
    false_units: int = 0
    withdrawn: int = 0
    causes: int = 0
    found: int = 0
    exact: int = 0
    top2: int = 0
    beyond: int = 0
    detect_seconds: list[float] = field(default_factory=list)
    tellable_seconds: list[float] = field(default_factory=list)
    suspect_seconds: list[float] = field(default_factory=list)
    renamed: int = 0
    unit_repairs: int = 0
    misses: list[str] = field(default_factory=list)

    def row(self) -> dict[str, Any]:
        """Return it as JSON may hold it."""
        return asdict(self)

    @classmethod
    def of(cls, row: dict[str, Any]) -> Self:
        """Take it back."""
        return cls(**row)


def resolutions(world: World, counting: Counting) -> list[Resolution | None]:
    """Say for each cause of a world when it can be resolved; None for those of one unit, which always can."""
    rows = list(sightings(world))
    return [None if one.dimension in UNIT_DIMENSIONS else resolve(one, rows, counting) for one in world.causes]


def score(outcome: Outcome, family: str, resolved: Sequence[Resolution | None] = ()) -> Score:
    """Compare an outcome with the truth of its world.

    Args:
        outcome: of the run.
        family: of the scenario.
        resolved: for each cause, when it can be told; without it no times are taken, and all causes are asked for.
    """
    world = outcome.world
    result = compare(world, family, outcome.shared, [*outcome.units, *outcome.ended], resolved)
    for one in outcome.withdrawn:
        result.told += 1
        result.withdrawn += 1
        result.misses.append(f"taken back: {_shown(one)}")
    for cause, resolution in zip(world.causes, resolved or [None] * len(world.causes), strict=True):
        if resolution is not None and not cause.optional:
            _time(result, outcome, cause, resolution)
    members = {unit for one in outcome.shared for unit in one.members}
    result.unit_repairs = sum(bool(one.members & members) for one in outcome.units)
    return result


def _time(result: Score, outcome: Outcome, cause: Cause, resolution: Resolution) -> None:
    """Take the times: of the first incident about it, and of the first that names it."""
    about = [one for one in outcome.first_told if 2 * len(one.members & cause.members) > len(one.members)]
    exact = [one.told_ns for one in about if cause.names(one.dimension, one.value)]
    first = min((one.told_ns for one in about), default=0)
    if resolution.from_chance is not None and first:
        result.suspect_seconds.append(max(0.0, (first - resolution.from_chance.arrival_ns) / SECOND))
    if resolution.from_chance is not None and exact:
        result.detect_seconds.append(max(0.0, (min(exact) - resolution.from_chance.arrival_ns) / SECOND))
    if resolution.from_others is not None and exact:
        result.tellable_seconds.append(max(0.0, (min(exact) - resolution.from_others.arrival_ns) / SECOND))
    result.renamed += bool(exact) and first < min(exact)


def compare(
    world: World, family: str, shared: list[Reported], units: list[Reported], resolved: Sequence[Resolution | None] = ()
) -> Score:
    """Compare incidents with the truth, also those of the baselines; without `resolved` all causes are asked for."""
    result = Score(world.name, family)
    causes = world.causes
    true_units = {unit for cause in causes if cause.dimension == "device" for unit in cause.members}
    false = [one for one in units if one.members.isdisjoint(world.failing)]
    alone = [one for one in units if one.members & true_units]
    told = [*shared, *alone, *false]
    result.told, result.false_units = len(told), len(false)
    wrong = [one for one in told if not any(is_right(one, cause) for cause in causes)]
    result.right = len(told) - len(wrong)
    result.misses += [f"wrong: {_shown(one)}" for one in wrong]
    for cause, resolution in zip(causes, resolved or [None] * len(causes), strict=True):
        if cause.optional:
            continue
        if resolution is not None and resolution.from_chance is None:
            result.beyond += 1
            continue
        _find(result, cause, told)
    return result


def _find(result: Score, cause: Cause, told: list[Reported]) -> None:
    """Look for one cause among the incidents."""
    result.causes += 1
    found = any(is_right(one, cause) for one in told)
    result.found += found
    best = max(told, key=lambda one: (jaccard(one.members, cause.members), one.incident_id), default=None)
    if best is not None and jaccard(best.members, cause.members) >= _OVERLAPS:
        exact = _named(best, cause)
        result.exact += exact
        result.top2 += exact or bool(best.suspects and cause.names(*best.suspects[0]))
    if not found:
        result.misses.append(f"missed: {cause.dimension} {cause.value}, {len(cause.members)} units")


def _shown(one: Reported) -> str:
    return f"{one.code} {one.dimension} {one.value}, {len(one.members)} units"


def _named(one: Reported, cause: Cause) -> bool:
    return one.members == cause.members if cause.dimension == "device" else cause.names(one.dimension, one.value)


def is_right(one: Reported, cause: Cause) -> bool:
    """Say whether an incident names this cause and has its members."""
    return _named(one, cause) and jaccard(one.members, cause.members) >= LEAST_JACCARD


def jaccard(left: frozenset[Unit], right: frozenset[Unit]) -> float:
    """Return how far two sets of units overlap, 0 to 1."""
    either = len(left | right)
    return len(left & right) / either if either else 0.0


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
