"""Read committed records of every kind in the one order in which the collector learnt them."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from fsmend_collector.diagnosis.codes import CODES
from fsmend_collector.diagnosis.groups import HostView
from fsmend_collector.store import queries
from fsmend_collector.store.schema import agents, commands, counted_hosts, events, hosts, incident_evidence, incidents
from fsmend_proto.v1 import event_pb2, incident_pb2, inventory_pb2

RECORDS_A_BATCH = 1_000
_NAMES_A_STATEMENT = 500


@dataclass(frozen=True, slots=True)
class Learnt:
    """One committed record.

    Attributes:
        kind: event, gap, update or inventory.
        row: of its table.
    """

    id: int
    kind: str
    row: Any


@dataclass(frozen=True, slots=True)
class Origin:
    """Whose record it is."""

    agent_id: str
    host_name: str
    clock_offset_ns: int


def learnt_after(connection: Connection, cursor: int, limit: int = RECORDS_A_BATCH) -> tuple[list[Learnt], int]:
    """Return the next records in the order of their ids, and the id through which nothing is missing."""
    newest = queries.last_record_id(connection)
    found: list[Learnt] = []
    through = newest
    for kind, rows in (
        ("event", queries.events_after(connection, cursor, limit)),
        ("gap", queries.gaps_after(connection, cursor, limit)),
        ("update", queries.updates_after(connection, cursor, limit)),
        ("inventory", _inventories_after(connection, cursor, limit)),
    ):
        found.extend(Learnt(row.id, kind, row) for row in rows)
        if len(rows) == limit:
            # A full page may hide more rows of its table; what the others have beyond it comes in the next batch.
            through = min(through, rows[-1].id)
    return sorted((one for one in found if one.id <= through), key=lambda one: one.id), through


def _inventories_after(connection: Connection, cursor: int, limit: int) -> list[Any]:
    columns = (hosts.c.record_id.label("id"), hosts.c.agent_id, hosts.c.inventory, hosts.c.seen_ns)
    chosen = select(*columns).where(hosts.c.record_id > cursor).order_by(hosts.c.record_id).limit(limit)
    return list(connection.execute(chosen))


def origins(connection: Connection, numbers: Iterable[int]) -> dict[int, Origin]:
    """Return whose records these agents' numbers mean."""
    columns = (agents.c.number, agents.c.agent_id, agents.c.host_name, agents.c.clock_offset_ns)
    rows = connection.execute(select(*columns).where(agents.c.number.in_(set(numbers))))
    return {row.number: Origin(row.agent_id, row.host_name, row.clock_offset_ns) for row in rows}


def inventory_of(connection: Connection, agent_id: str) -> inventory_pb2.Inventory | None:
    """Return an agent's newest inventory."""
    found = connection.execute(select(hosts.c.inventory).where(hosts.c.agent_id == agent_id)).scalar()
    return None if found is None else inventory_pb2.Inventory.FromString(found)


def _slices(names: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(names), _NAMES_A_STATEMENT):
        yield names[start : start + _NAMES_A_STATEMENT]


def host_names(connection: Connection, agent_ids: Sequence[str]) -> dict[str, str]:
    """Return the host names of those of these agents that are not revoked."""
    found: dict[str, str] = {}
    for some in _slices(agent_ids):
        chosen = select(agents.c.agent_id, agents.c.host_name).where(agents.c.agent_id.in_(some))
        rows = connection.execute(chosen.where(agents.c.revoked_ns == 0))
        found.update((row.agent_id, row.host_name) for row in rows)
    return found


def revoked_hosts(connection: Connection) -> list[str]:
    """Return the revoked agents that the population still counts."""
    chosen = select(counted_hosts.c.agent_id).join(agents, agents.c.agent_id == counted_hosts.c.agent_id)
    return list(connection.execute(chosen.where(agents.c.revoked_ns > 0)).scalars())


def revoked_with_incidents(connection: Connection) -> list[str]:
    """Return the revoked agents that have incidents which are not resolved."""
    chosen = select(incidents.c.agent_id).join(agents, agents.c.agent_id == incidents.c.agent_id).distinct()
    going_on = incidents.c.state != incident_pb2.INCIDENT_STATE_RESOLVED
    return list(connection.execute(chosen.where(going_on, agents.c.revoked_ns > 0)).scalars())


def light_views(connection: Connection, agent_ids: Sequence[str]) -> list[HostView]:
    """Return the groups that these hosts are in, without their disks: enough for hosts that fail as a whole."""
    columns = (hosts.c.agent_id, hosts.c.name, hosts.c.kernel_release, hosts.c.labels)
    found: list[HostView] = []
    for some in _slices(agent_ids):
        for row in connection.execute(select(*columns).where(hosts.c.agent_id.in_(some))):
            labels = tuple(sorted(json.loads(row.labels or "{}").items()))
            found.append(HostView(row.agent_id, row.name, row.kernel_release, labels))
    return found


def inventories(connection: Connection, agent_ids: Sequence[str]) -> Iterator[tuple[str, inventory_pb2.Inventory]]:
    """Yield the newest inventories of these agents."""
    for some in _slices(agent_ids):
        for row in connection.execute(select(hosts.c.agent_id, hosts.c.inventory).where(hosts.c.agent_id.in_(some))):
            yield row.agent_id, inventory_pb2.Inventory.FromString(row.inventory)


def uncounted_events(
    connection: Connection, kinds: Iterable[int], since_ns: int, through: int, limit: int
) -> list[Any]:
    """Return the newest events of some kinds, oldest first, that are no incident's evidence.

    They are what the soft-error rates remember.
    """
    first = queries.first_event_id_since(connection, since_ns)
    # What the group scan points to as evidence is not counted by that: only its unit's own incident counts it.
    evidence = select(incident_evidence.c.event_id).join(incidents, incidents.c.id == incident_evidence.c.incident_id)
    evidence = evidence.where(incident_evidence.c.event_id == events.c.id, incidents.c.code.in_(list(CODES)))
    span = (events.c.id >= first, events.c.id <= through)
    errors = (events.c.kind.in_(list(kinds)), events.c.severity > event_pb2.SEVERITY_INFO)
    chosen = select(events).where(*span, *errors, ~evidence.exists())
    return list(connection.execute(chosen.order_by(events.c.id.desc()).limit(limit)))[::-1]


def commands_since(connection: Connection, updated_ns: int) -> list[Any]:
    """Return the commands that changed at or after a time, in the order of change."""
    chosen = select(commands).where(commands.c.updated_ns >= updated_ns)
    return list(connection.execute(chosen.order_by(commands.c.updated_ns, commands.c.id)))
