"""Forget what is older than its time, a little at once, so that ingest never waits long."""

from sqlalchemy import Connection, and_, delete, exists, func, or_, select

from fsmend_collector.background import FATAL_TRIES, NEVER_BEGAN, ORDERED_BY
from fsmend_collector.commands import CANCELLED, FINAL_STATES, RUNNING, UNKNOWN
from fsmend_collector.store.counters import set_number
from fsmend_collector.store.queries import first_event_id_since, meta_number
from fsmend_collector.store.schema import (
    agents,
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
_GOING_ON = select(incidents.c.id).where(~_ENDED)
# The calendar goes by its newest command of a filesystem, and by the newest that began; where that ended with its host,
# by as many as say that it does each time. Without them the whole fleet would be due again long before its time.
_newer = commands.alias("newer")
_same = (_newer.c.agent_id == commands.c.agent_id, _newer.c.filesystem_uuid == commands.c.filesystem_uuid)
_LATER_ONES = (_newer.c.ordered_by == ORDERED_BY, _newer.c.created_ns > commands.c.created_ns)
_LATER = exists().where(*_same, *_LATER_ONES)
_TOLD = _newer.c.state.in_([RUNNING, *sorted(FINAL_STATES - NEVER_BEGAN - {CANCELLED, UNKNOWN})])
_STOPPED = and_(_newer.c.state == CANCELLED, _newer.c.sent_ns > 0)
_lost = select(func.count()).where(*_same, *_LATER_ONES, _newer.c.state == UNKNOWN).scalar_subquery()
_LATER_BEGAN = or_(_LATER.where(or_(_TOLD, _STOPPED)), _lost >= FATAL_TRIES)
_REVOKED = exists().where(agents.c.agent_id == commands.c.agent_id, agents.c.revoked_ns > 0)
_RECALLED = and_(commands.c.state == CANCELLED, commands.c.sent_ns == 0)
_SUPERSEDED = or_(and_(or_(commands.c.state.in_(sorted(NEVER_BEGAN)), _RECALLED), _LATER), _LATER_BEGAN, _REVOKED)
# One transaction's worth; some tens of milliseconds.
ROWS_A_STEP = 5_000
# The step that forgets commands begins where the one before it came to; 0: at the oldest.
COMMANDS_FROM = "forget_commands_from_ns"


def forget_step(connection: Connection, before_ns: int) -> int:
    """Delete up to some thousand rows that are older than `before_ns`; return how many, 0 when nothing is left.

    Commands that are kept have to be passed by: a step that did only that counts as one row.
    """
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
    """Delete finished commands with their updates; an incident that goes on remembers what was tried for it.

    Most that are old are kept for the calendar, up to two a filesystem of the fleet. So that no step looks at all of
    them, each goes on where the last one stopped, until the end; the next one begins again with the oldest.
    """
    from_ns = meta_number(connection, COMMANDS_FROM)
    old = and_(commands.c.updated_ns >= from_ns, commands.c.updated_ns < before_ns)
    further = select(commands.c.updated_ns).where(old).order_by(commands.c.updated_ns).offset(ROWS_A_STEP).limit(1)
    end_ns = connection.execute(further).scalar()
    # Of one moment there may be more than a step's: then as many are deleted as one may, and the rest later.
    here = old if end_ns is None else and_(old, commands.c.updated_ns < max(end_ns, from_ns + 1))
    ended = (here, commands.c.finished_ns > 0, commands.c.finished_ns < before_ns)
    unneeded = (commands.c.incident_id.not_in(_GOING_ON), or_(commands.c.ordered_by != ORDERED_BY, _SUPERSEDED))
    ids = list(connection.execute(select(commands.c.id).where(*ended, *unneeded).limit(ROWS_A_STEP)).scalars())
    if ids:
        connection.execute(delete(command_updates).where(command_updates.c.command_id.in_(ids)))
        connection.execute(delete(commands).where(commands.c.id.in_(ids)))
    if len(ids) < ROWS_A_STEP:
        set_number(connection, COMMANDS_FROM, 0 if end_ns is None else max(end_ns, from_ns + 1))
    return len(ids) or int(end_ns is not None)


def _forget_incidents(connection: Connection, before_ns: int) -> int:
    """Delete incidents that ended; their evidence goes with them, and its events in a later step."""
    chosen = select(incidents.c.id).where(_ENDED, incidents.c.updated_ns < before_ns).limit(ROWS_A_STEP)
    return connection.execute(delete(incidents).where(incidents.c.id.in_(chosen))).rowcount
