"""A kernel is rolled out in waves: hosts reboot, each back within minutes."""

from fsmend_collector.simulate.world import HOUR, MINUTE, SECOND, START, World

FAMILY = "negative"


def build(world: World) -> None:
    """Make it happen."""
    world.background(1)
    hosts = [one for one in world.fleet.views if ("role", "database") in one.labels]
    for at, view in enumerate(hosts[:400]):
        time_ns = START + HOUR + at // 40 * 10 * MINUTE + world.rng.randrange(MINUTE)
        world.vanish(view, time_ns, time_ns + world.rng.randint(60, 280) * SECOND)
