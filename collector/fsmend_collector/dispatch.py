"""Commands: the queue in rows, their lease to an agent's session, and their end.

The row is the truth. A command is sent again through every new session until the agent has accepted it; the agent never
runs one id twice. One that expired or was cancelled meanwhile is not: a cancel goes in its place, which can begin
nothing, and the agent answers what became of it. Final states come from the agent, except for what was never sent, and
for what nothing is heard of for a day: that is unknown until its agent is back and says more.
"""

import asyncio
import contextlib
import time
import uuid
from collections.abc import Iterator
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, insert, or_, select, update

from fsmend_collector.audit import audit
from fsmend_collector.brakes import is_braked
from fsmend_collector.commands import (
    ACCEPTED,
    BY_POLICY,
    CANCELLED,
    EXPIRED,
    FINAL_STATES,
    NEWS_NS,
    OPEN_STATES,
    ORDERED_BY_ITSELF,
    QUEUED,
    RUNNING,
    SENT,
    TIME_TO_LIVE_SECONDS,
    UNKNOWN,
    check_command,
)
from fsmend_collector.errors import CommandRefused
from fsmend_collector.feed import Feed
from fsmend_collector.store import queries
from fsmend_collector.store.engine import Store
from fsmend_collector.store.schema import agents, commands
from fsmend_proto.v1 import command_pb2, link_pb2

SECOND_NS = 1_000_000_000


class Dispatch:
    """Queue commands, and hand them to the sessions."""

    def __init__(self, store: Store, feed: Feed) -> None:
        self._store = store
        self._feed = feed
        self._sessions: dict[str, asyncio.Event] = {}

    async def create(self, command: command_pb2.Command, agent_id: str, ordered_by: str) -> str:
        """Queue a command for one agent and return its id.

        Raises:
            CommandRefused: it is malformed, expired, or the agent does not exist.
        """
        complete = prepare(command, ordered_by, time.time_ns())
        await self._store.write(queue_command, complete, agent_id, time.time_ns())
        self.wake(agent_id)
        return complete.id

    async def cancel(self, command_id: str, reason: str, by: str) -> None:
        """Cancel a command: at once when it was never sent, else by asking the agent.

        Raises:
            CommandRefused: there is no such command, or it has ended.
        """
        agent_id = await self._store.write(cancel_command, command_id, reason, by, time.time_ns())
        self.wake(agent_id)

    async def lease(self, agent_id: str, session_id: str) -> list[link_pb2.ConnectResponse]:
        """Return what has to be sent through this session now; the rows say that it was."""
        messages = await self._store.write(lease_commands, agent_id, session_id, time.time_ns())
        if messages:
            self._feed.changed("commands")
        return messages

    async def expire(self) -> None:
        """End what was never sent in time, and give up what nothing is heard of."""
        if await self._store.write(expire_commands, time.time_ns()):
            self._feed.changed("commands")

    def wake(self, agent_id: str) -> None:
        """Make the agent's session look for commands, and followers read them."""
        self._feed.changed("commands")
        if (event := self._sessions.get(agent_id)) is not None:
            event.set()

    @contextlib.contextmanager
    def listening(self, agent_id: str) -> Iterator[asyncio.Event]:
        """Give the agent's session the event that says: look for commands."""
        event = self._sessions[agent_id] = asyncio.Event()
        event.set()
        try:
            yield event
        finally:
            if self._sessions.get(agent_id) is event:
                del self._sessions[agent_id]


def prepare(command: command_pb2.Command, ordered_by: str, now_ns: int) -> command_pb2.Command:
    """Return a complete command: with an id, an expiry, and who ordered it.

    Raises:
        CommandRefused: it is malformed or expired.
    """
    complete = command_pb2.Command()
    complete.CopyFrom(command)
    complete.id = complete.id or str(uuid.uuid4())
    complete.ordered_by = ordered_by
    complete.time_to_live_seconds = complete.time_to_live_seconds or TIME_TO_LIVE_SECONDS
    complete.not_after_wall_ns = complete.not_after_wall_ns or now_ns + complete.time_to_live_seconds * SECOND_NS
    check_command(complete, now_ns)
    return complete


