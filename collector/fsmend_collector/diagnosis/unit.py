"""Stage 1 of diagnosis: from evidence about one unit to one incident.

This module is pure: no I/O and no clock, `now_ns` is always an argument.

What is guaranteed. The state of a fault is a function of the *set* of its evidence and proofs: sums over distinct
events, minima, maxima, and comparisons of times. So duplicates, reordering and lateness inside the lateness window
give the identical set of incidents that are not merged: ids, codes, counts, places, members, evidence, onset, state.

What is not. `opened_ns`, `updated_ns` and the timeline tell what the collector knew when. Beyond the bounds (100,000
event ids a fault for duplicates, 4,096 places of each sort) counts stay exact for new events and detail is cut. Names
must mean the same unit throughout the window where an event carries nothing but a name. Reports on a command come in
the order of the agent's spool, between its events. After a restart the counts of the sources begin anew on top of the
stored count, and findings that waited for the end of a command are in the store only. Proofs that only the clock or an
inventory gives (counters that stood still, a device replaced) come when they come, and so may a new incident's number.
"""

from collections.abc import Iterable
from dataclasses import replace

from fsmend_collector.diagnosis.agenda import next_look_ns
from fsmend_collector.diagnosis.classing import class_of, proof_of
from fsmend_collector.diagnosis.codes import FAMILY_OF_CLASS, Family, Proof
from fsmend_collector.diagnosis.commands import CommandWatch
from fsmend_collector.diagnosis.config import SECONDS_NS, DiagnosisConfig
from fsmend_collector.diagnosis.evidence import Evidence
from fsmend_collector.diagnosis.fault import Fault
from fsmend_collector.diagnosis.incident import IncidentChange, fault_of, generation_of, key_of
from fsmend_collector.diagnosis.joining import FaultKey, Joining
from fsmend_collector.diagnosis.ledger import Ledger
from fsmend_collector.diagnosis.presence import AgentWatch, loss, silence
from fsmend_collector.diagnosis.unplaced import Unplaced
from fsmend_collector.diagnosis.view import IncidentView, view_of_made
from fsmend_collector.diagnosis.words import Words
from fsmend_proto.v1 import command_pb2, event_pb2, incident_pb2, inventory_pb2, record_pb2

_SWEEP_SECONDS = 10


