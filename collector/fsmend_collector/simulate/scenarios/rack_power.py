"""A rack loses power: hosts vanish, those with longer hold-up report their drives gone first."""

from fsmend_collector.simulate.power import lose_power
from fsmend_collector.simulate.world import HOUR, START, World

FAMILY = "topology"


def build(world: World) -> None:
    """Make it happen."""
    world.background(1)
    rack = world.rng.choice(world.fleet.values("rack"))
    units = lose_power(world, world.fleet.members("rack", rack), START + HOUR)
    world.cause("rack", rack, units)