def queue_command(connection: Connection, command: command_pb2.Command, agent_id: str, now_ns: int) -> None:
    """Add a complete command to the queue.

    Raises:
        CommandRefused: the agent is unknown or revoked, or the id is taken.
    """
    agent = connection.execute(select(agents.c.revoked_ns).where(agents.c.agent_id == agent_id)).first()
    if agent is None or agent.revoked_ns:
        raise CommandRefused(f"agent {agent_id} is {'revoked' if agent else 'unknown'}")
    if connection.execute(select(commands.c.id).where(commands.c.id == command.id)).first() is not None:
        raise CommandRefused(f"there is a command {command.id} already")
    own = (commands.c.agent_id == agent_id, commands.c.filesystem_uuid == command.target.filesystem_uuid)
    newest_ns = connection.execute(select(func.max(commands.c.created_ns)).where(*own)).scalar() or 0
    row = {
        "id": command.id,
        "agent_id": agent_id,
        "incident_id": command.incident_id,
        "action": command.WhichOneof("action"),
        "action_class": command.action_class,
        "state": QUEUED,
        "filesystem_uuid": command.target.filesystem_uuid,
        "device_id": command.target.device_id,
        "ordered_by": command.ordered_by,
        "created_ns": max(now_ns, newest_ns + 1),  # in the order of creation, also where the clock was set back
        "updated_ns": now_ns,
        "not_after_ns": command.not_after_wall_ns,
        "command": command.SerializeToString(),
    }
    connection.execute(insert(commands).values(**row))
    audit(connection, now_ns, command.ordered_by, "command.created", "command", command.id, command.reason)


def cancel_command(connection: Connection, command_id: str, reason: str, by: str, now_ns: int) -> str:
    """Note that a command shall not go on; return its agent.

    Once: when somebody else asks too, that stands in the audit, and a person's word takes the place of an automatic
    one. The agent was asked, and is in each later session; with a newer time the row would look as if something were
    heard of the command.

    Raises:
        CommandRefused: there is no such command, or it has ended.
    """
    row = connection.execute(select(commands).where(commands.c.id == command_id)).first()
    if row is None:
        raise CommandRefused(f"there is no command {command_id}")
    if row.state in FINAL_STATES:
        state = command_pb2.CommandState.Name(row.state).removeprefix("COMMAND_STATE_").lower()
        raise CommandRefused(f"command {command_id} has ended: {state}")
    if row.cancel_ns:
        if by != row.cancel_by:
            audit(connection, now_ns, by, "command.cancelled", "command", command_id, reason)
        if row.cancel_by in ORDERED_BY_ITSELF and by not in ORDERED_BY_ITSELF:
            said = update(commands).where(commands.c.id == command_id)
            connection.execute(said.values(cancel_by=by, cancel_reason=reason))
        return str(row.agent_id)
    values = {"cancel_ns": now_ns, "cancel_reason": reason, "cancel_by": by, "updated_ns": now_ns}
    if row.state == QUEUED:
        values |= {"state": CANCELLED, "finished_ns": now_ns}
    connection.execute(update(commands).where(commands.c.id == command_id).values(**values))
    audit(connection, now_ns, by, "command.cancelled", "command", command_id, reason)
    return str(row.agent_id)


