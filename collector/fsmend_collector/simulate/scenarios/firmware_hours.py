"""A firmware counts to 32,768 hours and stops the drive; drives reach it as they were installed."""

from fsmend_collector.simulate.pick import firmware
from fsmend_collector.simulate.world import DAY, START, World

FAMILY = "model"


def build(world: World) -> None:
    """Make it happen; drives of the firmware that fail alike meanwhile are members: nobody could tell them apart."""
    world.background(21)
    (model, version), disks = firmware(world, 60, 2_000)
    count = world.rng.randint(16, 40)
    units = []
    for view, at in world.rng.sample(disks, count):
        hour_ns = START + int(world.rng.triangular(0, 20, 8) * DAY)  # the spread of the installation dates
        units.append(world.error(view, at, "lost", hour_ns))
    world.slow_cause("model+firmware", f"{model} {version}", units, window_seconds=1_728_000, aspect="lost")
