"""Two causes overlap: a rack loses power while an adapter fails two rows away."""

from fsmend_collector.simulate.power import lose_power
from fsmend_collector.simulate.world import HOUR, MINUTE, START, World

FAMILY = "topology"


def build(world: World) -> None:
    """Make it happen."""
    world.background(1)
    rack = world.rng.choice(world.fleet.values("rack"))
    units = lose_power(world, world.fleet.members("rack", rack), START + HOUR)
    world.cause("rack", rack, units)
    fits = [one for one in world.fleet.views if len({disk.hba for disk in one.devices}) > 1]
    view = world.rng.choice([one for one in fits if ("rack", rack) not in one.labels])
    hba = world.rng.choice(sorted({disk.hba for disk in view.devices}))
    behind = [at for at, disk in enumerate(view.devices) if disk.hba == hba]
    lost = [world.error(view, at, "lost", START + HOUR + world.rng.randrange(5 * MINUTE)) for at in behind]
    world.cause("hba", f"{view.agent_id} {hba}", lost)
