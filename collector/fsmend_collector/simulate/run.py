"""Run a world through diagnosis in memory, as fast as it goes."""

import random
import time
from collections import Counter
from dataclasses import dataclass

from fsmend_collector.diagnosis.config import DiagnosisConfig
from fsmend_collector.diagnosis.evidence import Evidence
from fsmend_collector.diagnosis.fleet import FleetDiagnosis
from fsmend_collector.diagnosis.groups import HostView, Population, ScanSettings
from fsmend_collector.diagnosis.groups.learnt import rates_from_text, rates_to_text
from fsmend_collector.diagnosis.groups.marks import Journal
from fsmend_collector.diagnosis.groups.rates import AspectGroup
from fsmend_collector.diagnosis.incident import IncidentChange
from fsmend_collector.simulate.fleet import FleetShape, SimulatedFleet, history
from fsmend_collector.simulate.world import DAY, SECOND, START, Presence, Restart, Unit, World
from fsmend_proto.v1 import incident_pb2

HISTORY_DAYS = 180
_OPEN = incident_pb2.INCIDENT_STATE_OPEN
_OVER = (incident_pb2.INCIDENT_STATE_MERGED, incident_pb2.INCIDENT_STATE_RESOLVED)


@dataclass(frozen=True, slots=True)
class Reported:
    """One incident that diagnosis ended with.

    Attributes:
        dimension: of its cause; "device" or "filesystem" for a unit.
        told_ns: when it was first told.
    """

    incident_id: str
    code: str
    dimension: str
    value: str
    members: frozenset[Unit]
    suspects: tuple[tuple[str, str], ...]
    told_ns: int


@dataclass(slots=True)
class Outcome:
    """What diagnosis made of a world.

    Attributes:
        shared: shared causes that are told at the end.
        units: incidents of single units that are open at the end and in no shared cause.
        ended: incidents of single units that were resolved since.
        withdrawn: shared causes that were told and taken back, with nothing in their place.
        first_told: shared causes as they were each time when they were told or changed.
        seconds: processor time.
        findings: how many there were.
    """

    world: World
    shared: list[Reported]
    units: list[Reported]
    ended: list[Reported]
    withdrawn: list[Reported]
    first_told: list[Reported]
    merged: dict[str, str]
    seconds: float
    findings: int


