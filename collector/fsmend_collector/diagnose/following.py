"""Following: the engine fed from the store, in a reader's thread. What it concludes waits to be written."""

import logging
import time
from collections.abc import Callable, Iterable
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from fsmend_collector.ask.words import words_after
from fsmend_collector.background import ORDERED_BY as CALENDAR
from fsmend_collector.background import is_rest
from fsmend_collector.diagnose.census import Census, counted_of
from fsmend_collector.diagnose.changing import CAMPAIGN, ROLLOUT, Declared, stored_changes
from fsmend_collector.diagnose.isolating import Isolation
from fsmend_collector.diagnose.obeying import obey
from fsmend_collector.diagnose.reading import (
    Learnt,
    Origin,
    commands_since,
    host_names,
    inventory_of,
    learnt_after,
    light_views,
    origins,
    revoked_hosts,
    revoked_with_incidents,
)
from fsmend_collector.diagnose.writing import Conclusions
from fsmend_collector.diagnosis import DiagnosisConfig, Evidence, FleetDiagnosis, IncidentChange
from fsmend_collector.diagnosis.groups import Change, ScanSettings
from fsmend_collector.diagnosis.groups.dimensions import FLEET_VALUE
from fsmend_collector.diagnosis.groups.learnt import rates_to_text
from fsmend_collector.diagnosis.groups.marks import Journal
from fsmend_collector.diagnosis.groups.rollouts import Rollouts
from fsmend_collector.diagnosis.groups.settings import DAY_NS
from fsmend_collector.diagnosis.holds import PART_OF, REST_OF
from fsmend_collector.diagnosis.looked import is_part
from fsmend_collector.store import queries
from fsmend_proto.v1 import command_pb2, inventory_pb2, record_pb2

log = logging.getLogger(__name__)

TICK_SECONDS = 1.0
LOOK_SECONDS = 5.0