def lease_commands(
    connection: Connection, agent_id: str, session_id: str, now_ns: int
) -> list[link_pb2.ConnectResponse]:
    """Mark what this session has to send as sent, and return it, oldest first; nothing when a newer one fenced it."""
    fence = connection.execute(select(agents.c.session_id).where(agents.c.agent_id == agent_id)).scalar()
    if fence != session_id:
        return []
    unsent = commands.c.state.in_([QUEUED, SENT]) & (commands.c.leased_session != session_id)
    uncancelled = (commands.c.cancel_ns > 0) & (commands.c.cancel_session != session_id)
    chosen = select(commands).where(
        commands.c.agent_id == agent_id, commands.c.state.in_(OPEN_STATES), or_(unsent, uncancelled)
    )
    messages: list[link_pb2.ConnectResponse] = []
    stopped = queries.repairs_are_stopped(connection)
    for row in connection.execute(chosen.order_by(commands.c.created_ns, commands.c.id)).all():
        if row.state == QUEUED and row.not_after_ns <= now_ns:
            _end(connection, row.id, EXPIRED, now_ns, "never sent in time")
            continue
        if stopped and _gives_way(row):
            cancel_command(connection, row.id, "automatic repairs are stopped", BY_POLICY, now_ns)
            row = connection.execute(select(commands).where(commands.c.id == row.id)).one()  # noqa: PLW2901
        if row.state in FINAL_STATES:
            continue
        messages.extend(_lease(connection, row, session_id, now_ns))
    return messages


def _gives_way(row: Any) -> bool:
    """Say whether a command is an automatic one that its agent may not have begun, and that nobody cancelled."""
    automatic = row.ordered_by in ORDERED_BY_ITSELF and is_braked(row.action_class)
    return automatic and row.state in {QUEUED, SENT} and not row.cancel_ns


def _lease(connection: Connection, row: Any, session_id: str, now_ns: int) -> Iterator[link_pb2.ConnectResponse]:
    values: dict[str, Any] = {"leased_session": session_id}
    unaccepted = row.state in {QUEUED, SENT} and row.leased_session != session_id
    expired = unaccepted and row.not_after_ns <= now_ns
    if unaccepted and not expired and not row.cancel_ns:
        values |= {"state": SENT, "sent_ns": now_ns, "updated_ns": now_ns}
        again = "command.sent_again" if row.state == SENT else "command.sent"
        audit(connection, now_ns, "collector", again, "command", row.id, f"to agent {row.agent_id}")
        yield link_pb2.ConnectResponse(command=command_pb2.Command.FromString(row.command))
    elif row.cancel_ns or expired:
        values["cancel_session"] = session_id
        reason, by = row.cancel_reason or "it expired before it was reported on", row.cancel_by or "collector"
        cancel = command_pb2.CancelCommand(command_id=row.id, reason=reason, ordered_by=by)
        yield link_pb2.ConnectResponse(cancel=cancel)
    connection.execute(update(commands).where(commands.c.id == row.id).values(**values))


def expire_commands(connection: Connection, now_ns: int) -> int:
    """End what was never sent in time, and give up what was sent and of which nothing is heard; return how many."""
    late = [(one, EXPIRED, "never sent in time") for one in _ids(connection, QUEUED, commands.c.not_after_ns <= now_ns)]
    silent_ns = now_ns - NEWS_NS
    unheard = [
        *_ids(connection, SENT, commands.c.not_after_ns <= silent_ns),
        *_ids(connection, ACCEPTED, commands.c.updated_ns <= silent_ns),
        *_ids(connection, RUNNING, commands.c.updated_ns <= silent_ns),
    ]
    late += [
        (one, UNKNOWN, "its agent has told nothing of it for a day; what it tells yet will count") for one in unheard
    ]
    for command_id, state, why in late:
        _end(connection, command_id, state, now_ns, why)
    return len(late)


def _ids(connection: Connection, state: int, condition: ColumnElement[bool]) -> list[str]:
    return list(connection.execute(select(commands.c.id).where(commands.c.state == state, condition)).scalars())


def _end(connection: Connection, command_id: str, state: int, now_ns: int, why: str) -> None:
    values = {"state": state, "updated_ns": now_ns, "finished_ns": now_ns}
    connection.execute(update(commands).where(commands.c.id == command_id).values(**values))
    what = "command.expired" if state == EXPIRED else "command.given_up"
    audit(connection, now_ns, "collector", what, "command", command_id, why)
