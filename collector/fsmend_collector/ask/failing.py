"""Which units fail now or failed lately, by the stored incidents, and what groups they are in."""

from dataclasses import dataclass, field
from typing import NamedTuple

from sqlalchemy import Connection, or_, select

from fsmend_collector.ask.members import member_incident
from fsmend_collector.diagnosis.codes import CODES, Family
from fsmend_collector.diagnosis.groups import HostView, view_of
from fsmend_collector.diagnosis.groups.aspects import DEVICE, FILESYSTEM, HOST
from fsmend_collector.diagnosis.groups.views import Group
from fsmend_collector.store.schema import hosts, incidents
from fsmend_proto.v1 import incident_pb2, inventory_pb2, why_pb2

_HOSTS_LOOKED_AT = 2_000
_INCIDENTS_LOOKED_AT = 20_000
_FAILING = (
    incident_pb2.INCIDENT_STATE_OPEN,
    incident_pb2.INCIDENT_STATE_REPAIRING,
    incident_pb2.INCIDENT_STATE_MERGED,
)
_COUNTED = {name for name, row in CODES.items() if row.family in {Family.INTEGRITY, Family.DEVICE, Family.SILENCE}}


class Unit(NamedTuple):
    """One device, filesystem or host."""

    agent_id: str
    kind: int
    unit_id: str


@dataclass(slots=True)
class Failure:
    """What is known of a unit that fails or failed.

    Attributes:
        now: an incident of it is not resolved.
    """

    now: bool = False
    incidents: list[why_pb2.MemberIncident] = field(default_factory=list)


@dataclass(slots=True)
class Failing:
    """All of them.

    Attributes:
        groups: what each is in, by the newest inventory of its host.
        hosts_left_out: hosts with incidents beyond the bound; those whose incidents are newest were taken.
    """

    units: dict[Unit, Failure] = field(default_factory=dict)
    groups: dict[Unit, frozenset[Group]] = field(default_factory=dict)
    hosts_left_out: int = 0


def failing_units(connection: Connection, since_ns: int) -> Failing:
    """Return the units with an incident that is not resolved, or was resolved since a time."""
    columns = (incidents.c.agent_id, incidents.c.incident)
    recent = or_(incidents.c.state.in_(_FAILING), incidents.c.resolved_ns >= since_ns)
    chosen = select(*columns).where(recent, incidents.c.agent_id != "", incidents.c.code.in_(_COUNTED))
    rows = connection.execute(chosen.order_by(incidents.c.updated_ns.desc()).limit(_INCIDENTS_LOOKED_AT)).all()
    found, views = Failing(), dict[str, HostView]()
    left_out = set()
    for row in rows:
        if row.agent_id not in views:
            if len(views) >= _HOSTS_LOOKED_AT:
                left_out.add(row.agent_id)
                continue
            views[row.agent_id] = view_in(connection, row.agent_id)
        _take(found, views[row.agent_id], incident_pb2.Incident.FromString(row.incident))
    found.hosts_left_out = len(left_out)
    return found


def _take(found: Failing, view: HostView, incident: incident_pb2.Incident) -> None:
    unit = unit_of(view, incident)
    failure = found.units.get(unit)
    if failure is None:
        failure = found.units[unit] = Failure()
        found.groups[unit] = frozenset(view.unit_groups(unit.kind, unit.unit_id))
    failure.now = failure.now or incident.state in _FAILING
    failure.incidents.append(member_incident(incident))


def unit_of(view: HostView, incident: incident_pb2.Incident) -> Unit:
    """Return what an incident is counted for: the disk, where it is known."""
    unit = incident.unit
    if CODES[incident.code].family is Family.SILENCE:
        return Unit(unit.agent_id, HOST, unit.agent_id)
    if unit.device_id:
        return Unit(unit.agent_id, DEVICE, unit.device_id)
    below = view.filesystems.get(unit.filesystem_uuid, ("", (), ""))[1]
    if len(below) == 1:
        return Unit(unit.agent_id, DEVICE, below[0])
    return Unit(unit.agent_id, FILESYSTEM, unit.filesystem_uuid or incident.cause.value)


def view_in(connection: Connection, agent_id: str) -> HostView:
    """Return what the newest inventory of a host says of its groups; an empty view when there is none."""
    row = connection.execute(select(hosts.c.inventory).where(hosts.c.agent_id == agent_id)).scalar()
    return view_of(agent_id, inventory_pb2.Inventory.FromString(row)) if row is not None else HostView(agent_id)