class Following:
    """Feed the engine with what is committed, in the order in which the collector learnt it.

    Attributes:
        cursor: id through which the engine has read.
        pending: what is concluded and not yet written.
    """

    def __init__(self, config: DiagnosisConfig, settings: ScanSettings) -> None:
        self.config = config
        self.census = Census()
        self.engine = FleetDiagnosis(config, self.census.population, settings)
        self.engine.scan.journal = Journal()
        self.cursor = 0
        self.pending = Conclusions(counted=self.census.unwritten, journal=self.engine.scan.journal)
        self.isolation = Isolation()
        self.commands_ns = 0
        self._command_states: dict[str, int] = {}
        self._connected: frozenset[str] = frozenset()
        self._ticked_seconds = self._looked_seconds = 0.0
        self._moved = 0
        self._learnt_through = 0
        self._rollouts = Rollouts()

    def take(self, connection: Connection, connected: frozenset[str], now_ns: int) -> bool:
        """Give the engine the next batch; return whether there is more."""
        learnt, through = learnt_after(connection, self.cursor)
        # Each at once: what the engine has told must not be lost when the store fails in what follows.
        self.pending.add(self.observe(connection, learnt))
        self._do("commands", now_ns, lambda: self._note_commands(connection, now_ns))
        self._do("words", now_ns, lambda: self._hear(connection))
        self._do("presence", now_ns, lambda: self._note_presence(connection, connected, now_ns))
        if time.monotonic() - self._ticked_seconds >= TICK_SECONDS:
            self._ticked_seconds = time.monotonic()
            self._do("tick", now_ns, lambda: self.tick(connection, now_ns))
        if time.monotonic() - self._looked_seconds >= LOOK_SECONDS:
            self._looked_seconds = time.monotonic()
            self._do("revoked agents", now_ns, lambda: self._retire(connection, now_ns))
            self.take_changes(connection, now_ns)
        self.pending.isolated, self.isolation.unwritten = self.pending.isolated + self.isolation.unwritten, []
        self.pending.put_together()
        self.pending.through = self.cursor = through
        return through < queries.last_record_id(connection)

    def _do(self, what: str, now_ns: int, work: Callable[[], list[IncidentChange]]) -> None:
        """Do one piece of work; when it breaks, go on without it: one bad record must not end all diagnosis."""
        try:
            self.pending.add(work())
        except DBAPIError:
            raise  # the store's trouble is nobody's record: it is tried again
        except Exception as error:  # supervisor: it is isolated and shown  # noqa: BLE001
            self.isolation.note(what, error, now_ns)

    def _hear(self, connection: Connection) -> list[IncidentChange]:
        """Obey what operators said of incidents."""
        changes: list[IncidentChange] = []
        for word in words_after(connection, self.pending.words_through):
            self.pending.words_through = word.id
            changes += obey(self.engine, word)
        return changes

    def _retire(self, connection: Connection, now_ns: int) -> list[IncidentChange]:
        """Take revoked agents out of the population, and close their incidents."""
        for agent_id in revoked_hosts(connection):
            self.census.take(connection, agent_id, None)
        changes: list[IncidentChange] = []
        for agent_id in revoked_with_incidents(connection):
            changes += self.engine.retire_agent(agent_id, now_ns)
        return changes

    def take_changes(self, connection: Connection, now_ns: int) -> None:
        """Take the changes of the horizon, those that are not written yet in place of their rows."""
        scan = self.engine.scan
        stored = stored_changes(connection, now_ns - scan.settings.horizon_ns)
        known = {one.id: one for one in stored} | self.pending.declared
        scan.changes[:] = [one.change for one in known.values()]

    def _declare(self, kind: str, change_id: str, change: Change) -> None:
        self.pending.declared[change_id] = Declared(change_id, kind, change)

    def tick(self, connection: Connection, now_ns: int) -> list[IncidentChange]:
        """Do what time decides."""
        if self.census.moved != self._moved:
            self._moved = self.census.moved
            self.engine.scan.counting.forget_thresholds()
        for view in light_views(connection, self.engine.wants_silent_views(now_ns)):
            self.engine.learn_view(view)
        changes = self.engine.tick(now_ns)
        self._note_learnt(now_ns)
        return changes

    def _note_learnt(self, now_ns: int) -> None:
        """Once a day, when the scan has learnt: keep that, and forget what it forgot."""
        scan = self.engine.scan
        if scan.rates.learnt_through == self._learnt_through:
            return
        self._learnt_through = scan.rates.learnt_through
        self.pending.rates = rates_to_text(scan.rates)
        held = frozenset(mark.agent_id for verdict in scan.verdicts.values() for mark in verdict.marks)
        self.pending.forget = (now_ns - scan.settings.horizon_ns, held)

    def written(self) -> None:
        """Take note that `pending` is in the store."""
        self.pending = Conclusions(self.cursor, words_through=self.pending.words_through)
        self.pending.counted = self.census.unwritten = {}
        self.pending.journal = self.engine.scan.journal = Journal()

    def observe(self, connection: Connection, learnt: Iterable[Learnt]) -> list[IncidentChange]:
        """Give the engine these records."""
        known = origins(connection, (one.row.agent for one in learnt if one.kind != "inventory"))
        changes: list[IncidentChange] = []
        for one in learnt:
            origin = known.get(one.row.agent) if one.kind != "inventory" else None
            try:
                changes += self._observe_one(connection, one, origin)
            except DBAPIError:
                self.pending.add(changes)  # the engine takes an event once: told again, it says nothing
                raise
            except Exception as error:  # supervisor: it is isolated and shown  # noqa: BLE001
                self.isolation.note(f"{one.kind} {one.id}", error, time.time_ns())
        return changes

    def _observe_one(self, connection: Connection, one: Learnt, origin: Origin | None) -> list[IncidentChange]:
        if one.kind == "inventory":
            return self._observe_inventory(connection, one)
        return self._observe_record(connection, one, origin) if origin is not None else []

    def _observe_inventory(self, connection: Connection, one: Learnt) -> list[IncidentChange]:
        inventory = inventory_pb2.Inventory.FromString(one.row.inventory)
        counted = counted_of(one.row.agent_id, inventory)
        old = self.census.take(connection, one.row.agent_id, counted)
        if old is not None:
            kernel = self._rollouts.note("kernel", old.kernel, counted.kernel, one.row.seen_ns)
            agent = self._rollouts.note("agent", old.agent_version, counted.agent_version, one.row.seen_ns)
            for change_id, change in filter(None, (kernel, agent)):
                self._declare(ROLLOUT, change_id, change)
        return self.engine.observe_inventory(one.row.agent_id, inventory, one.row.seen_ns)

    def _observe_record(self, connection: Connection, one: Learnt, origin: Origin) -> list[IncidentChange]:
        record = record_pb2.Record.FromString(one.row.record)
        received_ns = one.row.received_ns
        if one.kind == "gap":
            return self.engine.observe_gap(record.gap, origin.agent_id, received_ns, origin.host_name, str(one.id))
        if one.kind == "update":
            return self._observe_update(connection, record.command_update, origin, received_ns)
        offset_ns = origin.clock_offset_ns
        evidence = Evidence.of(str(one.id), origin.agent_id, origin.host_name, record.event, received_ns, offset_ns)
        changes: list[IncidentChange] = []
        if self.engine.wants_inventory(evidence):
            inventory = inventory_of(connection, origin.agent_id) or inventory_pb2.Inventory()
            changes += self.engine.observe_inventory(origin.agent_id, inventory, received_ns, wanted=True)
        return changes + self.engine.observe(evidence, received_ns)

    def _observe_update(
        self, connection: Connection, update: command_pb2.CommandUpdate, origin: Origin, received_ns: int
    ) -> list[IncidentChange]:
        row = queries.command(connection, update.command_id)
        if row is None or row.agent_id != origin.agent_id:
            return []
        command = command_pb2.Command.FromString(row.command)
        before = REST_OF if is_rest(command) else PART_OF if is_part(command) else ""
        time_ns = update.clocks.wall_ns + origin.clock_offset_ns if update.clocks.wall_ns else received_ns
        action = f"{before}{row.action}"
        return self.engine.observe_update(origin.agent_id, row.id, command.target, update, time_ns, received_ns, action)

    def _note_commands(self, connection: Connection, now_ns: int) -> list[IncidentChange]:
        """Tell the engine of commands that the collector itself moved: queued, sent, expired, cancelled."""
        changes: list[IncidentChange] = []
        for row in commands_since(connection, self.commands_ns):
            self.commands_ns = row.updated_ns
            if row.ordered_by == CALENDAR and row.state == command_pb2.COMMAND_STATE_QUEUED:
                self._note_campaign(row.created_ns)
            if row.last_update is None and self._command_states.get(row.id) != row.state:
                self._command_states[row.id] = row.state
                target = command_pb2.Command.FromString(row.command).target
                changes += self.engine.note_command(row.id, row.agent_id, target, row.state, now_ns, row.action)
            if row.finished_ns:
                self._command_states.pop(row.id, None)
        return changes

    def _note_campaign(self, now_ns: int) -> None:
        """Take the checks that the calendar orders on one day as one campaign."""
        day = now_ns // DAY_NS
        change = Change("background checks of the calendar", ("fleet", FLEET_VALUE), day * DAY_NS, (day + 2) * DAY_NS)
        self._declare(CAMPAIGN, f"campaign:calendar:{day}", change)

    def _note_presence(self, connection: Connection, connected: frozenset[str], now_ns: int) -> list[IncidentChange]:
        """Tell the engine who came and who went."""
        differs = sorted(connected ^ self._connected)
        if not differs:
            return []
        names: dict[str, Any] = host_names(connection, differs)
        changes: list[IncidentChange] = []
        for agent_id in differs:
            if agent_id in names:
                here = agent_id in connected
                changes += self.engine.observe_presence(
                    agent_id, names[agent_id], connected=here, since_ns=now_ns, now_ns=now_ns
                )
        self._connected = connected
        return changes
