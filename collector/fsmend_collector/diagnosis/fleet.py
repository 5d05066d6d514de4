"""Both stages of diagnosis together: unit faults, and what they share.

A shared cause takes the incidents of its members in: they are MERGED into it for as long as it is open, so that the
policy orders no repair for them. When it is over, those that are not resolved come back as they are.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import partial

from fsmend_collector.diagnosis.classing import class_of
from fsmend_collector.diagnosis.config import SECONDS_NS, DiagnosisConfig
from fsmend_collector.diagnosis.evidence import Evidence
from fsmend_collector.diagnosis.groups import GroupScan, HostView, Population, ScanSettings, Verdict, view_of
from fsmend_collector.diagnosis.groups.marks import Mark
from fsmend_collector.diagnosis.incident import IncidentChange
from fsmend_collector.diagnosis.nearby import nearby
from fsmend_collector.diagnosis.shared import ALL_OVER, SharedIncident
from fsmend_collector.diagnosis.timeline import EVIDENCE
from fsmend_collector.diagnosis.unit import UnitDiagnosis
from fsmend_collector.diagnosis.view import IncidentView, view_of_made
from fsmend_proto.v1 import command_pb2, incident_pb2, inventory_pb2, record_pb2

_RESOLVED = incident_pb2.INCIDENT_STATE_RESOLVED
_MERGED = incident_pb2.INCIDENT_STATE_MERGED


class FleetDiagnosis:
    """Diagnose units and what they share. The methods are those of UnitDiagnosis, and return all changed incidents."""

    def __init__(
        self, config: DiagnosisConfig, population: Population | None = None, settings: ScanSettings | None = None
    ) -> None:
        self._config = config
        self.units = UnitDiagnosis(config)
        self.scan = GroupScan(population or Population(), settings)
        self._shared: dict[str, SharedIncident] = {}
        self._merged: dict[str, dict[str, str]] = {}  # of each agent: its incidents, and what they are part of
        self._away: dict[str, int] = {}
        self._names: dict[str, str] = {}
        self._stored: dict[str, incident_pb2.Incident] = {}
        self._held: dict[str, list[incident_pb2.Incident]] = {}
        self._over_ns = 0

    def observe(self, evidence: Evidence, now_ns: int) -> list[IncidentChange]:
        """Take one finding; the same event id twice changes nothing."""
        fault_class = class_of(evidence)
        if fault_class:
            self.scan.observe(evidence)
        changes = self.units.take(evidence, fault_class, now_ns)
        changes = self._overlay(changes, now_ns) if changes else changes
        if not fault_class:
            return changes + self._release(evidence, now_ns) if evidence.agent_id in self._merged else changes
        return changes + self._recall(evidence, fault_class, now_ns) if evidence.time_ns <= self._over_ns else changes

    def wants_inventory(self, evidence: Evidence) -> bool:
        """Say whether the agent's inventory should be given before this finding, which is an error."""
        return self.units.wants_inventory(evidence) or (
            bool(class_of(evidence)) and self.scan.wants_view(evidence.agent_id)
        )

    def observe_inventory(
        self, agent_id: str, inventory: inventory_pb2.Inventory, now_ns: int, *, wanted: bool = False
    ) -> list[IncidentChange]:
        """Take an agent's inventory, as UnitDiagnosis does; the population is kept by the caller."""
        if wanted or not self.scan.wants_view(agent_id):
            self.learn_view(view_of(agent_id, inventory))
        return self._overlay(self.units.observe_inventory(agent_id, inventory, now_ns, wanted=wanted), now_ns)

    def learn_view(self, view: HostView) -> None:
        """Take what the scan needs of a faulty host's inventory."""
        self._names[view.agent_id] = view.host_name
        self.scan.learn_view(view)

    def observe_gap(
        self, gap: record_pb2.Gap, agent_id: str, now_ns: int, host_name: str = "", gap_id: str = ""
    ) -> list[IncidentChange]:
        """Take a loss of telemetry."""
        return self._overlay(self.units.observe_gap(gap, agent_id, now_ns, host_name, gap_id), now_ns)

    def note_command(
        self,
        command_id: str,
        agent_id: str,
        target: command_pb2.Target,
        state: command_pb2.CommandState.ValueType,
        now_ns: int,
        action: str = "",
    ) -> list[IncidentChange]:
        """Say that a command was queued, sent or ended; see UnitDiagnosis."""
        return self._overlay(self.units.note_command(command_id, agent_id, target, state, now_ns, action), now_ns)

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
        """Take an agent's report on a command; see UnitDiagnosis."""
        found = self.units.observe_update(agent_id, command_id, target, update, time_ns, now_ns, action)
        return self._overlay(found, now_ns)

    def observe_presence(
        self, agent_id: str, host_name: str, *, connected: bool, since_ns: int, now_ns: int
    ) -> list[IncidentChange]:
        """Say that an agent is connected or away, and since when."""
        if connected:
            self._away.pop(agent_id, None)
        elif not self.units.written_off(agent_id):
            self._away.setdefault(agent_id, since_ns)
        changes = self.units.observe_presence(
            agent_id, host_name, connected=connected, since_ns=since_ns, now_ns=now_ns
        )
        return self._overlay(changes, now_ns)

    def retire_agent(self, agent_id: str, now_ns: int) -> list[IncidentChange]:
        """Take the word that a host has left the fleet: what was wrong with it is wrong no more."""
        self._away.pop(agent_id, None)
        return self._overlay(self.units.retire_agent(agent_id, now_ns), now_ns)

    def wants_silent_views(self, now_ns: int) -> list[str]:
        """Name the agents that were away too long since the last tick and whose inventory is not known."""
        return [one for one in self._silent(now_ns) if self.scan.wants_view(one)]

    def _silent(self, now_ns: int) -> list[str]:
        least_ns = self._config.agent_silent_seconds * SECONDS_NS
        return [agent_id for agent_id, since_ns in self._away.items() if now_ns - since_ns >= least_ns]

    def mute(self, incident_id: str, until_ns: int, now_ns: int, by: str) -> list[IncidentChange]:
        """Mute an incident until a time; see UnitDiagnosis.

        Raises:
            KeyError: no such incident in memory.
        """
        shared = self._shared.get(incident_id)
        if shared is None:
            return self._overlay(self.units.mute(incident_id, until_ns, now_ns, by), now_ns)
        return [self._told(shared, shared.mute(until_ns, now_ns, f"by {by}"), now_ns)]

    def resolve(
        self, incident_id: str, proof: str, now_ns: int, by: str, *, members: bool = False
    ) -> list[IncidentChange]:
        """Take an operator's word as the proof that an incident is over; see UnitDiagnosis.

        Args:
            incident_id: of a unit's incident or a shared one.
            proof: the word.
            now_ns: collector's wall clock.
            by: operator:NAME.
            members: of a shared cause: resolve what it took in too; otherwise that comes back as it is.

        Raises:
            KeyError: no such incident in memory.
        """
        shared = self._shared.get(incident_id)
        if shared is None:
            return self._overlay(self.units.resolve(incident_id, proof, now_ns, by), now_ns)
        if shared.active:
            shared.proof = f"{by}: {proof}"
        changes: list[IncidentChange] = []
        for one in sorted(shared.unresolved) if members else ():
            with suppress(KeyError):  # it turned out to be of another unit, and is forgotten
                changes += self._overlay(self.units.resolve(one, proof, now_ns, by), now_ns)
        return changes + (self._end(shared, shared.proof, now_ns) if shared.active else [])

    def tick(self, now_ns: int) -> list[IncidentChange]:
        """Do what time alone decides; call it about once a second."""
        for agent_id in self._silent(now_ns):
            self.scan.observe_silence(agent_id, self._away.pop(agent_id))
        changes = self._overlay(self.units.tick(now_ns), now_ns)
        verdicts = self.scan.tick(now_ns)
        touched: dict[str, None] = {}
        for verdict, what in verdicts:
            known = self._shared.get(verdict.incident_id)
            other = known.verdict.marks if known is not None and known.active and what != "gone" else frozenset()
            touched.update(dict.fromkeys(sorted({mark.agent_id for mark in verdict.marks ^ other})))
            changes += self._take(verdict, what, now_ns)
        for agent_id in touched:
            changes += self._overlay_agent(agent_id, now_ns)
        changes += self._end_what_ran_out([one for one, _ in verdicts], now_ns)
        return changes + self._unmute(now_ns) + self._forget(now_ns)

    def _take(self, verdict: Verdict, what: str, now_ns: int) -> list[IncidentChange]:
        """Take a verdict over into the incident that it is."""
        shared = self._shared.get(verdict.incident_id)
        known: frozenset[Mark] = shared.verdict.marks if shared is not None else frozenset()
        stored = self._stored.pop(verdict.incident_id, None)
        if shared is None and stored is not None:
            shared = self._resume(verdict, stored)
            if what == "changed" and shared.is_as(stored, self._names):
                return []
        if shared is None:
            shared = self._shared[verdict.incident_id] = SharedIncident(verdict, now_ns, now_ns)
        if shared.muted_until_ns and len(verdict.marks) > shared.muted_marks * self._config.mute_growth:
            shared.mute(0, now_ns, "the mute fell, because it got worse")
        was, shared.verdict = shared.state, verdict
        if what == "gone":
            heirs = Counter(filter(None, (self.scan.member_of(*mark.unit) for mark in verdict.marks)))
            shared.merged_into = min(heirs, key=lambda one: (-heirs[one], one)) if heirs else ""
            shared.withdrawn = not heirs
            what = "merged" if heirs else "resolved"
        else:
            shared.reopen()
            what = "reopened" if was != shared.state and what == "changed" else what
        shared.timeline.add(now_ns, what, verdict.code)
        return [self._told(shared, what, now_ns, verdict.marks - known)]

    def _resume(self, verdict: Verdict, stored: incident_pb2.Incident) -> SharedIncident:
        """Go on with a stored shared cause, and with the incidents that it waits for."""
        shared = self._shared[verdict.incident_id] = SharedIncident.resumed(verdict, stored)
        self._over_ns = max(self._over_ns, shared.resolved_ns)
        for incident in self._held.pop(verdict.incident_id, ()):
            shared.learn(view_of_made(incident))
        return shared

    def _told(
        self, shared: SharedIncident, what: str, now_ns: int, fresh: frozenset[Mark] = frozenset()
    ) -> IncidentChange:
        shared.updated_ns = now_ns
        marks = sorted(fresh, key=lambda mark: mark.identity)
        return IncidentChange(shared.view(self._names), what, tuple(mark.evidence for mark in marks))

    def _overlay(self, changes: list[IncidentChange], now_ns: int) -> list[IncidentChange]:
        """Show the incidents of members as merged."""
        told: list[IncidentChange] = []
        for change in changes:
            told += self._overlay_one(change.view, change.what, change.evidence_ids, now_ns)
        return told

    def _overlay_agent(self, agent_id: str, now_ns: int) -> list[IncidentChange]:
        """Tell the incidents of one agent that a shared cause took in or let go."""
        told: list[IncidentChange] = []
        for view in self.units.views_of(agent_id):
            merged, into = self._merged.get(agent_id, {}).get(view.id, ""), self._explainer(view)
            if merged != into and (merged or not view.resolved):
                told += self._overlay_one(view, "", (), now_ns)
            elif into:  # it is explained as it was; or it is over, and was told so
                self._shared[into].learn(view)
        return told

    def _overlay_one(
        self, view: IncidentView, what: str, evidence: tuple[str, ...], now_ns: int
    ) -> list[IncidentChange]:
        own = self._merged.setdefault(view.agent_id, {})
        before, into = own.pop(view.id, ""), self._explainer(view)
        if into:
            self._shared[into].learn(view)
        if view.resolved:
            what = what or "resolved"
        elif into:
            own[view.id] = view.into = into
            what = what if before == into else "merged"
        else:
            view.insufficient = partial(nearby, self.scan)
            what = what or "reopened"
        if not own:
            del self._merged[view.agent_id]
        told = [IncidentChange(view, what, evidence)]
        for left in dict.fromkeys([before, into]) if view.resolved else [before]:
            told += self._leave(left, view, now_ns) if left and left != view.into else []
        return told

    def _leave(self, shared_id: str, view: IncidentView, now_ns: int) -> list[IncidentChange]:
        """Take an incident off a shared cause; the last one that is resolved resolves it."""
        shared = self._shared.get(shared_id)
        if shared is None or shared.unresolved.pop(view.id, None) is None or not shared.active or not shared.over_ns:
            return []
        return self._end(shared, shared.proof or ALL_OVER, now_ns)

    def _release(self, evidence: Evidence, now_ns: int) -> list[IncidentChange]:
        """End a shared cause that waits only for what failed later, as a proof shows that left its incident open."""
        told: list[IncidentChange] = []
        for view in self.units.concerned(evidence, ""):
            shared = self._shared.get(self._merged.get(view.agent_id, {}).get(view.id, ""))
            if shared is not None and shared.active and view.id in shared.unresolved:
                shared.learn(view)
                told += self._end(shared, ALL_OVER, now_ns) if shared.over_ns else []
        return told

    def _end_what_ran_out(self, verdicts: Iterable[Verdict], now_ns: int) -> list[IncidentChange]:
        """Resolve the shared causes of which all was over when they were first heard of, or heard of again."""
        told: list[IncidentChange] = []
        for shared in filter(None, (self._shared.get(one.incident_id) for one in verdicts)):
            told += self._end(shared, ALL_OVER, now_ns) if shared.ran_out else []
        return told

    def _end(self, shared: SharedIncident, proof: str, now_ns: int) -> list[IncidentChange]:
        """Resolve a shared cause; what it took in and is not resolved comes back."""
        shared.resolved_ns = now_ns if shared.proof else shared.over_ns
        shared.unresolved.clear()
        self._over_ns = max(self._over_ns, shared.resolved_ns)
        return self._turn(shared, "resolved", proof, now_ns)

    def _recall(self, evidence: Evidence, fault_class: str, now_ns: int) -> list[IncidentChange]:
        """Open the shared cause again that an error would have kept open, had it come in time."""
        for view in self.units.concerned(evidence, fault_class):
            for shared in self._causes(view) if view.id not in self._merged.get(view.agent_id, ()) else ():
                if shared.was_open(evidence.time_ns) and shared.waits_for(view):
                    shared.reopen()
                    return self._turn(shared, "reopened", "an error of a member came late", now_ns)
        return []

    def _turn(self, shared: SharedIncident, what: str, text: str, now_ns: int) -> list[IncidentChange]:
        """Tell that a shared cause is over or open again, and what that makes of the incidents of its members."""
        shared.timeline.add(now_ns, what, text)
        told = [self._told(shared, what, now_ns)]
        key = shared.verdict.incident_id
        agents = {mark.agent_id for mark in shared.verdict.marks}
        agents.update(agent_id for agent_id, own in self._merged.items() if key in own.values())
        for agent_id in sorted(agents):
            told += self._overlay_agent(agent_id, now_ns)
        return told

    def _explainer(self, view: IncidentView) -> str:
        """Return the open shared cause that explains the first of the units that one does; empty: none."""
        return next((one.verdict.incident_id for one in self._causes(view) if one.active), "")

    def _causes(self, view: IncidentView) -> Iterator[SharedIncident]:
        """Yield the shared causes, open or over, of the units of an incident."""
        for name in view.names:
            shared = self._shared.get(self.scan.member_of(view.agent_id, name))
            if shared is not None:
                yield shared

    def _unmute(self, now_ns: int) -> list[IncidentChange]:
        over = [one for one in self._shared.values() if 0 < one.muted_until_ns <= now_ns]
        return [self._told(one, one.mute(0, now_ns, "the mute ended"), now_ns) for one in over]

    def _forget(self, now_ns: int) -> list[IncidentChange]:
        """Forget shared incidents that have long been over."""
        before_ns = now_ns - self._config.forget_seconds * SECONDS_NS
        for key, shared in list(self._shared.items()):
            if not shared.active and shared.updated_ns < before_ns:
                self.scan.close(key)
                del self._shared[key]
        for key in [key for key, stored in self._stored.items() if stored.updated_ns < before_ns]:
            del self._stored[key]
        return []

    def restore(self, incidents: Iterable[incident_pb2.Incident], now_ns: int) -> None:
        """Go on with stored incidents after a restart; then give the findings of the horizon to the scan."""
        own = []
        for incident in incidents:
            copy = incident_pb2.Incident()
            copy.CopyFrom(incident)
            if copy.HasField("statistics"):
                self._stored[copy.id] = copy
            else:
                own.append(copy)
        for copy in own:
            if copy.state == _MERGED and copy.merged_into in self._stored:
                self._merged.setdefault(copy.unit.agent_id, {})[copy.id] = copy.merged_into
                self._held.setdefault(copy.merged_into, []).append(copy)
                copy.state, copy.merged_into = incident_pb2.INCIDENT_STATE_OPEN, ""
        self.units.restore(own, now_ns)

    def resume(self, now_ns: int) -> list[IncidentChange]:
        """Reach the verdicts anew once the scan has the findings; say what is not as it was stored."""
        changes: list[IncidentChange] = []
        agents: dict[str, None] = {}
        for verdict, what in self.scan.settle(now_ns, rebuilding=True):
            changes += self._take(verdict, "changed" if verdict.incident_id in self._stored else what, now_ns)
            agents.update(dict.fromkeys(sorted({mark.agent_id for mark in verdict.marks})))
        for stored in self._stored.values():
            if stored.state == incident_pb2.INCIDENT_STATE_OPEN:
                stored.state, stored.updated_ns = _RESOLVED, now_ns
                stored.resolution = "withdrawn: the findings in the store no longer show that anything is shared"
                stored.timeline.add(wall_ns=now_ns, what="resolved", text=stored.resolution)
                changes.append(IncidentChange(view_of_made(stored), "resolved"))
        self._held.clear()  # what is stored and over stays: its cause may show again, and is the same incident
        agents.update(dict.fromkeys(sorted(self._merged)))
        for agent_id in agents:
            changes += self._overlay_agent(agent_id, now_ns)
        return changes + self._end_what_ran_out([one.verdict for one in self._shared.values()], now_ns)

    def told_again(self, now_ns: int) -> list[IncidentChange]:
        """Return every incident that was ever told, as it is now, for who may have missed what changed it."""
        changes = self._overlay(self.units.told_again(), now_ns)
        for shared in self._shared.values():
            evidence = tuple(sorted(mark.evidence for mark in shared.verdict.marks))
            changes.append(IncidentChange(shared.view(self._names), EVIDENCE, evidence))
        return changes

    def incidents(self) -> list[incident_pb2.Incident]:
        """Return the incidents in memory that were told, merged ones excepted, ordered by id."""
        merged = self._merged
        shown = [one for one in self.units.incidents() if one.id not in merged.get(one.unit.agent_id, ())]
        shown += [one.incident(self._names) for one in self._shared.values() if not (one.merged_into or one.withdrawn)]
        return sorted(shown, key=lambda incident: incident.id)


__all__ = ["FleetDiagnosis"]
