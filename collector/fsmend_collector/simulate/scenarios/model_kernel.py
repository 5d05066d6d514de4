"""One model under one kernel: a driver change that one model cannot bear."""

from fsmend_collector.simulate.pick import model_on_kernel
from fsmend_collector.simulate.world import DAY, START, World

FAMILY = "kernel"


def build(world: World) -> None:
    """Make it happen."""
    world.background(3)
    (model, kernel), disks = model_on_kernel(world, 60)
    units = []
    for view, at in world.rng.sample(disks, min(len(disks), world.rng.randint(24, 50))):
        units.append(world.errors(view, at, "io", START + DAY // 2 + world.rng.randrange(DAY)))
    world.cause("model+kernel", f"{model} on {kernel}", units, window_seconds=86_400, aspect="media")
