"""How many files this process may open: one connection an agent."""

import resource

from fsmend_collector.simulate.wire.errors import SimulationRefused

_BESIDES = 256


def make_room(agents: int) -> None:
    """Raise the soft limit as far as the agents need it.

    Raises:
        SimulationRefused: the hard limit is too low.

    See getrlimit(2), RLIMIT_NOFILE.
    """
    needed = agents + _BESIDES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise SimulationRefused(f"{agents} agents need {needed} open files; the hard limit is {hard} (ulimit -Hn)")
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
