"""An adapter fails: the three to six drives behind it are lost."""

from fsmend_collector.simulate.world import HOUR, SECOND, START, World

FAMILY = "topology"


def build(world: World) -> None:
    """Make it happen."""
    world.background(1)
    fits = [one for one in world.fleet.views if len({disk.hba for disk in one.devices}) > 1]
    view = world.rng.choice(fits)
    hba = world.rng.choice(sorted({disk.hba for disk in view.devices}))
    behind = [at for at, disk in enumerate(view.devices) if disk.hba == hba]
    units = [world.error(view, at, "lost", START + HOUR + world.rng.randrange(20 * SECOND)) for at in behind]
    for at in behind:
        world.errors(view, at, "fs_io", START + HOUR + 30 * SECOND)
    world.cause("hba", f"{view.agent_id} {hba}", units)
