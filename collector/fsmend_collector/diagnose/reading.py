"""Read committed records of every kind in the one order in which the collector learnt them."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from fsmend_collector.store import queries
from fsmend_collector.store.schema import agents, commands, events, hosts, incident_evidence
from fsmend_proto.v1 import event_pb2, inventory_pb2

RECORDS_A_BATCH = 1_000


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


def uncounted_events(connection: Connection, since_ns: int, through: int, limit: int) -> list[Any]:
    """Return the newest events, oldest first, that are no incident's evidence: what the soft-error rates remember."""
    first = queries.first_event_id_since(connection, since_ns)
    evidence = select(incident_evidence.c.event_id).where(incident_evidence.c.event_id == events.c.id).exists()
    chosen = select(events).where(
        events.c.id >= first, events.c.id <= through, events.c.severity > event_pb2.SEVERITY_INFO, ~evidence
    )
    return list(connection.execute(chosen.order_by(events.c.id.desc()).limit(limit)))[::-1]


def commands_since(connection: Connection, updated_ns: int) -> list[Any]:
    """Return the commands that changed at or after a time, in the order of change."""
    chosen = select(commands).where(commands.c.updated_ns >= updated_ns)
    return list(connection.execute(chosen.order_by(commands.c.updated_ns, commands.c.id)))
