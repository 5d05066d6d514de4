"""Presence of the fleet: who is connected, who fell silent, and since when.

Presence is kept in memory and written at intervals: a fleet's heartbeats are not worth a transaction each.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, select, update

from fsmend_collector.audit import audit
from fsmend_collector.errors import NoSuchObject
from fsmend_collector.store.schema import agents


@dataclass(slots=True)
class Live:
    """One connected agent."""

    session_id: str
    connected_ns: int
    last_seen_ns: int


class Presence:
    """Who is connected to this collector now."""

    def __init__(self) -> None:
        self._live: dict[str, Live] = {}
        self._unwritten: dict[str, int] = {}

    def __len__(self) -> int:
        """Return how many agents are connected."""
        return len(self._live)

    def opened(self, agent_id: str, session_id: str, now_ns: int) -> None:
        """Note a new session; it takes the place of an older one."""
        self._live[agent_id] = Live(session_id, now_ns, now_ns)

    def seen(self, agent_id: str, session_id: str, now_ns: int) -> None:
        """Note that the agent sent something."""
        live = self._live.get(agent_id)
        if live is not None and live.session_id == session_id:
            live.last_seen_ns = now_ns
            self._unwritten[agent_id] = now_ns

    def closed(self, agent_id: str, session_id: str) -> bool:
        """Note the end of a session; false when a newer one has taken its place."""
        live = self._live.get(agent_id)
        if live is None or live.session_id != session_id:
            return False
        del self._live[agent_id]
        return True

    def connected(self, agent_id: str) -> bool:
        """Say whether the agent has a session."""
        return agent_id in self._live

    def last_seen_ns(self, agent_id: str) -> int:
        """Return when a connected agent last sent something, 0 when it is not connected."""
        live = self._live.get(agent_id)
        return live.last_seen_ns if live is not None else 0

    def connected_ids(self) -> Iterator[str]:
        """Yield the ids of connected agents."""
        yield from tuple(self._live)

    def take_unwritten(self) -> dict[str, int]:
        """Return what was seen since the last call: agent id to collector time."""
        taken, self._unwritten = self._unwritten, {}
        return taken


def write_seen(connection: Connection, seen: dict[str, int]) -> None:
    """Write when agents were last seen."""
    if seen:
        chosen = update(agents).where(agents.c.agent_id == bindparam("one")).values(last_seen_ns=bindparam("at"))
        connection.execute(chosen, [{"one": agent_id, "at": at} for agent_id, at in seen.items()])


def write_disconnected(connection: Connection, agent_id: str, session_id: str, now_ns: int) -> None:
    """Write the end of a session unless a newer one began."""
    mine = (agents.c.agent_id == agent_id, agents.c.session_id == session_id)
    connection.execute(update(agents).where(*mine).values(disconnected_ns=now_ns, last_seen_ns=now_ns))


@dataclass(frozen=True, slots=True)
class Standing:
    """Whether agents may be connected."""

    revoked: frozenset[str]
    quarantined: frozenset[str]


def standing(connection: Connection) -> Standing:
    """Return the agents that may not be connected."""
    columns = (agents.c.agent_id, agents.c.revoked_ns, agents.c.quarantined)
    rows = connection.execute(select(*columns).where((agents.c.revoked_ns > 0) | agents.c.quarantined)).all()
    revoked = frozenset(row.agent_id for row in rows if row.revoked_ns)
    return Standing(revoked, frozenset(row.agent_id for row in rows) - revoked)


def quarantine(connection: Connection, agent_id: str, reason: str, now_ns: int) -> None:
    """Shut an agent out until an operator releases it."""
    chosen = update(agents).where(agents.c.agent_id == agent_id, ~agents.c.quarantined)
    if connection.execute(chosen.values(quarantined=True, quarantine_reason=reason)).rowcount:
        audit(connection, now_ns, "collector", "agent.quarantined", "agent", agent_id, reason)


def release(connection: Connection, agent_id: str, by: str, now_ns: int) -> bool:
    """Let a quarantined agent in again; false when it was not quarantined.

    Raises:
        NoSuchObject: there is no such agent.
    """
    _must_be(connection, agent_id)
    chosen = update(agents).where(agents.c.agent_id == agent_id, agents.c.quarantined)
    done = connection.execute(chosen.values(quarantined=False, quarantine_reason="")).rowcount > 0
    if done:
        audit(connection, now_ns, by, "agent.released", "agent", agent_id)
    return done


def revoke(connection: Connection, agent_id: str, by: str, now_ns: int) -> bool:
    """Refuse every certificate of an agent from now on; false when it is revoked already.

    Raises:
        NoSuchObject: there is no such agent.
    """
    _must_be(connection, agent_id)
    chosen = update(agents).where(agents.c.agent_id == agent_id, agents.c.revoked_ns == 0)
    done = connection.execute(chosen.values(revoked_ns=now_ns)).rowcount > 0
    if done:
        audit(connection, now_ns, by, "agent.revoked", "agent", agent_id)
    return done


def _must_be(connection: Connection, agent_id: str) -> None:
    if connection.execute(select(agents.c.number).where(agents.c.agent_id == agent_id)).first() is None:
        raise NoSuchObject(f"there is no agent {agent_id!r}\n`fsmend get agents` lists them by their ids")


def known_agents(connection: Connection) -> list[Any]:
    """Return id, host name, last seen and connection times of every agent that is not revoked."""
    columns = (agents.c.agent_id, agents.c.host_name, agents.c.last_seen_ns, agents.c.connected_ns)
    return list(connection.execute(select(*columns).where(agents.c.revoked_ns == 0)))
