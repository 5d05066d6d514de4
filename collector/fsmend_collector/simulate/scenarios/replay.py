"""An adapter fault, and the whole stream is sent again after a reconnect."""

from fsmend_collector.simulate.scenarios import hba_fault
from fsmend_collector.simulate.world import MINUTE, World

FAMILY = "negative"


def build(world: World) -> None:
    """Make it happen."""
    hba_fault.build(world)
    for arrival_ns, _, what in list(world.happenings):
        world.at(arrival_ns + 10 * MINUTE, what)
