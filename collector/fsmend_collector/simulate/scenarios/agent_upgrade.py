"""A new agent decodes more: old counters are told, and records that it cannot decode."""

from fsmend_collector.simulate.world import HOUR, MINUTE, START, World
from fsmend_proto.v1 import event_pb2

FAMILY = "negative"


def build(world: World) -> None:
    """Make it happen."""
    world.background(1)
    for view in world.rng.sample(world.fleet.views, 150):
        time_ns = START + HOUR + world.rng.randrange(20 * MINUTE)
        world.error(view, 0, "corrupt", time_ns, before_agent=True, severity=event_pb2.SEVERITY_WARNING, reading=3)
        world.error(view, 1, "undecoded", time_ns, severity=event_pb2.SEVERITY_WARNING)