class UnitDiagnosis:
    """Join evidence of all interfaces into incidents of single units.

    Every method returns the incidents that it changed, in a stable order.
    """

    def __init__(self, config: DiagnosisConfig) -> None:
        self._config = config
        self._joining = Joining()
        self._ledger = Ledger(config, self._joining)
        self._commands = CommandWatch(config, self._ledger)
        self._words = Words(self._ledger)
        self._agents: dict[str, AgentWatch] = {}
        self._away: dict[str, None] = {}
        self._swept_ns = 0
        self._unplaced = Unplaced()

    def observe(self, evidence: Evidence, now_ns: int) -> list[IncidentChange]:
        """Take one finding; the same event id twice changes nothing."""
        return self.take(evidence, class_of(evidence), now_ns)

    def take(self, evidence: Evidence, fault_class: str, now_ns: int) -> list[IncidentChange]:
        """Take one finding whose class of error is known already, an empty one when it is no error; see `observe`."""
        if not fault_class:
            return self._observe_proof(evidence, now_ns)
        changes = self._place(evidence.agent_id, now_ns) if self._joining.learn(evidence) else []
        known = evidence.command_id or self._commands.knows(evidence.agent_id)
        if known and self._commands.catches(self._identified(evidence), fault_class, now_ns):
            return changes
        return changes + self._count(evidence, fault_class, now_ns)

    def _identified(self, evidence: Evidence) -> Evidence:
        """Return the finding with its filesystem's UUID where only a name was given and the name is known."""
        if evidence.filesystem_uuid:
            return evidence
        key = self._joining.key(evidence, Family.INTEGRITY.value)
        return evidence if key.provisional else replace(evidence, filesystem_uuid=key.value)

    def _count(self, evidence: Evidence, fault_class: str, now_ns: int) -> list[IncidentChange]:
        """Count a finding against the fault that it belongs to."""
        key = self._joining.key(evidence, FAMILY_OF_CLASS[fault_class])
        fault = self._ledger.obtain_at(key, evidence.time_ns)
        if not fault.add(evidence, fault_class, now_ns):
            return []
        if evidence.agent_id not in self._agents:
            self._watch(evidence.agent_id)
        if fault.provisional:
            self._unplaced.keep(key, evidence)
        if fault_class == "source_broken":
            self._watch(evidence.agent_id).broken.add(evidence.subject)
        changes = self._ledger.grew(fault, evidence.event_id, now_ns)
        return changes + self._words.fallen_mute(fault, now_ns) if fault.muted_until_ns else changes

    def _place(self, agent_id: str, now_ns: int) -> list[IncidentChange]:
        """Move findings whose unit's identity is known now; an incident that they were already is merged."""
        changes: list[IncidentChange] = []
        for key, waiting in self._unplaced.of_agent(agent_id):
            moved = self._joining.key(waiting[0], key.family)
            if moved == key:
                continue
            self._unplaced.forget(key)
            old = self._ledger.get(key)
            for evidence in waiting:
                changes += self._count(evidence, class_of(evidence), now_ns)
            if old is not None:
                changes += self._retire(old, moved, now_ns)
        return changes

    def _retire(self, old: Fault, into: FaultKey, now_ns: int) -> list[IncidentChange]:
        """Merge a provisional incident into the one of the unit that it turned out to be."""
        changes = []
        if old.opened_ns:
            incident = self._ledger.view(old).incident
            incident.state = incident_pb2.INCIDENT_STATE_MERGED
            incident.merged_into = self._ledger.obtain(into).id
            incident.updated_ns = now_ns
            changes.append(IncidentChange(view_of_made(incident), "merged"))
        self._ledger.forget(old)
        return changes

    def _observe_proof(self, evidence: Evidence, now_ns: int) -> list[IncidentChange]:
        """Take an event that is no error: it may prove that something is well again."""
        if evidence.kind == event_pb2.EVENT_KIND_SOURCE_STATE and evidence.sick is False:
            self._watch(evidence.agent_id).broken.discard(evidence.subject)
        proof, family = proof_of(evidence)
        if proof is None:
            return []
        key = self._joining.key(evidence, family)
        # Only a word on health is kept for errors that arrive after it: mounts and readings are too many to keep.
        fault = self._ledger.obtain(key) if proof is Proof.FS_HEALTHY else self._ledger.get(key)
        if proof is Proof.DEVICE_RETURNED and evidence.devid and fault is None:
            fault = self._ledger.missing(evidence)
        if fault is None:
            return []
        if evidence.scope and proof is Proof.FS_HEALTHY:
            new = fault.take_scope(evidence)
        else:
            new = fault.prove(proof, evidence.time_ns, f"{proof.value}: {evidence.message or evidence.source}")
        return self._ledger.heard(fault, now_ns) if new else []

    def note_command(
        self,
        command_id: str,
        agent_id: str,
        target: command_pb2.Target,
        state: command_pb2.CommandState.ValueType,
        now_ns: int,
        action: str = "",
    ) -> list[IncidentChange]:
        """Say that a command was queued or sent, or ended without an agent's report (expired, cancelled).

        Args:
            command_id: the command.
            agent_id: whose command it is.
            target: as the command names it.
            state: its state.
            now_ns: collector's wall clock.
            action: name of its field in Command.action; without it the command counts as a repair.
        """
        update = command_pb2.CommandUpdate(command_id=command_id, state=state)
        return self._command(agent_id, target, update, (now_ns, now_ns), action)

    def observe_update(
        self,
        agent_id: str,
        command_id: str,
        target: command_pb2.Target,
        update: command_pb2.CommandUpdate,
        time_ns: int,
        now_ns: int,
        action: str = "",
    ) -> list[IncidentChange]:
        """Take an agent's report on a command.

        Args:
            agent_id: whose command it is.
            command_id: the command.
            target: as the command named it.
            update: the report.
            time_ns: when it happened, collector's wall clock (host's clock plus offset).
            now_ns: collector's wall clock.
            action: as for `note_command`; not needed where that was called.
        """
        own = command_pb2.CommandUpdate()
        own.CopyFrom(update)
        own.command_id = command_id
        return self._command(agent_id, target, own, (min(time_ns, now_ns), now_ns), action)

    def _command(
        self,
        agent_id: str,
        target: command_pb2.Target,
        update: command_pb2.CommandUpdate,
        times_ns: tuple[int, int],
        action: str,
    ) -> list[IncidentChange]:
        changes, findings = self._commands.take(agent_id, target, update, times_ns, action)
        for evidence in findings:
            changes += self._count(evidence, class_of(evidence), times_ns[1])
        return changes

    def observe_gap(
        self, gap: record_pb2.Gap, agent_id: str, now_ns: int, host_name: str = "", gap_id: str = ""
    ) -> list[IncidentChange]:
        """Take a loss of telemetry: what is unknown is not healthy.

        Args:
            gap: the record.
            agent_id: whose telemetry was lost.
            now_ns: collector's wall clock.
            host_name: for people.
            gap_id: unique and stable over redelivery; without it the gap's own numbers serve.
        """
        if gap.reason == record_pb2.GAP_REASON_LOG_SUPPRESSED:
            return []  # the kernel's own rate limit: the counters have what the log left out
        watch = self._watch(agent_id)
        watch.lost_ns = max(watch.lost_ns, now_ns)
        unwatched = gap.reason == record_pb2.GAP_REASON_NOT_WATCHED and not gap.lost
        fault_class = "not_watched" if unwatched else "telemetry_loss"
        return self._count(loss(gap, agent_id, host_name, gap_id, now_ns), fault_class, now_ns)

    def observe_presence(
        self, agent_id: str, host_name: str, *, connected: bool, since_ns: int, now_ns: int
    ) -> list[IncidentChange]:
        """Say that an agent is connected or away, and since when; `tick` opens AGENT_SILENT when it stays away."""
        watch = self._watch(agent_id)
        watch.host_name, watch.connected, watch.since_ns = host_name or watch.host_name, connected, since_ns
        if not connected:
            self._away[agent_id] = None
            return self._silent(agent_id, watch, now_ns)
        self._away.pop(agent_id, None)
        returned = self._words.returned(agent_id)
        fault = self._ledger.get(FaultKey(Family.SILENCE.value, agent_id, ""))
        if fault is None:
            return []
        fault.prove(Proof.CONNECTED, max(since_ns, fault.tally.latest_ns), "the agent is connected")
        return self._ledger.tell(fault, now_ns, "resolved" if returned else "")

    def retire_agent(self, agent_id: str, now_ns: int) -> list[IncidentChange]:
        """Take the word that a host has left the fleet as the proof that closes all its incidents."""
        self._agents.pop(agent_id, None)
        self._away.pop(agent_id, None)
        return self._ledger.settle_agent(agent_id, "the agent was revoked: its host left the fleet", now_ns)

    def _silent(self, agent_id: str, watch: AgentWatch, now_ns: int) -> list[IncidentChange]:
        early = now_ns - watch.since_ns < self._config.agent_silent_seconds * SECONDS_NS
        if early:
            return []
        self._away.pop(agent_id, None)  # told once; it is news again when the agent came and went
        if self.written_off(agent_id):
            return []
        return self._count(silence(agent_id, watch, now_ns), "agent_silent", now_ns)

    def _watch(self, agent_id: str) -> AgentWatch:
        return self._agents.setdefault(agent_id, AgentWatch())

    def wants_inventory(self, evidence: Evidence) -> bool:
        """Say whether the agent's inventory should be given before this finding, which is an error."""
        return bool(class_of(evidence)) and not self._joining.knows_inventory(evidence.agent_id)

    def observe_inventory(
        self, agent_id: str, inventory: inventory_pb2.Inventory, now_ns: int, *, wanted: bool = False
    ) -> list[IncidentChange]:
        """Take an agent's inventory: which device carries which filesystem, and which device was replaced.

        Give every new inventory as it comes, and the stored one with `wanted` when `wants_inventory` asks for it: an
        agent without faults is not remembered, so that memory does not grow with the fleet.
        """
        if not wanted and not self._ledger.of_agent(agent_id):
            return []
        self._joining.learn_inventory(agent_id, inventory)
        changes = self._place(agent_id, now_ns)
        present = {device.ref.id for device in inventory.devices}
        for fault in self._ledger.of_agent(agent_id):
            if fault.key.family != Family.DEVICE.value or fault.key.value in present or fault.provisional:
                continue
            elsewhere = [self._joining.devices(agent_id, uuid) for uuid in fault.tally.filesystems]
            if elsewhere and all(devices and fault.key.value not in devices for devices in elsewhere):
                text = "the inventory shows its filesystems on other devices"
                fault.prove(Proof.DEVICE_REPLACED, max(now_ns, fault.tally.latest_ns), text)
                changes += self._ledger.tell(fault, now_ns)
        return changes

    def mute(self, incident_id: str, until_ns: int, now_ns: int, by: str) -> list[IncidentChange]:
        """Mute an incident until a time; `until_ns` at or before `now_ns` takes the mute off.

        Raises:
            KeyError: no such incident in memory.
        """
        return self._words.mute(incident_id, until_ns, now_ns, by)

    def resolve(self, incident_id: str, proof: str, now_ns: int, by: str) -> list[IncidentChange]:
        """Take an operator's word as the proof that an incident is over; see Words."""
        return self._words.resolve(incident_id, proof, now_ns, by)

    def written_off(self, agent_id: str) -> bool:
        """Say whether an operator said that the agent will not return."""
        return agent_id in self._words.written_off

    def tick(self, now_ns: int) -> list[IncidentChange]:
        """Do what time alone decides; call it about once a second.

        Silent agents, counters that stood still, mutes that end, forgetting, and changes that wait to be told.
        """
        changes: list[IncidentChange] = []
        for agent_id in list(self._away):
            changes += self._silent(agent_id, self._watch(agent_id), now_ns)
        for fault in self._ledger.waiting():
            changes += self._ledger.tell(fault, now_ns, flush=True)
        if now_ns - self._swept_ns >= _SWEEP_SECONDS * SECONDS_NS:
            self._swept_ns = now_ns
            changes += self._sweep(now_ns)
        return changes

    def _sweep(self, now_ns: int) -> list[IncidentChange]:
        """Look at the faults that time may have changed; that is not done at every tick."""
        changes: list[IncidentChange] = []
        for evidence in self._commands.expire(now_ns):
            changes += self._count(evidence, class_of(evidence), now_ns)
        for key in self._ledger.agenda.due(now_ns):
            fault = self._ledger.get(key)
            if fault is not None:
                changes += self._look(fault, now_ns)
        self._joining.prune(self._ledger.agents)
        for agent_id in self._agents.keys() - self._ledger.agents:
            if self._agents[agent_id].connected and not self._agents[agent_id].broken:
                del self._agents[agent_id]
        return changes

    def _look(self, fault: Fault, now_ns: int) -> list[IncidentChange]:
        """Do to one fault what time alone does."""
        self._stand_still(fault, now_ns)
        changes = self._words.fallen_mute(fault, now_ns) + self._ledger.tell(fault, now_ns, growth=False)
        if fault.forgettable(now_ns):
            self._unplaced.forget(fault.key)
            self._ledger.forget(fault)
        else:
            self._ledger.agenda.look(fault.key, next_look_ns(fault, self._config, now_ns))
        return changes

    def _stand_still(self, fault: Fault, now_ns: int) -> None:
        """Take a counter that stood still under watch as proof."""
        waited = self._config.standstill_seconds
        if now_ns - fault.tally.latest_ns < waited * SECONDS_NS:
            return  # as nearly always
        watch = self._agents.get(fault.key.agent_id)
        since_ns = watch.watched_since(fault.tally.latest_ns) if watch is not None else None
        if since_ns is not None and fault.stands_still and now_ns - since_ns >= waited * SECONDS_NS:
            text = f"no further error in {waited} seconds while the agent was connected and lost nothing"
            fault.prove(Proof.STANDSTILL, since_ns + waited * SECONDS_NS, text)

    def restore(self, incidents: Iterable[incident_pb2.Incident], now_ns: int) -> None:
        """Go on with stored incidents after a restart; call it once, before anything else.

        Give it every incident that is not resolved, and at least the newest resolved one of each unit and code, so that
        a later fault of the unit gets a new id. Then say of every agent whether it is connected.
        """
        for incident in incidents:
            key = key_of(incident)
            generation = generation_of(incident, key) if key else None
            if key is None or generation is None:
                continue
            if incident.state == incident_pb2.INCIDENT_STATE_MERGED and key.provisional:
                continue  # it turned out to be of another unit, for good
            self._words.restore(incident, key.agent_id)
            fault = fault_of(incident, key, generation, self._config)
            known = self._ledger.get(key)
            if known is not None and known.generation > generation:
                continue
            if fault.forgettable(now_ns):
                self._ledger.spend(key, generation)
                continue
            self._ledger.restored(fault, incident.merged_into)
            self._commands.restore(fault, now_ns)
            watch = AgentWatch(incident.unit.host_name, connected=False, since_ns=now_ns)
            self._agents.setdefault(key.agent_id, watch)
            self._away[key.agent_id] = None
        self._ledger.settle_restored()

    def incidents(self) -> list[incident_pb2.Incident]:
        """Return the incidents in memory that were told, merged ones excepted, ordered by id."""
        shown = [
            self._ledger.view(fault).incident for fault in self._ledger if fault.opened_ns and not fault.merged_into
        ]
        return sorted(shown, key=lambda incident: incident.id)

    def concerned(self, evidence: Evidence, fault_class: str) -> list[IncidentView]:
        """Return the incident that a finding taken before is of; none when it is an error that a proof covers."""
        proof, family = (None, FAMILY_OF_CLASS[fault_class]) if fault_class else proof_of(evidence)
        fault = self._ledger.get(self._joining.key(evidence, family)) if fault_class or proof else None
        covered = fault is not None and fault_class and not fault.leaves_open(fault_class, evidence.latest_ns)
        return [] if fault is None or covered or not fault.opened_ns else [self._ledger.view(fault)]

    def told_again(self) -> list[IncidentChange]:
        """Return every incident that was ever told, as it is now."""
        return self._ledger.told_again()

    def views_of(self, agent_id: str) -> list[IncidentView]:
        """Return the incidents of one agent's units that were told, merged ones excepted, ordered by id."""
        found = [fault for fault in self._ledger.of_agent(agent_id) if fault.opened_ns and not fault.merged_into]
        return sorted((self._ledger.view(fault) for fault in found), key=lambda view: view.id)
