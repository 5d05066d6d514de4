"""The bridge between the store and the pure diagnosis.

It follows the committed records by id, in batches, hands them to the engine in a reader's thread, and writes the
changed incidents together with the id through which it has read. After a restart it goes on from there with the same
incidents.
"""

import asyncio
import logging
import time
from typing import Any

from sqlalchemy import Connection

from fsmend_collector.config import Config
from fsmend_collector.diagnose.ordering import OPEN, Ordering
from fsmend_collector.diagnose.reading import (
    Learnt,
    Origin,
    commands_since,
    inventory_of,
    learnt_after,
    origins,
    uncounted_events,
)
from fsmend_collector.diagnose.writing import DIAGNOSED_THROUGH, Conclusions, stored_incidents, write_conclusions
from fsmend_collector.diagnosis import Evidence, IncidentChange, UnitDiagnosis
from fsmend_collector.dispatch import Dispatch
from fsmend_collector.errors import StoreError
from fsmend_collector.feed import Feed
from fsmend_collector.fleet import Presence, known_agents
from fsmend_collector.store import queries
from fsmend_collector.store.engine import Store
from fsmend_proto.v1 import command_pb2, inventory_pb2, record_pb2

log = logging.getLogger(__name__)

TICK_SECONDS = 1.0
POLICY_SECONDS = 15.0
RETRY_SECONDS = 2.0
# The position alone is not worth a transaction a batch: what it repeats after a crash was no evidence.
POSITION_SECONDS = 10.0
YIELD_FACTOR = 4
MAX_EVENTS_REMEMBERED = 200_000
SECOND_NS = 1_000_000_000