class Runner:
    """Feed one world to diagnosis."""

    def __init__(self, world: World, settings: ScanSettings | None = None, *, learnt: bool = True) -> None:
        self.world = world
        self.settings = settings or ScanSettings()
        self.learnt = learnt
        self.population = _population(world)
        self.diagnosis = self._fresh()
        self.journal = self.diagnosis.scan.journal = Journal()
        self.fed: list[Evidence] = []
        self.away: dict[str, int] = {}
        self.told: dict[str, tuple[int, IncidentChange]] = {}
        self.first_told: list[Reported] = []
        self.counted: set[str] = set()
        self.evidence_ids: set[str] = set()

    def _fresh(self) -> FleetDiagnosis:
        fleet = self.world.fleet
        diagnosis = FleetDiagnosis(DiagnosisConfig(), self.population, self.settings)
        diagnosis.scan.changes.extend(self.world.changes)
        if self.learnt:
            seed_rates(diagnosis, fleet)
        return diagnosis

    def run(self) -> Outcome:
        """Feed everything in the order of arrival, with a tick a second where something happens."""
        world = self.world
        began = time.process_time()
        due: set[int] = set()
        now_ns = START
        for arrival_ns, _, what in sorted(world.happenings, key=lambda row: row[:2]):
            second = arrival_ns // SECOND
            while due and (first := min(due)) < second:
                due.discard(first)
                self._tick((first + 1) * SECOND)
            for day in range(now_ns // DAY + 1, arrival_ns // DAY + 1):
                self._tick(day * DAY)
            now_ns = arrival_ns
            due |= self._feed(what, arrival_ns)
            due.add(second)
        for second in sorted(due | {world.end_ns // SECOND + 1, world.end_ns // SECOND + 2}):
            self._tick((second + 1) * SECOND)
        return self._outcome(time.process_time() - began)

    def _feed(self, what: object, now_ns: int) -> set[int]:
        """Give one thing; return the seconds at which to look again."""
        if isinstance(what, Evidence):
            self.fed.append(what)
            self._view(what.agent_id)
            self._note(self.diagnosis.observe(what, now_ns), now_ns)
            return set()
        if isinstance(what, Presence):
            if not what.connected:
                self._view(what.agent_id)
                self.away[what.agent_id] = now_ns
            else:
                self.away.pop(what.agent_id, None)
            changes = self.diagnosis.observe_presence(
                what.agent_id, what.agent_id, connected=what.connected, since_ns=now_ns, now_ns=now_ns
            )
            self._note(changes, now_ns)
            return set() if what.connected else {now_ns // SECOND + DiagnosisConfig().agent_silent_seconds + 1}
        if isinstance(what, HostView):
            self.world.views[what.agent_id] = what
            if not self.diagnosis.scan.wants_view(what.agent_id):
                self.diagnosis.learn_view(what)
            return set()
        if isinstance(what, Restart):
            self._restart(now_ns)
        return set()

    def _view(self, agent_id: str) -> None:
        if self.diagnosis.scan.wants_view(agent_id):
            self.diagnosis.learn_view(self.world.views.get(agent_id) or self.world.fleet.by_agent[agent_id])

    def _restart(self, now_ns: int) -> None:
        """Begin anew from what a store would hold: incidents, what was learnt, and what the scan was given."""
        for _, change in self.told.values():
            self.counted.update(change.view.take_growth())
        stored = [change.incident for _, change in self.told.values()]
        learnt = rates_to_text(self.diagnosis.scan.rates)
        self.diagnosis = self._fresh()
        self.diagnosis.restore(stored, now_ns)
        rates_from_text(learnt, self.diagnosis.scan.rates)
        for view in self.journal.views.values():
            self.diagnosis.learn_view(view)
        for (key, _), row in sorted(self.journal.sightings.items(), key=lambda row: (row[1], row[0])):
            self.diagnosis.scan.sight(key, *row)
        self.diagnosis.scan.journal = self.journal
        self._note(self.diagnosis.resume(now_ns), now_ns)
        self._recount(now_ns)
        for agent_id in sorted({one.agent_id for one in self.fed} | {one.unit.agent_id for one in stored}):
            if agent_id and agent_id not in self.away:  # it comes back to the new collector at once
                self.diagnosis.observe_presence(agent_id, agent_id, connected=True, since_ns=now_ns, now_ns=now_ns)
        for agent_id, since_ns in self.away.items():
            self._view(agent_id)
            self.diagnosis.observe_presence(agent_id, agent_id, connected=False, since_ns=since_ns, now_ns=now_ns)

    def _recount(self, now_ns: int) -> None:
        """Give again what the soft-error rates remember: findings that are no incident's evidence."""
        counted = self.counted | self.evidence_ids
        counted.update(one for _, change in self.told.values() for one in change.incident.evidence)
        for one in self.fed:
            if one.event_id not in counted:
                self._note(self.diagnosis.observe(one, now_ns), now_ns)

    def _tick(self, now_ns: int) -> None:
        for agent_id in self.diagnosis.wants_silent_views(now_ns):
            self._view(agent_id)
        self._note(self.diagnosis.tick(now_ns), now_ns)

    def _note(self, changes: list[IncidentChange], now_ns: int) -> None:
        for change in changes:
            first, _ = self.told.get(change.view.id, (now_ns, None))
            self.told[change.view.id] = (first, change)
            if change.view.shared and change.incident.state == _OPEN:
                self.first_told.append(_shared_reported(change.incident, now_ns))
            self.evidence_ids.update(change.evidence_ids)

    def _outcome(self, seconds: float) -> Outcome:
        shared = []
        for incident_id, verdict in sorted(self.diagnosis.scan.verdicts.items()):
            shared.append(
                Reported(
                    incident_id=incident_id,
                    code=verdict.code,
                    dimension=verdict.cause[0],
                    value=verdict.cause[1],
                    members=frozenset((mark.key[2], mark.key[3]) for mark in verdict.marks),
                    suspects=tuple(one.group for one in verdict.suspects),
                    told_ns=self.told.get(incident_id, (0, None))[0],
                )
            )
        units = [
            _unit_reported(one, self.told[one.id][0])
            for one in self.diagnosis.incidents()
            if one.state == _OPEN and not one.HasField("statistics")
        ]
        told = [(first, change.incident) for first, change in self.told.values()]
        merged = {one.id: one.merged_into for _, one in told if one.state in _OVER and one.merged_into}
        withdrawn = [
            _shared_reported(one, first)
            for first, one in told
            if one.HasField("statistics") and one.resolution.startswith("withdrawn") and not one.merged_into
        ]
        ended = [
            _unit_reported(one, first)
            for first, one in told
            if one.state == incident_pb2.INCIDENT_STATE_RESOLVED and not one.HasField("statistics")
        ]
        return Outcome(self.world, shared, units, ended, withdrawn, self.first_told, merged, seconds, len(self.fed))


def _population(world: World) -> Population:
    """Return the fleet's population with the hosts that differ in this world."""
    fleet = world.fleet
    if not world.views:
        return fleet.population
    population = Population(
        {group: list(row) for group, row in fleet.population.sizes.items()}, Counter(fleet.population.groups)
    )
    for agent_id, view in world.views.items():
        population.replace(fleet.by_agent[agent_id], view)
    return population


def _member(unit: incident_pb2.Unit) -> Unit:
    return (unit.agent_id, unit.device_id or unit.filesystem_uuid or unit.agent_id)


def _shared_reported(incident: incident_pb2.Incident, told_ns: int) -> Reported:
    dimension = incident.cause.dimension
    value = incident.unit.agent_id if dimension == "host" else incident.cause.value  # hosts are shown by their names
    members = frozenset(_member(one) for one in incident.members)
    return Reported(incident.id, incident.code, dimension, value, members, (), told_ns)


def _unit_reported(incident: incident_pb2.Incident, told_ns: int) -> Reported:
    unit = incident.unit
    name = unit.device_id or unit.filesystem_uuid or unit.agent_id
    kind = "device" if unit.device_id else "filesystem" if unit.filesystem_uuid else "host"
    return Reported(incident.id, incident.code, kind, name, frozenset({(unit.agent_id, name)}), (), told_ns)


_histories: dict[tuple[int, FleetShape], Counter[AspectGroup]] = {}


def seed_rates(diagnosis: FleetDiagnosis, fleet: SimulatedFleet) -> None:
    """Give diagnosis the history that half a year of this fleet would have taught it."""
    key = (fleet.seed, fleet.shape)
    known = _histories.get(key)
    if known is None:
        drives = fleet.drives
        rates = {
            "lost": drives.lost_per_hour,
            "media": drives.media_per_hour,
            "link": drives.link_per_hour,
            "health": drives.health_per_hour,
        }
        known = history(fleet, HISTORY_DAYS, rates, random.Random(f"history {fleet.seed}"))  # noqa: S311  no secret
        _histories.clear()
        _histories[key] = known
    marks = Counter({group[0]: count for (aspect, group), count in known.items() if not aspect})
    groups = Counter({key: count for key, count in known.items() if key[0]})
    sizes = diagnosis.scan.population.sizes["fleet", "all"]
    diagnosis.scan.rates.seed(HISTORY_DAYS, (sizes[0], sizes[1], sizes[2]), groups, marks)
