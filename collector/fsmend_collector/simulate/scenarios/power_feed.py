"""A power feed fails: five racks lose power at once."""

from fsmend_collector.simulate.power import lose_power
from fsmend_collector.simulate.world import HOUR, START, World

FAMILY = "topology"


def build(world: World) -> None:
    """Make it happen."""
    world.background(1)
    feed = world.rng.choice(world.fleet.values("power_feed"))
    units = lose_power(world, world.fleet.members("power_feed", feed), START + HOUR)
    world.cause("power_feed", feed, units)
