"""Two filesystems break one after the other, and repairs of theirs are sent again or their acknowledgement is lost."""

from fsmend_collector.simulate.world import HOUR, START, World

FAMILY = "safety"


def build(world: World) -> None:
    """Make it happen: errors go on while a repair is not known to have ended."""
    hosts = [one for one in world.fleet.views if any(kind == "xfs" for kind, _, _ in one.filesystems.values())]
    for at, view in enumerate(world.rng.sample(hosts, 2)):
        time_ns = START + HOUR + at * 12 * HOUR  # two: more in a day would be something shared
        units = {world.error(view, 0, "corrupt", time_ns + again * HOUR // 2) for again in range(5)}
        world.cause("device", next(iter(units))[1], units)
