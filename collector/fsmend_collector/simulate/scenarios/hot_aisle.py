"""An aisle gets hot: drives in it begin to fail more often, slowly rising."""

from fsmend_collector.simulate.world import DAY, START, World

FAMILY = "environment"


def build(world: World) -> None:
    """Make it happen; drives of the row that fail alike meanwhile are members: nobody could tell them apart."""
    world.background(28)
    row = world.rng.choice(world.fleet.values("row"))
    hosts = world.fleet.members("row", row)
    units = []
    for _ in range(world.rng.randint(40, 70)):
        view = world.rng.choice(hosts)
        time_ns = START + int((world.rng.random() ** 0.5) * 27 * DAY)
        units.append(world.errors(view, world.rng.randrange(len(view.devices)), "health", time_ns))
    world.slow_cause("row", row, units, window_seconds=2_332_800, aspect="health")
