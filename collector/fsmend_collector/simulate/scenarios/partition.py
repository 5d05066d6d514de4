"""The network to a row is cut for twenty minutes: agents are silent, no drive fails."""

from fsmend_collector.simulate.world import HOUR, MINUTE, START, World

FAMILY = "negative"


def build(world: World) -> None:
    """Make it happen."""
    world.background(1)
    row = world.rng.choice(world.fleet.values("row"))
    units = []
    for view in world.fleet.members("row", row):
        units.append(world.vanish(view, START + HOUR, START + HOUR + 20 * MINUTE + world.rng.randrange(MINUTE)))  # noqa: PERF401  drawn in turn
    world.cause("row", row, units, window_seconds=300, aspect="silent")
