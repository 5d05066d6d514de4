"""A bad cable: interface checksum errors of one drive."""

from fsmend_collector.simulate.world import HOUR, START, World

FAMILY = "device"


def build(world: World) -> None:
    """Make it happen."""
    world.background(1)
    view = world.rng.choice(world.fleet.views)
    unit = world.errors(view, world.rng.randrange(len(view.devices)), "link", START + HOUR, count=60, over_ns=4 * HOUR)
    world.cause("device", unit[1], [unit])
