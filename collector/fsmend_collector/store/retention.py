"""Forget what is older than its time, a little at once, so that ingest never waits long."""

from sqlalchemy import Connection, and_, delete, exists, func, or_, select

from fsmend_collector.store.queries import first_event_id_since
from fsmend_collector.store.schema import (
    changes,
    command_updates,
    commands,
    events,
    gaps,
    incident_evidence,
    incidents,
    tokens,
)
from fsmend_proto.v1 import incident_pb2

_RESOLVED, _MERGED = incident_pb2.INCIDENT_STATE_RESOLVED, incident_pb2.INCIDENT_STATE_MERGED
# What a shared cause holds comes back when that is over: until then it goes on, however long that takes.
_cause = incidents.alias("cause")
_HELD = exists().where(_cause.c.id == incidents.c.merged_into, _cause.c.state != _RESOLVED)
_ENDED = or_(incidents.c.state == _RESOLVED, and_(incidents.c.state == _MERGED, ~_HELD))
# One transaction's worth; some tens of milliseconds.
ROWS_A_STEP = 5_000


def forget_step(connection: Connection, before_ns: int) -> int:
    """Delete up to some thousand rows that are older than `before_ns`; return how many, 0 when nothing is left."""
    deleted = _forget_events(connection, before_ns)
    deleted += _forget_gaps(connection, before_ns)
    deleted += _forget_commands(connection, before_ns)
    deleted += _forget_incidents(connection, before_ns)
    deleted += connection.execute(delete(changes).where(changes.c.until_ns < before_ns)).rowcount
    deleted += connection.execute(delete(tokens).where(tokens.c.not_after_ns < before_ns)).rowcount
    return deleted


def _forget_events(connection: Connection, before_ns: int) -> int:
    """Delete the oldest events; evidence of an incident that is still kept stays with it."""
    oldest = connection.execute(select(func.min(events.c.id))).scalar()
    if oldest is None:
        return 0
    end = first_event_id_since(connection, before_ns)
    span = (events.c.id >= oldest, events.c.id < end)
    unkept = ~select(incident_evidence.c.event_id).where(incident_evidence.c.event_id == events.c.id).exists()
    chosen = select(events.c.id).where(*span, unkept).order_by(events.c.id).limit(ROWS_A_STEP)
    return connection.execute(delete(events).where(events.c.id.in_(chosen))).rowcount


def _forget_gaps(connection: Connection, before_ns: int) -> int:
    chosen = select(gaps.c.id).where(gaps.c.received_ns < before_ns).order_by(gaps.c.id).limit(ROWS_A_STEP)
    return connection.execute(delete(gaps).where(gaps.c.id.in_(chosen))).rowcount


def _forget_commands(connection: Connection, before_ns: int) -> int:
    """Delete finished commands with their updates; an incident that goes on remembers what was tried for it."""
    ended = (commands.c.finished_ns > 0, commands.c.finished_ns < before_ns)
    going_on = select(incidents.c.id).where(~_ENDED)
    chosen = select(commands.c.id).where(*ended, commands.c.incident_id.not_in(going_on)).limit(ROWS_A_STEP)
    ids = list(connection.execute(chosen).scalars())
    if not ids:
        return 0
    connection.execute(delete(command_updates).where(command_updates.c.command_id.in_(ids)))
    return connection.execute(delete(commands).where(commands.c.id.in_(ids))).rowcount


def _forget_incidents(connection: Connection, before_ns: int) -> int:
    """Delete incidents that ended; their evidence goes with them, and its events in a later step."""
    chosen = select(incidents.c.id).where(_ENDED, incidents.c.updated_ns < before_ns).limit(ROWS_A_STEP)
    return connection.execute(delete(incidents).where(incidents.c.id.in_(chosen))).rowcount
