"""A single drive dies: media errors, more and more, then it is gone."""

from fsmend_collector.simulate.world import HOUR, START, World

FAMILY = "device"


def build(world: World) -> None:
    """Make it happen."""
    world.background(1)
    view = world.rng.choice(world.fleet.views)
    disk = world.rng.randrange(len(view.devices))
    unit = world.errors(view, disk, "media", START + HOUR, count=20, over_ns=6 * HOUR)
    world.error(view, disk, "lost", START + 8 * HOUR)
    world.cause("device", unit[1], [unit])
