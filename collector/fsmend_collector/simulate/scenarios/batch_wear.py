"""A delivery wears out: its drives begin to fail over weeks, of whatever model."""

from fsmend_collector.simulate.world import DAY, START, World

FAMILY = "environment"


def build(world: World) -> None:
    """Make it happen; drives of the delivery that fail alike meanwhile are members: nobody could tell them apart."""
    world.background(28)
    delivery = world.rng.choice(world.fleet.values("label:delivery"))
    hosts = [one for one in world.fleet.views if ("delivery", delivery) in one.labels]
    units = []
    for _ in range(world.rng.randint(40, 70)):
        view = world.rng.choice(hosts)
        at = world.rng.randrange(len(view.devices))
        time_ns = START + int(world.rng.triangular(0, 27, 20) * DAY)
        units.append(world.errors(view, at, "media", time_ns))
    world.slow_cause("label:delivery", delivery, units, window_seconds=2_332_800, aspect="media")
