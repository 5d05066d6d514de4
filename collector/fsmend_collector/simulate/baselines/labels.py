"""Static label grouping, as Alertmanager does it: alerts with the same rack and class become one notification.

`group_by: [rack, class]` with a group interval of five minutes; a group that has been quiet for so long is over.
"""

from collections import defaultdict

from fsmend_collector.simulate.run import Reported
from fsmend_collector.simulate.sightings import Sighting, sightings
from fsmend_collector.simulate.world import MINUTE, World

_INTERVAL_NS = 5 * MINUTE


def report(world: World) -> list[Reported]:
    """Return the notifications; one about a single unit names the unit."""
    groups: defaultdict[tuple[str, str], list[Sighting]] = defaultdict(list)
    for one in sightings(world):
        rack = next((value for dimension, value in one.groups if dimension == "rack"), "")
        groups[rack, one.aspect].append(one)
    found = []
    for (rack, aspect), rows in sorted(groups.items()):
        start = 0
        for at in range(1, len(rows) + 1):
            if at == len(rows) or rows[at].arrival_ns - rows[at - 1].arrival_ns > _INTERVAL_NS:
                units = frozenset(one.unit for one in rows[start:at])
                if len(units) > 1:
                    found.append(
                        Reported(f"{rack} {aspect} {start}", aspect, "rack", rack, units, (), rows[start].arrival_ns)
                    )
                else:
                    ((agent, name),) = units
                    found.append(
                        Reported(f"{agent} {name} {start}", aspect, "device", name, units, (), rows[start].arrival_ns)
                    )
                start = at
    return found
