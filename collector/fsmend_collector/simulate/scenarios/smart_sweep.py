"""A sweep reads all drives within five minutes and finds what was there for months, fleet-wide."""

from fsmend_collector.simulate.world import HOUR, MINUTE, START, World

FAMILY = "negative"


def build(world: World) -> None:
    """Make it happen."""
    world.background(1)
    units = []
    for view in world.rng.sample(world.fleet.views, 250):
        at = world.rng.randrange(len(view.devices))
        units.append(world.error(view, at, "health", START + HOUR + world.rng.randrange(5 * MINUTE)))
    world.cause("fleet", "all", units, window_seconds=300, aspect="health")
