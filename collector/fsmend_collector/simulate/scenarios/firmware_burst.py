"""A firmware fault shows within a day on drives of one model and firmware."""

from fsmend_collector.simulate.pick import firmware
from fsmend_collector.simulate.world import DAY, START, World

FAMILY = "model"


def build(world: World) -> None:
    """Make it happen."""
    world.background(3)
    (model, version), disks = firmware(world, 60, 3_000)
    units = []
    for view, at in world.rng.sample(disks, world.rng.randint(12, 30)):
        units.append(world.errors(view, at, "media", START + DAY + world.rng.randrange(DAY)))
    world.cause("model+firmware", f"{model} {version}", units, window_seconds=86_400, aspect="media")
