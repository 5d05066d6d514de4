"""A rack fault of which a third arrives late and out of order, up to a day."""

from dataclasses import replace

from fsmend_collector.diagnosis.evidence import Evidence
from fsmend_collector.simulate.scenarios import rack_power
from fsmend_collector.simulate.world import DAY, World

FAMILY = "negative"


def build(world: World) -> None:
    """Make it happen."""
    rack_power.build(world)
    before = list(world.happenings)
    world.happenings.clear()
    for arrival_ns, _, what in before:
        if isinstance(what, Evidence) and world.rng.random() < 1 / 3:
            late_ns = arrival_ns + world.rng.randrange(DAY)
            world.at(late_ns, replace(what, received_ns=late_ns))
        else:
            world.at(arrival_ns, what)
