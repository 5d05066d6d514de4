"""Adtributor (Bhagwan et al., NSDI 2014): explanatory power and surprise, dimension by dimension.

In every hour in which more units fail than the forecast lets expect, each dimension's elements are taken by surprise
(the Jensen-Shannon term between forecast and actual share) until they explain enough of the excess; the dimension with
the most surprise in its set is the cause.
"""

import math
from collections import Counter, defaultdict

from fsmend_collector.diagnosis.groups.views import Group
from fsmend_collector.simulate.run import Reported
from fsmend_collector.simulate.sightings import Sighting, sightings
from fsmend_collector.simulate.world import HOUR, World

_EACH_EXPLAINS = 0.1
_TOGETHER_EXPLAIN = 0.67
_LEAST_EXCESS = 3.0
_SIGMAS = 3.0


def report(world: World) -> list[Reported]:
    """Return the causes of the hours with too many failing units; hours in a row are one."""
    sizes = world.fleet.population.sizes
    whole = sizes["fleet", "all"][0]
    by_hour: defaultdict[int, dict[tuple[str, str], Sighting]] = defaultdict(dict)
    for one in sightings(world):
        by_hour[one.arrival_ns // HOUR].setdefault(one.unit, one)
    drives = world.fleet.drives
    per_hour = drives.lost_per_hour + drives.media_per_hour + drives.link_per_hour + drives.health_per_hour
    forecast = per_hour * whole
    found: dict[Group, set[tuple[str, str]]] = {}
    first: dict[Group, int] = {}
    for hour, units in sorted(by_hour.items()):
        if len(units) - forecast < max(_LEAST_EXCESS, _SIGMAS * math.sqrt(forecast)):
            continue
        for group in _cause(list(units.values()), forecast, sizes, whole):
            found.setdefault(group, set()).update(unit for unit, one in units.items() if group in one.groups)
            first.setdefault(group, hour * HOUR)
    return [
        Reported(f"{group}", "ADTRIBUTOR", *group, frozenset(units), (), first[group])
        for group, units in sorted(found.items())
    ]


def _cause(units: list[Sighting], forecast: float, sizes: dict[Group, list[int]], whole: int) -> list[Group]:
    """Return the set of elements of the most surprising dimension."""
    counts = Counter(group for one in units for group in one.groups)
    best: tuple[float, list[Group]] = (0.0, [])
    for dimension in sorted({group[0] for group in counts} - {"fleet"}):
        rows = []
        for group, count in counts.items():
            if group[0] == dimension:
                expected = forecast * sizes.get(group, [12])[0] / whole
                share, usual = count / len(units), expected / forecast
                rows.append((_surprise(usual, share), (count - expected) / (len(units) - forecast), group))
        chosen, explained, surprise = [], 0.0, 0.0
        for one_surprise, explains, group in sorted(rows, reverse=True):
            if explains > _EACH_EXPLAINS:
                chosen.append(group)
                explained += explains
                surprise += one_surprise
            if explained > _TOGETHER_EXPLAIN:
                break
        if explained > _TOGETHER_EXPLAIN and surprise / len(chosen) > best[0]:
            best = (surprise / len(chosen), chosen)
    return best[1]


def _surprise(usual: float, share: float) -> float:
    both = usual + share
    left = usual * math.log(2 * usual / both) if usual else 0.0
    return 0.5 * (left + share * math.log(2 * share / both))
