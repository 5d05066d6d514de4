"""A rack loses power where labels are missing for some hosts and wrong for others."""

from fsmend_collector.simulate.power import lose_power
from fsmend_collector.simulate.world import HOUR, START, World

FAMILY = "negative"


_MISSING, _WRONG = 0.08, 0.04  # of all labels of racks


def build(world: World) -> None:
    """Make it happen: twelve in a hundred racks are not what they should be, two at least in the one that fails."""
    world.background(1)
    racks = world.fleet.values("rack")
    rack = world.rng.choice(racks)
    hosts = world.fleet.members("rack", rack)
    for view in world.fleet.views:
        drawn = world.rng.random()
        if drawn < _MISSING + _WRONG:
            world.relabel(view, rack=world.rng.choice(racks) if drawn < _WRONG else "")
    here = [view for view in hosts if view.agent_id not in world.views]
    for at, view in enumerate(world.rng.sample(here, max(0, 2 - (len(hosts) - len(here))))):
        world.relabel(view, rack=world.rng.choice(racks) if at == 0 else "")
    units = lose_power(world, hosts, START + HOUR)
    for view in hosts:
        if view.agent_id in world.views:  # by what the labels say it fails alone
            world.cause("host", view.agent_id, [one for one in units if one[0] == view.agent_id], optional=True)
    world.cause("rack", rack, units)
