"""A rack fault where some clocks are an hour off and one stands in 1970."""

from dataclasses import replace

from fsmend_collector.diagnosis.evidence import Evidence
from fsmend_collector.simulate.scenarios import rack_power
from fsmend_collector.simulate.world import HOUR, SECOND, World

FAMILY = "negative"


def build(world: World) -> None:
    """Make it happen."""
    rack_power.build(world)
    before = list(world.happenings)
    world.happenings.clear()
    skew = {one.agent_id: world.rng.choice((0, 0, 0, HOUR, -HOUR, None)) for one in world.fleet.views}
    for arrival_ns, _, what in before:
        if isinstance(what, Evidence):
            off_ns = skew[what.agent_id]
            what = replace(what, time_ns=100 * SECOND if off_ns is None else what.time_ns + off_ns)  # noqa: PLW2901
        world.at(arrival_ns, what)
