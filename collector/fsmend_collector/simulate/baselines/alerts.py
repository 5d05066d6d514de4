"""Alerts: what a world's findings are to systems that look at one unit and one rule."""

from collections.abc import Iterator
from dataclasses import dataclass

from fsmend_collector.diagnosis.config import DiagnosisConfig
from fsmend_collector.diagnosis.evidence import Evidence
from fsmend_collector.diagnosis.groups import HostView
from fsmend_collector.diagnosis.groups.aspects import ASPECTS, aspect_of
from fsmend_collector.diagnosis.groups.views import Group
from fsmend_collector.simulate.world import SECOND, Presence, Unit, World


@dataclass(frozen=True, slots=True)
class Alert:
    """One unit that shows something at a time."""

    time_ns: int
    unit: Unit
    aspect: str
    groups: tuple[Group, ...]


def alerts(world: World) -> Iterator[Alert]:
    """Yield the alerts of a world in the order of their arrival; an agent that stays away is one too."""
    away: dict[str, int] = {}
    silent_ns = DiagnosisConfig().agent_silent_seconds * SECOND
    views = dict(world.views)
    found: list[Alert] = []
    for arrival_ns, _, what in sorted(world.happenings, key=lambda row: row[:2]):
        if isinstance(what, Evidence):
            if aspect := aspect_of(what):
                view = views.get(what.agent_id) or world.fleet.by_agent[what.agent_id]
                kind = ASPECTS[aspect].kind
                unit = what.filesystem_uuid if kind or not what.device_id else what.device_id
                found.append(Alert(arrival_ns, (what.agent_id, unit), aspect, _groups(view, kind, unit)))
        elif isinstance(what, Presence):
            since_ns = away.pop(what.agent_id, 0)
            if not what.connected:
                away[what.agent_id] = arrival_ns
            elif since_ns and arrival_ns - since_ns >= silent_ns:
                found.append(_silent(world, what.agent_id, since_ns + silent_ns))
    found += [_silent(world, agent_id, since_ns + silent_ns) for agent_id, since_ns in away.items()]
    yield from sorted(found, key=lambda one: (one.time_ns, one.unit))


def _silent(world: World, agent_id: str, time_ns: int) -> Alert:
    view = world.views.get(agent_id) or world.fleet.by_agent[agent_id]
    return Alert(time_ns, (agent_id, agent_id), "silent", _groups(view, 2, agent_id))


def _groups(view: HostView, kind: int, unit: str) -> tuple[Group, ...]:
    return tuple(view.unit_groups(kind, unit))
