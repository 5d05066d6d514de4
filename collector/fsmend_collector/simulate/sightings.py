"""Sightings: which units of a world are seen to fail, and when the collector learns it: all that any observer has."""

from collections.abc import Iterator
from dataclasses import dataclass

from fsmend_collector.diagnosis.config import DiagnosisConfig
from fsmend_collector.diagnosis.evidence import Evidence
from fsmend_collector.diagnosis.groups import HostView
from fsmend_collector.diagnosis.groups.aspects import ASPECTS, DEVICE, FILESYSTEM, HOST, aspect_of
from fsmend_collector.diagnosis.groups.views import Group
from fsmend_collector.simulate.world import SECOND, Presence, Unit, World


@dataclass(frozen=True, slots=True)
class Sighting:
    """One unit that is seen to fail.

    Attributes:
        arrival_ns: when the collector learns it.
        time_ns: when it is said to have happened.
        groups: what the unit is in, by the inventory.
    """

    arrival_ns: int
    time_ns: int
    aspect: str
    unit: Unit
    groups: tuple[Group, ...]


def sightings(world: World) -> Iterator[Sighting]:
    """Yield every error, and every agent that stays away for as long as counts, in the order of arrival."""
    away: dict[str, int] = {}
    silent_ns = DiagnosisConfig().agent_silent_seconds * SECOND
    views = dict(world.views)
    found: list[Sighting] = []
    for arrival_ns, _, what in sorted(world.happenings, key=lambda row: row[:2]):
        if isinstance(what, Evidence):
            if aspect := aspect_of(what):
                view = views.get(what.agent_id) or world.fleet.by_agent[what.agent_id]
                kind = ASPECTS[aspect].kind if what.device_id else FILESYSTEM
                unit = what.device_id if kind == DEVICE else what.filesystem_uuid
                found.append(
                    Sighting(arrival_ns, what.time_ns, aspect, (what.agent_id, unit), _groups(view, kind, unit))
                )
        elif isinstance(what, Presence):
            since_ns = away.pop(what.agent_id, 0)
            if not what.connected:
                away[what.agent_id] = arrival_ns
            elif since_ns and arrival_ns - since_ns >= silent_ns:
                found.append(_silent(world, what.agent_id, since_ns, silent_ns))
    found += [_silent(world, agent_id, since_ns, silent_ns) for agent_id, since_ns in away.items()]
    yield from sorted(found, key=lambda one: (one.arrival_ns, one.unit))


def _silent(world: World, agent_id: str, since_ns: int, silent_ns: int) -> Sighting:
    """Return the sighting of an agent that is away: there is none before it has been away for long enough."""
    view = world.views.get(agent_id) or world.fleet.by_agent[agent_id]
    return Sighting(since_ns + silent_ns, since_ns, "silent", (agent_id, agent_id), _groups(view, HOST, agent_id))


def _groups(view: HostView, kind: int, unit: str) -> tuple[Group, ...]:
    return tuple(view.unit_groups(kind, unit))
