"""A drive that got slow: timeouts and resets, again and again, never an error of the medium."""

from fsmend_collector.simulate.world import DAY, HOUR, START, World

FAMILY = "device"


def build(world: World) -> None:
    """Make it happen."""
    world.background(2)
    view = world.rng.choice(world.fleet.views)
    unit = world.errors(view, world.rng.randrange(len(view.devices)), "link", START + HOUR, count=150, over_ns=DAY)
    world.cause("device", unit[1], [unit])
