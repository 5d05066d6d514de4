"""The fault of a scenario with only k of its units: from how many on is it found?"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from fsmend_collector.diagnosis.groups.dimensions import dimension
from fsmend_collector.simulate.fleet import SimulatedFleet
from fsmend_collector.simulate.run import Runner
from fsmend_collector.simulate.scenarios import Scenario
from fsmend_collector.simulate.score import is_right, resolutions
from fsmend_collector.simulate.world import Cause, Happening, Presence, Unit, World

_Z = 1.96


@dataclass(frozen=True, slots=True)
class Point:
    """So many failing hosts or units, and in how many of the runs the cause was found.

    Attributes:
        counted: hosts or units.
        resolvable: in how many of the runs the statistics can tell so few from chance and from other causes.
    """

    k: int
    found: int
    runs: int
    counted: str
    resolvable: int

    @property
    def recall(self) -> float:
        """Return the share that was found."""
        return self.found / self.runs

    @property
    def interval(self) -> tuple[float, float]:
        """Return the 95 % interval of the share (Wilson)."""
        n, p = self.runs, self.recall
        middle = p + _Z * _Z / (2 * n)
        half = _Z * math.sqrt(p * (1 - p) / n + _Z * _Z / (4 * n * n))
        below = 1 + _Z * _Z / n
        return max(0.0, (middle - half) / below), min(1.0, (middle + half) / below)


def shared_cause(world: World) -> Cause | None:
    """Return the first shared cause of a world that has to be found."""
    return next(
        (one for one in world.causes if one.dimension not in {"device", "filesystem"} and not one.optional), None
    )


def keys_of(cause: Cause) -> list[str]:
    """Return what is counted of a cause: its hosts, or within one host its units."""
    wide = not dimension(cause.dimension).local
    return sorted({agent_id if wide else unit for agent_id, unit in cause.members})


def limited(world: World, cause: Cause, k: int) -> Cause:
    """Let only k of what is counted of a cause fail; return what is left of it, which is also put in its place."""
    keys = keys_of(cause)
    chosen = set(world.rng.sample(keys, min(k, len(keys))))
    wide = not dimension(cause.dimension).local
    left = frozenset(unit for unit in cause.members if unit[0 if wide else 1] in chosen)
    spared = cause.members - left
    world.happenings[:] = [row for row in world.happenings if not _is_of(row[2], spared, world)]
    smaller = replace(cause, members=left)
    world.causes[world.causes.index(cause)] = smaller
    return smaller


def _is_of(what: Happening, spared: frozenset[Unit], world: World) -> bool:
    """Say whether something happens to a unit that is spared."""
    if isinstance(what, Presence):
        return (what.agent_id, what.agent_id) in spared
    names = (getattr(what, "device_id", ""), getattr(what, "filesystem_uuid", ""))
    agent_id = getattr(what, "agent_id", "")
    if any(name and (agent_id, name) in spared for name in names):
        return True
    below = {one for name in names for one in _below(world.fleet, agent_id, name)}
    return any((agent_id, name) in spared for name in below)


def _below(fleet: SimulatedFleet, agent_id: str, uuid: str) -> tuple[str, ...]:
    view = fleet.by_agent.get(agent_id)
    return view.filesystems[uuid][1] if view is not None and uuid in view.filesystems else ()


def sweep(
    scenario: Scenario, fleets: Callable[[int], SimulatedFleet], seeds: list[int], progress: Callable[[], None]
) -> list[Point]:
    """Return recall at k = 1, 2 … of a scenario's first shared cause, over seeds; nothing when it has none.

    Args:
        scenario: to run.
        fleets: the fleet of a seed.
        seeds: one run each at every k.
        progress: called after each run.
    """
    causes = [shared_cause(scenario.world(fleets(seed), seed)) for seed in seeds]
    most = min((len(keys_of(one)) for one in causes if one is not None), default=0)
    runs: dict[int, list[tuple[bool, bool]]] = {k: [] for k in range(1, most + 1)}
    for seed in seeds:  # one fleet after another: each learns its rates once
        for k, known in runs.items():
            known.append(_run(scenario, fleets(seed), seed, k))
            progress()
    counted = "units" if causes[0] is not None and dimension(causes[0].dimension).local else "hosts"
    return [
        Point(k, sum(found for found, _ in known), len(seeds), counted, sum(can_be for _, can_be in known))
        for k, known in runs.items()
    ]


def _run(scenario: Scenario, fleet: SimulatedFleet, seed: int, k: int) -> tuple[bool, bool]:
    """Run with k; say whether the cause was found, and whether the statistics can tell it."""
    world = scenario.world(fleet, seed)
    cause = shared_cause(world)
    if cause is None:
        return False, False
    smaller = limited(world, cause, k)
    world.causes[:] = [smaller]
    runner = Runner(world)
    outcome = runner.run()
    (resolution,) = resolutions(world, runner.diagnosis.scan.counting)
    can_be = resolution is not None and resolution.from_others is not None
    return any(is_right(one, smaller) for one in outcome.shared), can_be
