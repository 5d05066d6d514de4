"""The statement and the order behind each kind of list. Conditions come from the filter, or from an id or prefix."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, Table, and_, case, literal, or_, select

from fsmend_collector.commands import OPEN_STATES
from fsmend_collector.store.schema import agents, audit, commands, devices, filesystems, gaps, hosts, incidents, tokens
from fsmend_collector.store.scope import Scope, has_prefix
from fsmend_collector.store.views import OPEN_INCIDENTS
from fsmend_proto.v1 import query_pb2 as pb

Conditions = list[ColumnElement[bool]]


@dataclass(frozen=True, slots=True)
class Listing:
    """How one kind is listed.

    Attributes:
        statement: without conditions and order.
        key: order, unique.
        descending: it is the other way round.
        conditions: from the filter, its scope and the time now.
        names: columns that an id may be, whole.
        prefixed: columns that an id may be a prefix of.
    """

    statement: Select[Any]
    key: Sequence[ColumnElement[Any]]
    conditions: Callable[[pb.Filter, Scope, int], Conditions]
    names: Sequence[ColumnElement[Any]]
    prefixed: Sequence[ColumnElement[Any]]
    descending: bool = False

    def exactly(self, name: str) -> ColumnElement[bool]:
        """Return the condition that a row is called `name`."""
        return or_(*(column == name for column in self.names))

    def beginning(self, prefix: str) -> ColumnElement[bool]:
        """Return the condition that a row's name begins with `prefix`."""
        return or_(*(has_prefix(column, prefix) for column in self.prefixed))


def _between(column: ColumnElement[int], wanted: pb.Filter) -> Conditions:
    found: Conditions = []
    if wanted.since_ns:
        found.append(column >= wanted.since_ns)
    if wanted.until_ns:
        found.append(column < wanted.until_ns)
    return found


def _of_agents(wanted: pb.Filter, scope: Scope, _: int) -> Conditions:
    return [*scope.within(agents.c.agent_id), *_between(agents.c.last_seen_ns, wanted)]


def _of_devices(wanted: pb.Filter, scope: Scope, _: int) -> Conditions:
    found = [*scope.within(devices.c.agent_id), *scope.about(devices.c.device_id), *_between(devices.c.seen_ns, wanted)]
    if not wanted.include_closed:
        found.append(devices.c.present.is_(True))
    return found


def _of_filesystems(wanted: pb.Filter, scope: Scope, _: int) -> Conditions:
    found = [*scope.within(filesystems.c.agent_id), *_between(filesystems.c.seen_ns, wanted)]
    if wanted.filesystem_uuid:
        found.append(filesystems.c.filesystem_uuid == wanted.filesystem_uuid)
    if not wanted.include_closed:
        found.append(filesystems.c.present.is_(True))
    return found


def _of_incidents(wanted: pb.Filter, scope: Scope, _: int) -> Conditions:
    found = [*scope.within(incidents.c.agent_id), *scope.about(incidents.c.device_id)]
    if wanted.since_ns:
        found.append(incidents.c.updated_ns >= wanted.since_ns)
    if wanted.until_ns:
        found.append(incidents.c.opened_ns < wanted.until_ns)
    if wanted.filesystem_uuid:
        found.append(incidents.c.filesystem_uuid == wanted.filesystem_uuid)
    if wanted.min_severity:
        found.append(incidents.c.severity >= wanted.min_severity)
    if wanted.incident_id:
        found.append(incidents.c.id == wanted.incident_id)
    if not wanted.include_closed:
        found.append(incidents.c.state.in_(OPEN_INCIDENTS))
    return found


def _of_commands(wanted: pb.Filter, scope: Scope, _: int) -> Conditions:
    found = [*scope.within(commands.c.agent_id), *scope.about(commands.c.device_id)]
    found += _between(commands.c.created_ns, wanted)
    if wanted.filesystem_uuid:
        found.append(commands.c.filesystem_uuid == wanted.filesystem_uuid)
    if wanted.incident_id:
        found.append(commands.c.incident_id == wanted.incident_id)
    if not wanted.include_closed:
        found.append(commands.c.state.in_(OPEN_STATES))
    return found


def _of_gaps(wanted: pb.Filter, scope: Scope, _: int) -> Conditions:
    found = _between(gaps.c.received_ns, wanted)
    if scope.numbers is not None:
        found.append(gaps.c.agent.in_(list(scope.numbers.values())))
    if wanted.source:
        found.append(gaps.c.source == wanted.source)
    if wanted.filesystem_uuid:
        found.append(gaps.c.filesystem_uuid == wanted.filesystem_uuid)
    return found


def _of_tokens(wanted: pb.Filter, _: Scope, now_ns: int) -> Conditions:
    found = _between(tokens.c.created_ns, wanted)
    if wanted.host:
        found.append(tokens.c.host_name == wanted.host)
    if not wanted.include_closed:
        found += [tokens.c.used_ns == 0, tokens.c.not_after_ns > now_ns]
    return found


