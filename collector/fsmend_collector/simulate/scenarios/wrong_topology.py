"""A rack loses power where labels are missing for some hosts and wrong for others."""

from fsmend_collector.simulate.power import lose_power
from fsmend_collector.simulate.world import HOUR, START, World

FAMILY = "negative"


def build(world: World) -> None:
    """Make it happen."""
    world.background(1)
    racks = world.fleet.values("rack")
    rack = world.rng.choice(racks)
    hosts = world.fleet.members("rack", rack)
    for view in hosts:
        dice = world.rng.random()
        if dice < 0.08:
            world.relabel(view, rack="")
        elif dice < 0.12:
            world.relabel(view, rack=world.rng.choice(racks))
    units = lose_power(world, hosts, START + HOUR)
    world.cause("rack", rack, units)
