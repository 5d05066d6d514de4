"""The naive rule: three units in one rack within half an hour are a rack fault."""

from collections import defaultdict

from fsmend_collector.simulate.run import Reported
from fsmend_collector.simulate.sightings import Sighting, sightings
from fsmend_collector.simulate.world import MINUTE, World

_WINDOW_NS = 30 * MINUTE
_LEAST = 3


def report(world: World) -> list[Reported]:
    """Return the rack alarms."""
    racks: defaultdict[str, list[Sighting]] = defaultdict(list)
    for one in sightings(world):
        for dimension, value in one.groups:
            if dimension == "rack":
                racks[value].append(one)
    return [alarm for rack, rows in sorted(racks.items()) for alarm in _alarms(rack, rows)]


def _alarms(rack: str, rows: list[Sighting]) -> list[Reported]:
    found = []
    at = 0
    while at < len(rows):
        end = at
        while end + 1 < len(rows) and rows[end + 1].arrival_ns - rows[end].arrival_ns <= _WINDOW_NS:
            end += 1
        units = frozenset(one.unit for one in rows[at : end + 1])
        if len(units) >= _LEAST:
            found.append(Reported(f"{rack} {at}", "RACK", "rack", rack, units, (), rows[at].arrival_ns))
        at = end + 1
    return found
