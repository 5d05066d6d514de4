"""Reads of the store, as the servers, the query service and diagnosis need them.

Every function takes a SQLAlchemy `Connection` from `Store.reading()` and returns rows (`Row`), never open cursors.
Calls block: run them with `await store.read(function, *args)`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Row, Select, func, select

from fsmend_collector.store.schema import (
    EVENT_CHUNK_BITS,
    command_updates,
    commands,
    events,
    gaps,
    incident_evidence,
    meta,
    revocations,
)

REPAIRS_STOPPED = "repairs_stopped_ns"
# How many chunks one statement visits for one agent.
CHUNKS_A_STATEMENT = 512


@dataclass(frozen=True, slots=True)
class EventFilter:
    """What events to return; an empty field does not restrict.

    Attributes:
        agents: `agents.number` values; None: every agent, empty: none at all.
        since_ns, until_ns: collector time, inclusive and exclusive.
        after_id, before_id: exclusive bounds of the id.
    """

    agents: Sequence[int] | None = None
    since_ns: int = 0
    until_ns: int = 0
    after_id: int = 0
    before_id: int = 0
    kinds: Sequence[int] = ()
    min_severity: int = 0
    source: str = ""
    filesystem_uuid: str = ""
    device_ids: Sequence[str] = ()
    incident_id: str = ""
    extra: Sequence[Any] = field(default=())


def meta_number(connection: Connection, key: str) -> int:
    """Return the number kept under `key`, 0 when there is none."""
    return connection.execute(select(meta.c.number).where(meta.c.key == key)).scalar() or 0


def repairs_are_stopped(connection: Connection) -> bool:
    """Say whether automatic repairs are stopped until a person releases them."""
    return meta_number(connection, REPAIRS_STOPPED) > 0


def last_record_id(connection: Connection) -> int:
    """Return the newest id of events, gaps and command updates."""
    return meta_number(connection, "last_record_id")


def first_event_id_since(connection: Connection, since_ns: int) -> int:
    """Return an id from which on every event was received at or after `since_ns`, and none before it was.

    `received_ns` never falls while ids grow, so this is a binary search over the primary key.
    """
    low = connection.execute(select(func.min(events.c.id))).scalar()
    high = connection.execute(select(func.max(events.c.id))).scalar()
    if low is None or high is None:
        return last_record_id(connection) + 1
    high += 1
    while low < high:
        middle = (low + high) // 2
        statement = (
            select(events.c.id, events.c.received_ns).where(events.c.id >= middle).order_by(events.c.id).limit(1)
        )
        row = connection.execute(statement).first()
        if row is None or row.received_ns >= since_ns:
            high = middle
        else:
            low = row.id + 1
    return int(low)


def _conditions(wanted: EventFilter) -> list[Any]:
    """Return the conditions on columns, without agent, time and id."""
    found: list[Any] = list(wanted.extra)
    if wanted.kinds:
        found.append(events.c.kind.in_(wanted.kinds))
    if wanted.min_severity:
        found.append(events.c.severity >= wanted.min_severity)
    if wanted.source:
        found.append(events.c.source == wanted.source)
    if wanted.filesystem_uuid:
        found.append(events.c.filesystem_uuid == wanted.filesystem_uuid)
    if wanted.device_ids:
        found.append(events.c.device_id.in_(wanted.device_ids))
    if wanted.incident_id:
        chosen = select(incident_evidence.c.event_id).where(incident_evidence.c.incident_id == wanted.incident_id)
        found.append(events.c.id.in_(chosen))
    return found


def _bounds(connection: Connection, wanted: EventFilter) -> tuple[int, int]:
    """Return the ids to look at as [low, high)."""
    low = wanted.after_id + 1
    if wanted.since_ns:
        low = max(low, first_event_id_since(connection, wanted.since_ns))
    high = wanted.before_id or last_record_id(connection) + 1
    if wanted.until_ns:
        high = min(high, first_event_id_since(connection, wanted.until_ns))
    return low, high


def _chunk_spans(low: int, high: int) -> Iterator[tuple[int, int]]:
    """Yield spans of chunks that cover [low, high), newest first, both ends inclusive."""
    oldest, newest = low >> EVENT_CHUNK_BITS, (high - 1) >> EVENT_CHUNK_BITS
    while newest >= oldest:
        yield max(oldest, newest - CHUNKS_A_STATEMENT + 1), newest
        newest -= CHUNKS_A_STATEMENT


def events_page(connection: Connection, wanted: EventFilter, limit: int) -> list[Row[Any]]:
    """Return up to `limit` events, newest first; the next page has `before_id` = the last row's id.

    For few agents the chunks of ids are walked from the newest on, one index seek a chunk and agent; otherwise the rows
    are read backwards by id.
    """
    low, high = _bounds(connection, wanted)
    if low >= high or (wanted.agents is not None and not wanted.agents):
        return []
    statement: Select[Any] = select(events).where(events.c.id >= low, events.c.id < high, *_conditions(wanted))
    statement = statement.order_by(events.c.id.desc())
    if wanted.agents is None or wanted.incident_id:
        if wanted.agents is not None:
            statement = statement.where(events.c.agent.in_(wanted.agents))
        return list(connection.execute(statement.limit(limit)))
    found: list[Row[Any]] = []
    for oldest, newest in _chunk_spans(low, high):
        span = events.c.chunk.in_(range(oldest, newest + 1))
        chosen = statement.where(span, events.c.agent.in_(wanted.agents)).limit(limit - len(found))
        found.extend(connection.execute(chosen))
        if len(found) >= limit:
            break
    return found


def events_after(connection: Connection, cursor: int, limit: int, wanted: EventFilter | None = None) -> list[Row[Any]]:
    """Return up to `limit` events with an id above `cursor`, oldest first."""
    statement = select(events).where(events.c.id > cursor).order_by(events.c.id).limit(limit)
    if wanted is not None:
        statement = statement.where(*_conditions(wanted))
        if wanted.agents is not None:
            statement = statement.where(events.c.agent.in_(wanted.agents))
    return list(connection.execute(statement))


def incidents_of_events(connection: Connection, event_ids: Sequence[int]) -> dict[int, str]:
    """Map event ids to the incident each is evidence of; the latest by name when there are several."""
    statement = select(incident_evidence).where(incident_evidence.c.event_id.in_(event_ids))
    return {
        row.event_id: row.incident_id for row in connection.execute(statement.order_by(incident_evidence.c.incident_id))
    }


def gaps_after(connection: Connection, cursor: int, limit: int) -> list[Row[Any]]:
    """Return up to `limit` gaps with an id above `cursor`, oldest first."""
    return list(connection.execute(select(gaps).where(gaps.c.id > cursor).order_by(gaps.c.id).limit(limit)))


def updates_after(connection: Connection, cursor: int, limit: int) -> list[Row[Any]]:
    """Return up to `limit` command updates with an id above `cursor`, oldest first."""
    chosen = command_updates.c.id > cursor
    return list(connection.execute(select(command_updates).where(chosen).order_by(command_updates.c.id).limit(limit)))


def command_history(connection: Connection, command_id: str) -> list[Row[Any]]:
    """Return every update of one command in the order of commit."""
    chosen = command_updates.c.command_id == command_id
    return list(connection.execute(select(command_updates).where(chosen).order_by(command_updates.c.id)))


def command(connection: Connection, command_id: str) -> Row[Any] | None:
    """Return one command."""
    return connection.execute(select(commands).where(commands.c.id == command_id)).first()


def revoked(connection: Connection) -> dict[str, int]:
    """Return the certificates that are no longer accepted, as `Gate.revoked` has them."""
    return {row.serial: row.revoked_ns for row in connection.execute(select(revocations))}