class Diagnose:
    """Feed the engine, write what it concludes, and let the policy order repairs."""

    def __init__(self, store: Store, feed: Feed, dispatch: Dispatch, presence: Presence, config: Config) -> None:
        self._store = store
        self._feed = feed
        self._presence = presence
        self._config = config.diagnosis
        self._engine = UnitDiagnosis(config.diagnosis)
        self._ordering = Ordering(store, dispatch, config.policy)
        self._cursor = 0
        self._commands_ns = 0
        self._command_states: dict[str, int] = {}
        self._connected: set[str] = set()
        self._pending = Conclusions()
        self._written_seconds = 0.0
        self._ticked_seconds = 0.0
        self._policy_seconds = 0.0

    @property
    def diagnosed_through(self) -> int:
        """Return the id through which the engine has read."""
        return self._cursor

    async def restore(self) -> None:
        """Go on where the last process stopped: its incidents, and what the soft-error rates remember."""
        self._pending.add(await self._store.read(self._restore, time.time_ns()))

    def _restore(self, connection: Connection, now_ns: int) -> list[IncidentChange]:
        self._cursor = self._pending.through = queries.meta_number(connection, DIAGNOSED_THROUGH)
        self._engine.restore(stored_incidents(connection), now_ns)
        self._commands_ns = now_ns
        seconds = max([self._config.lateness_seconds, *(rule.long_seconds for rule in self._config.rules.values())])
        since_ns = now_ns - seconds * SECOND_NS
        rows = uncounted_events(connection, since_ns, self._cursor, MAX_EVENTS_REMEMBERED)
        changes = self._observe(connection, [Learnt(row.id, "event", row) for row in rows])
        for agent in known_agents(connection):
            changes += self._engine.observe_presence(
                agent.agent_id, agent.host_name, connected=False, since_ns=now_ns, now_ns=now_ns
            )
        return changes

    async def run(self) -> None:
        """Follow the store for ever."""
        topics = self._feed.follow("records", "commands", "presence", at_least_every_seconds=TICK_SECONDS)
        async for _ in topics:
            try:
                await self._step()
            except StoreError as error:
                log.warning("diagnosis waits: %s", error)
                await asyncio.sleep(RETRY_SECONDS)

    async def _step(self) -> None:
        """Take everything that is new."""
        while True:
            begun, newest = time.monotonic(), self._feed.last_record_id
            more = await self._store.read(self._take, time.time_ns())
            await self._write()
            if not more:
                break
            # Agents' spools must drain first: in a storm diagnosis takes a fifth of the interpreter, and catches up.
            busy = self._store.writer.state.queued > 0 or self._feed.last_record_id > newest
            await asyncio.sleep(YIELD_FACTOR * (time.monotonic() - begun) if busy else 0)
        if time.monotonic() - self._policy_seconds >= POLICY_SECONDS:
            self._policy_seconds = time.monotonic()
            await self._ordering.consider([one for one in self._engine.incidents() if one.state in OPEN])

    async def _write(self) -> None:
        """Write what changed; what could not be written stays pending."""
        changed = bool(self._pending.latest)
        moved = self._cursor > self._pending.through
        if not changed and not (moved and time.monotonic() - self._written_seconds >= POSITION_SECONDS):
            return
        self._pending.through = self._cursor
        for incident in self._pending.latest.values():
            self._ordering.advise(incident)
        await self._store.write(write_conclusions, self._pending)
        written, self._pending = self._pending, Conclusions(self._cursor)
        self._written_seconds = time.monotonic()
        if changed:
            self._feed.changed("incidents")
            await self._ordering.consider(written.latest.values())

    def _take(self, connection: Connection, now_ns: int) -> bool:
        """Give the engine the next batch; return whether there is more."""
        learnt, through = learnt_after(connection, self._cursor)
        changes = self._observe(connection, learnt)
        changes += self._note_commands(connection, now_ns)
        changes += self._note_presence(connection, now_ns)
        if time.monotonic() - self._ticked_seconds >= TICK_SECONDS:
            self._ticked_seconds = time.monotonic()
            changes += self._engine.tick(now_ns)
        self._pending.add(changes)
        self._cursor = through
        return through < queries.last_record_id(connection)

    def _observe(self, connection: Connection, learnt: list[Learnt]) -> list[IncidentChange]:
        known = origins(connection, (one.row.agent for one in learnt if one.kind != "inventory"))
        changes: list[IncidentChange] = []
        for one in learnt:
            if one.kind == "inventory":
                inventory = inventory_pb2.Inventory.FromString(one.row.inventory)
                changes += self._engine.observe_inventory(one.row.agent_id, inventory, one.row.seen_ns)
            elif (origin := known.get(one.row.agent)) is not None:
                changes += self._observe_record(connection, one, origin)
        return changes

    def _observe_record(self, connection: Connection, one: Learnt, origin: Origin) -> list[IncidentChange]:
        record = record_pb2.Record.FromString(one.row.record)
        received_ns = one.row.received_ns
        if one.kind == "gap":
            return self._engine.observe_gap(record.gap, origin.agent_id, received_ns, origin.host_name, str(one.id))
        if one.kind == "update":
            return self._observe_update(connection, record.command_update, origin, received_ns)
        offset_ns = origin.clock_offset_ns
        evidence = Evidence.of(str(one.id), origin.agent_id, origin.host_name, record.event, received_ns, offset_ns)
        changes: list[IncidentChange] = []
        if self._engine.wants_inventory(evidence):
            inventory = inventory_of(connection, origin.agent_id) or inventory_pb2.Inventory()
            changes += self._engine.observe_inventory(origin.agent_id, inventory, received_ns, wanted=True)
        return changes + self._engine.observe(evidence, received_ns)

    def _observe_update(
        self, connection: Connection, update: command_pb2.CommandUpdate, origin: Origin, received_ns: int
    ) -> list[IncidentChange]:
        row = queries.command(connection, update.command_id)
        if row is None or row.agent_id != origin.agent_id:
            return []
        target = command_pb2.Command.FromString(row.command).target
        time_ns = update.clocks.wall_ns + origin.clock_offset_ns if update.clocks.wall_ns else received_ns
        return self._engine.observe_update(origin.agent_id, row.id, target, update, time_ns, received_ns, row.action)

    def _note_commands(self, connection: Connection, now_ns: int) -> list[IncidentChange]:
        """Tell the engine of commands that the collector itself moved: queued, sent, expired, cancelled."""
        changes: list[IncidentChange] = []
        for row in commands_since(connection, self._commands_ns):
            self._commands_ns = row.updated_ns
            if row.last_update is None and self._command_states.get(row.id) != row.state:
                self._command_states[row.id] = row.state
                target = command_pb2.Command.FromString(row.command).target
                changes += self._engine.note_command(row.id, row.agent_id, target, row.state, now_ns, row.action)
            if row.finished_ns:
                self._command_states.pop(row.id, None)
        return changes

    def _note_presence(self, connection: Connection, now_ns: int) -> list[IncidentChange]:
        """Tell the engine who came and who went."""
        now_connected = set(self._presence.connected_ids())
        differs = now_connected ^ self._connected
        if not differs:
            return []
        names: dict[str, Any] = {row.agent_id: row.host_name for row in known_agents(connection)}
        changes: list[IncidentChange] = []
        for agent_id in sorted(differs & names.keys()):
            here = agent_id in now_connected
            name = names[agent_id]
            changes += self._engine.observe_presence(agent_id, name, connected=here, since_ns=now_ns, now_ns=now_ns)
        self._connected = now_connected
        return changes
