"""An agent claims that devices of a whole rack of other hosts are gone."""

from fsmend_collector.simulate.world import HOUR, MINUTE, START, World

FAMILY = "negative"


def build(world: World) -> None:
    """Make it happen."""
    world.background(1)
    liar = world.rng.choice(world.fleet.views)
    rack = world.rng.choice(world.fleet.values("rack"))
    for view in world.fleet.members("rack", rack):
        for at in range(len(view.devices)):
            time_ns = START + HOUR + world.rng.randrange(MINUTE)
            world.error(view, at, "lost", time_ns, agent_id=liar.agent_id, host_name=liar.host_name)
