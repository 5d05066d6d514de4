"""Thirty per cent of the fleet seems faulty at once."""

from fsmend_collector.simulate.world import HOUR, MINUTE, START, World

FAMILY = "safety"


def build(world: World) -> None:
    """Make it happen."""
    units = []
    for view in world.rng.sample(world.fleet.views, len(world.fleet.views) * 3 // 10):
        at = world.rng.randrange(len(view.devices))
        units.append(world.error(view, at, "corrupt", START + HOUR + world.rng.randrange(10 * MINUTE)))
    world.cause("fleet", "all", units, aspect="corrupt")
