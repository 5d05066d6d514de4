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
    for at, view in enumerate(world.rng.sample(hosts, 2)):
        world.relabel(view, rack=world.rng.choice(racks) if at == 0 else "")
    units = lose_power(world, hosts, START + HOUR)
    for view in hosts:
        if view.agent_id in world.views:  # by what the labels say it fails alone
            world.cause("host", view.agent_id, [one for one in units if one[0] == view.agent_id], optional=True)
    world.cause("rack", rack, units)