def _of_audit(wanted: pb.Filter, scope: Scope, _: int) -> Conditions:
    """Return the conditions on the audit, by way of what it is about: that must be in the store still."""
    found = _between(audit.c.at_ns, wanted)
    if scope.numbers is not None:
        mine = select(agents.c.agent_id).where(*scope.within(agents.c.agent_id)).cte("mine")
        agent_ids = select(mine.c.agent_id)
        found.append(
            or_(
                audit.c.actor.in_(select(literal("agent:") + mine.c.agent_id)),
                _about("agent", agent_ids),
                *_about_units(lambda of: of.c.agent_id.in_(agent_ids)),
                _about("token", select(tokens.c.id).where(tokens.c.used_by.in_(agent_ids))),
            )
        )
    if wanted.incident_id:
        ordered = select(commands.c.id).where(commands.c.incident_id == wanted.incident_id)
        found.append(or_(_about("incident", [wanted.incident_id]), _about("command", ordered)))
    if wanted.filesystem_uuid:
        found.append(or_(*_about_units(lambda of: of.c.filesystem_uuid == wanted.filesystem_uuid)))
    if scope.device_ids is not None:
        found.append(or_(*_about_units(lambda of: of.c.device_id.in_(scope.device_ids or ()))))
    return found


def _about_units(which: Callable[[Table], ColumnElement[bool]]) -> Conditions:
    """Return the conditions that a row is about a command or an incident of some hosts, filesystems or devices."""
    kinds = (("command", commands), ("scheduled", commands), ("incident", incidents))
    return [_about(kind, select(of.c.id).where(which(of))) for kind, of in kinds]


def _about(kind: str, ids: Any) -> ColumnElement[bool]:
    return and_(audit.c.object_kind == kind, audit.c.object_id.in_(ids))


def _with_agent(table: Any, *more: ColumnElement[Any]) -> Select[Any]:
    return select(table, *more).join(agents, agents.c.agent_id == table.c.agent_id)


_PRESENCE = (agents.c.connected_ns, agents.c.disconnected_ns, agents.c.last_seen_ns)
_CLOSED = case((incidents.c.state.in_(OPEN_INCIDENTS), 0), else_=1)

LISTINGS: dict[int, Listing] = {
    pb.OBJECT_KIND_AGENT: Listing(
        statement=select(agents),
        key=(agents.c.host_name, agents.c.agent_id),
        conditions=_of_agents,
        names=(agents.c.agent_id, agents.c.host_name),
        prefixed=(agents.c.agent_id,),
    ),
    pb.OBJECT_KIND_HOST: Listing(
        statement=_with_agent(hosts, *_PRESENCE),
        key=(hosts.c.name, hosts.c.agent_id),
        conditions=_of_agents,
        names=(hosts.c.name, hosts.c.agent_id),
        prefixed=(hosts.c.name, hosts.c.agent_id),
    ),
    pb.OBJECT_KIND_DEVICE: Listing(
        statement=_with_agent(devices, agents.c.host_name),
        key=(agents.c.host_name, devices.c.name, devices.c.agent_id, devices.c.device_id),
        conditions=_of_devices,
        names=(devices.c.device_id, devices.c.name, devices.c.serial),
        prefixed=(devices.c.device_id,),
    ),
    pb.OBJECT_KIND_FILESYSTEM: Listing(
        statement=_with_agent(filesystems, agents.c.host_name),
        key=(agents.c.host_name, filesystems.c.device_name, filesystems.c.agent_id, filesystems.c.filesystem_key),
        conditions=_of_filesystems,
        names=(filesystems.c.filesystem_uuid, filesystems.c.filesystem_key),
        prefixed=(filesystems.c.filesystem_uuid, filesystems.c.filesystem_key),
    ),
    pb.OBJECT_KIND_INCIDENT: Listing(
        statement=select(incidents),
        key=(_CLOSED, -incidents.c.severity, -incidents.c.opened_ns, incidents.c.id),
        conditions=_of_incidents,
        names=(incidents.c.id,),
        prefixed=(incidents.c.id,),
    ),
    pb.OBJECT_KIND_COMMAND: Listing(
        statement=_with_agent(commands, agents.c.host_name, agents.c.number.label("agent_number")),
        key=(-commands.c.created_ns, commands.c.id),
        conditions=_of_commands,
        names=(commands.c.id,),
        prefixed=(commands.c.id,),
    ),
    pb.OBJECT_KIND_GAP: Listing(
        statement=select(gaps),
        key=(gaps.c.id,),
        conditions=_of_gaps,
        names=(),
        prefixed=(),
        descending=True,
    ),
    pb.OBJECT_KIND_TOKEN: Listing(
        statement=select(tokens),
        key=(-tokens.c.created_ns, tokens.c.id),
        conditions=_of_tokens,
        names=(tokens.c.id,),
        prefixed=(tokens.c.id,),
    ),
    pb.OBJECT_KIND_AUDIT: Listing(
        statement=select(audit),
        key=(audit.c.id,),
        conditions=_of_audit,
        names=(),
        prefixed=(),
        descending=True,
    ),
}
