"""A shelf fails: the six drives behind its expander are lost or unreachable."""

from fsmend_collector.simulate.world import HOUR, MINUTE, START, World

FAMILY = "topology"


def build(world: World) -> None:
    """Make it happen."""
    world.background(1)
    view = world.rng.choice([one for one in world.fleet.views if one.devices[0].enclosure])
    shelf = world.rng.choice(sorted({disk.enclosure for disk in view.devices}))
    inside = [at for at, disk in enumerate(view.devices) if disk.enclosure == shelf]
    units = [world.error(view, at, "lost", START + HOUR + world.rng.randrange(MINUTE)) for at in inside]
    world.cause("enclosure", shelf, units)
