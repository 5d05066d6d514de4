"""Bad memory: corruption across the disks of one host."""

from fsmend_collector.simulate.world import HOUR, START, World

FAMILY = "topology"


def build(world: World) -> None:
    """Make it happen."""
    world.background(2)
    view = world.rng.choice(world.fleet.views)
    disks = world.rng.sample(range(len(view.devices)), world.rng.randint(5, len(view.devices)))
    hit = [world.error(view, at, "corrupt", START + HOUR + world.rng.randrange(6 * HOUR)) for at in disks]
    for at in disks:
        world.error(view, at, "corrupt", START + 8 * HOUR)
    world.cause("host", view.agent_id, hit, window_seconds=21_600, aspect="corrupt")
