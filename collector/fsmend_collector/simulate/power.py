"""What a loss of power looks like from the collector."""

from fsmend_collector.diagnosis.groups import HostView
from fsmend_collector.simulate.world import SECOND, Unit, World

_HOLD_UP = 0.4


def lose_power(world: World, hosts: list[HostView], time_ns: int) -> list[Unit]:
    """Let hosts lose power: all vanish, and those that hold up longest tell first that their shelves are gone."""
    units: list[Unit] = []
    for view in hosts:
        dies_ns = time_ns + world.rng.randrange(8 * SECOND)
        if world.rng.random() < _HOLD_UP:
            dies_ns += 4 * SECOND
            units += [
                world.error(view, at, "lost", time_ns + world.rng.randrange(2 * SECOND))
                for at in range(len(view.devices))
            ]
        units.append(world.vanish(view, dies_ns))
    return units
