"""An agent claims that devices of a whole rack of other hosts are gone: if anything is wrong, it is on its own host."""

from fsmend_collector.simulate.world import HOUR, MINUTE, START, World

FAMILY = "negative"


def build(world: World) -> None:
    """Make it happen."""
    world.background(1)
    liar = world.rng.choice(world.fleet.views)
    rack = world.rng.choice(world.fleet.values("rack"))
    claimed = []
    for view in world.fleet.members("rack", rack):
        for at in range(len(view.devices)):
            time_ns = START + HOUR + world.rng.randrange(MINUTE)
            _, device = world.error(view, at, "lost", time_ns, agent_id=liar.agent_id, host_name=liar.host_name)
            claimed.append((liar.agent_id, device))
    world.cause("host", liar.agent_id, claimed, window_seconds=300, optional=True)
