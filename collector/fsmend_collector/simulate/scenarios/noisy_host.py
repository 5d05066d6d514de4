"""One noisy host: 100,000 errors of one drive, folded by its agent as in any storm."""

from fsmend_collector.simulate.world import HOUR, START, World

FAMILY = "negative"


def build(world: World) -> None:
    """Make it happen."""
    world.background(1)
    view = world.rng.choice(world.fleet.views)
    units = {world.error(view, 3, "io", START + HOUR + n * HOUR // 2_000, count=50) for n in range(2_000)}
    world.cause("device", view.devices[3].device_id, units, optional=True)
