"""The simulator's first way out: a scenario straight into diagnosis, at full speed."""

from typing import Any

from fsmend_collector.simulate.fleet import SimulatedFleet
from fsmend_collector.simulate.report.result import Result, result_of
from fsmend_collector.simulate.run import Runner
from fsmend_collector.simulate.scenarios import Scenario
from fsmend_collector.simulate.score import resolutions, score
from fsmend_collector.simulate.world import World


class FleetTooSmall(Exception):  # noqa: N818  a state
    """Say that a scenario finds too few of what it needs to let fail."""


def world_of(scenario: Scenario, fleet: SimulatedFleet, seed: int) -> World:
    """Let a scenario happen to a fleet.

    Raises:
        FleetTooSmall: with this one it cannot.
    """
    try:
        return scenario.world(fleet, seed)
    except (IndexError, ValueError) as error:  # random's own words for "nothing to choose from"
        raise FleetTooSmall(f"{scenario.name} needs more than {fleet.shape.hosts} hosts") from error


def play(scenario: Scenario, fleet: SimulatedFleet, seed: int) -> tuple[Result, list[dict[str, Any]]]:
    """Run one scenario; return what came of it, and the truth.

    Raises:
        FleetTooSmall: the scenario needs a larger fleet.
    """
    world = world_of(scenario, fleet, seed)
    runner = Runner(world)
    outcome = runner.run()
    resolved = resolutions(world, runner.diagnosis.scan.counting)
    scored = score(outcome, scenario.family, resolved)
    return result_of(scenario, world, seed, outcome.shared, outcome.units, scored, resolved), truth_of(world, seed)


def truth_of(world: World, seed: int, names: dict[str, str] | None = None) -> list[dict[str, Any]]:
    """Return the true causes as JSON's types.

    Args:
        world: what happened.
        seed: of it.
        names: the collector's id of each agent by the world's; None: the world's are given.
    """
    known = names or {}

    def renamed(text: str) -> str:
        first, space, rest = text.partition(" ")
        return f"{known.get(first, first)}{space}{rest}"

    return [
        {
            "seed": seed,
            "dimension": one.dimension,
            "value": renamed(one.value),
            "optional": one.optional,
            "members": sorted([renamed(agent_id), renamed(unit)] for agent_id, unit in one.members),
        }
        for one in world.causes
    ]
