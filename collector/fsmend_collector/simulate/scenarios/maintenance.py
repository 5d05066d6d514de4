"""Planned maintenance of a row, told by the change feed: hosts are off for hours, drives are pulled."""

from fsmend_collector.diagnosis.groups import Change
from fsmend_collector.simulate.world import HOUR, START, World

FAMILY = "negative"


def build(world: World) -> None:
    """Make it happen."""
    world.background(1)
    row = world.rng.choice(world.fleet.values("row"))
    expected = frozenset({"silent", "lost", "link", "media"})
    world.changes.append(Change("maintenance of a row", ("row", row), START + HOUR, START + 6 * HOUR, expected))
    for view in world.fleet.members("row", row)[:100]:
        world.quiet.add(view.agent_id)
        time_ns = START + HOUR + world.rng.randrange(3 * HOUR)
        if world.rng.random() < 0.3:
            world.error(view, 0, "lost", time_ns)
        world.vanish(view, time_ns + HOUR // 60, time_ns + HOUR)
