"""The collector is restarted in the middle of a rack fault."""

from fsmend_collector.simulate.scenarios import rack_power
from fsmend_collector.simulate.world import HOUR, SECOND, START, Restart, World

FAMILY = "negative"


def build(world: World) -> None:
    """Make it happen."""
    rack_power.build(world)
    world.at(START + HOUR + 6 * SECOND, Restart())
