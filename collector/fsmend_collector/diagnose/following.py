"""Following: the engine fed from the store, in a reader's thread. What it concludes waits to be written."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from fsmend_collector.ask.words import words_after
from fsmend_collector.background import ORDERED_BY as CALENDAR
from fsmend_collector.background import is_rest
from fsmend_collector.commands import is_given_up
from fsmend_collector.diagnose.census import Census, counted_of
from fsmend_collector.diagnose.changing import CAMPAIGN, ROLLOUT, Declared, stored_changes
from fsmend_collector.diagnose.isolating import Isolation
from fsmend_collector.diagnose.moved import MovedCommands
from fsmend_collector.diagnose.obeying import obey
from fsmend_collector.diagnose.reading import (
    Learnt,
    Origin,
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
LONGEST_TICK_PAUSE_SECONDS = 10.0
LOOK_SECONDS = 5.0
# After a fault all incidents are told again: of tens of thousands that takes seconds, and faults come in rows.
TELL_AGAIN_SECONDS = 300.0


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
        self.moved = MovedCommands()
        self._connected: set[str] = set()
        self._ticked_seconds = self._looked_seconds = self._tick_took = self._read_for = 0.0
        self._missed = False
        self._told_again_seconds = -TELL_AGAIN_SECONDS
        self._moved = 0
        self._learnt_through = 0
        self._rollouts = Rollouts()

    def take(self, connection: Connection, connected: frozenset[str], now_ns: int) -> bool:
        """Give the engine the next batch; return whether there is more."""
        began = time.monotonic()
        learnt, through = learnt_after(connection, self.cursor)
        # Each at once: what the engine has told must not be lost when the store fails in what follows.
        self.pending.add(self.observe(connection, learnt))
        self._read_for += time.monotonic() - began
        self._do("commands", now_ns, lambda: self._note_commands(connection, now_ns))
        self._do("words", now_ns, lambda: self._hear(connection))
        self._do("presence", now_ns, lambda: self._note_presence(connection, connected, now_ns))
        if self._tick_is_due(connection, through):
            self._ticked_seconds, self._read_for = time.monotonic(), 0.0
            self._do("tick", now_ns, lambda: self.tick(connection, now_ns))
            self._tick_took = time.monotonic() - self._ticked_seconds
        if time.monotonic() - self._looked_seconds >= LOOK_SECONDS:
            self._looked_seconds = time.monotonic()
            self._retire(connection, now_ns)
            self._do("changes", now_ns, lambda: self.take_changes(connection, now_ns))
        if self._missed and time.monotonic() - self._told_again_seconds >= TELL_AGAIN_SECONDS:
            self._missed, self._told_again_seconds = False, time.monotonic()
            self._do("telling again", now_ns, lambda: [self.engine.told_again(now_ns)])
        self.put_together(now_ns)
        self.pending.isolated, self.isolation.unwritten = self.pending.isolated + self.isolation.unwritten, []
        self.pending.through = self.cursor = through
        return through < queries.last_record_id(connection)

    def _tick_is_due(self, connection: Connection, through: int) -> bool:
        """Say whether to tick: each second; when ticks take long and more is to be read, after reading for as long."""
        since = time.monotonic() - self._ticked_seconds
        if since < TICK_SECONDS:
            return False
        waited = self._read_for >= self._tick_took or since - self._tick_took >= LONGEST_TICK_PAUSE_SECONDS
        return waited or through >= queries.last_record_id(connection)

    def _do(self, what: str, now_ns: int, work: Callable[[], Iterable[list[IncidentChange]]]) -> None:
        """Do one piece of work; when it breaks, go on without the rest: one bad record must not end all diagnosis.

        What it yielded before is kept. What the engine may have concluded inside of the step that broke is in the
        engine, which takes it for told: so soon everything is told again.
        """
        try:
            for changes in work():
                self.pending.add(changes)
        except DBAPIError:
            raise  # the store's trouble is nobody's record: it is tried again
        except Exception as error:  # supervisor: it is isolated and shown  # noqa: BLE001
            self._put_aside(what, error, now_ns)

    def put_together(self, now_ns: int) -> None:
        """Make the incidents that were told; what cannot be made now is told again."""
        self._missed = not self.pending.put_together(self.isolation, now_ns) or self._missed

    def _put_aside(self, what: str, error: Exception, now_ns: int) -> None:
        self.isolation.note(what, error, now_ns)
        self._missed = True

    def _hear(self, connection: Connection) -> Iterator[list[IncidentChange]]:
        """Obey what operators said of incidents."""
        for word in words_after(connection, self.pending.words_through):
            self.pending.words_through = word.id
            yield obey(self.engine, word)

    def _retire(self, connection: Connection, now_ns: int) -> None:
        """Take revoked agents out of the population, and close their incidents, each apart from the others."""
        leaving = revoked_hosts(connection)
        for agent_id in leaving:
            self._do(f"revoked agent {agent_id}", now_ns, partial(self._count_out, connection, agent_id))
        for agent_id in dict.fromkeys([*leaving, *revoked_with_incidents(connection)]):
            self._do(f"revoked agent {agent_id}", now_ns, partial(self._retire_one, agent_id, now_ns))

    def _count_out(self, connection: Connection, agent_id: str) -> list[list[IncidentChange]]:
        self.census.take(connection, agent_id, None)
        return []

    def _retire_one(self, agent_id: str, now_ns: int) -> list[list[IncidentChange]]:
        return [self.engine.retire_agent(agent_id, now_ns)]

    def take_changes(self, connection: Connection, now_ns: int) -> list[list[IncidentChange]]:
        """Take the changes of the horizon, those that are not written yet in place of their rows; nothing to tell."""
        scan = self.engine.scan
        stored = stored_changes(connection, now_ns - scan.settings.horizon_ns)
        known = {one.id: one for one in stored} | self.pending.declared
        scan.changes[:] = [one.change for one in known.values()]
        return []

    def _declare(self, kind: str, change_id: str, change: Change) -> None:
        self.pending.declared[change_id] = Declared(change_id, kind, change)

    def tick(self, connection: Connection, now_ns: int) -> Iterator[list[IncidentChange]]:
        """Do what time decides."""
        if self.census.moved != self._moved:
            self._moved = self.census.moved
            self.engine.scan.counting.forget_thresholds()
        for view in light_views(connection, self.engine.wants_silent_views(now_ns)):
            self.engine.learn_view(view)
        yield self.engine.tick(now_ns)
        self._note_learnt(now_ns)

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
                self._put_aside(f"{one.kind} {one.id}", error, time.time_ns())
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

    def _note_commands(self, connection: Connection, now_ns: int) -> Iterator[list[IncidentChange]]:
        """Tell the engine of commands that the collector itself moved: queued, sent, expired, cancelled."""
        for row in self.moved.news(connection, now_ns):
            if row.ordered_by == CALENDAR and row.state == command_pb2.COMMAND_STATE_QUEUED:
                self._note_campaign(row.created_ns)
            if row.last_update is None or is_given_up(row.state, row.last_update):
                target = command_pb2.Command.FromString(row.command).target
                yield self.engine.note_command(row.id, row.agent_id, target, row.state, now_ns, row.action)

    def _note_campaign(self, now_ns: int) -> None:
        """Take the checks that the calendar orders on one day as one campaign."""
        day = now_ns // DAY_NS
        change = Change("background checks of the calendar", ("fleet", FLEET_VALUE), day * DAY_NS, (day + 2) * DAY_NS)
        self._declare(CAMPAIGN, f"campaign:calendar:{day}", change)

    def _note_presence(
        self, connection: Connection, connected: frozenset[str], now_ns: int
    ) -> Iterator[list[IncidentChange]]:
        """Tell the engine who came and who went."""
        differs = sorted(connected ^ self._connected)
        names = host_names(connection, differs) if differs else {}
        for agent_id in differs:
            self._connected ^= {agent_id}  # at once: one that breaks must not keep the others waiting
            if agent_id in names:
                here = agent_id in connected
                yield self.engine.observe_presence(
                    agent_id, names[agent_id], connected=here, since_ns=now_ns, now_ns=now_ns
                )
