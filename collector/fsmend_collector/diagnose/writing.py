"""Write what diagnosis concluded: incidents, their evidence, and how far it has read, in one transaction."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, select

from fsmend_collector.ask.words import WORDS_THROUGH
from fsmend_collector.diagnose.census import write_counted
from fsmend_collector.diagnose.changing import Declared, write_change
from fsmend_collector.diagnose.isolating import Isolated, Isolation, write_isolated
from fsmend_collector.diagnose.keeping import forget_sightings, write_journal, write_rates
from fsmend_collector.diagnosis import IncidentChange
from fsmend_collector.diagnosis.groups.marks import Journal
from fsmend_collector.ingest.plan import MAX_SIGNED
from fsmend_collector.store import counters
from fsmend_collector.store.schema import incident_evidence, incidents
from fsmend_collector.store.upsert import add_rows, write_rows
from fsmend_collector.waiting import OPEN
from fsmend_proto.v1 import incident_pb2

DIAGNOSED_THROUGH = "diagnosed_through"


@dataclass(slots=True)
class Conclusions:
    """Changes that are not written yet: the newest state of each incident, all evidence, and what a restart needs.

    Attributes:
        told: incident → its newest change, not put together yet.
        latest: incident → the newest of it that is put together.
        through: id through which diagnosis has read.
        words_through: id in the audit through which operators' words are obeyed.
        counted: agent → what it counts for in the population; None: it has left the fleet.
        rates: what was learnt, when that is new.
        declared: changes to the fleet that the collector saw, by id.
        isolated: what diagnosis could not take.
        forget: sightings before this time may go, but for those of these agents.
    """

    through: int = 0
    words_through: int = 0
    told: dict[str, IncidentChange] = field(default_factory=dict)
    latest: dict[str, incident_pb2.Incident] = field(default_factory=dict)
    evidence: dict[str, dict[int, None]] = field(default_factory=dict)
    counted: dict[str, str | None] = field(default_factory=dict)
    journal: Journal = field(default_factory=Journal)
    rates: str = ""
    declared: dict[str, Declared] = field(default_factory=dict)
    isolated: list[Isolated] = field(default_factory=list)
    forget: tuple[int, frozenset[str]] = (0, frozenset())

    @property
    def rows(self) -> int:
        """Return about how many rows wait that no incident asks for."""
        return (
            len(self.counted)
            + len(self.journal.sightings)
            + len(self.journal.views)
            + len(self.isolated)
            + len(self.declared)
        )

    def add(self, changes: Iterable[IncidentChange]) -> None:
        """Take changes in their order."""
        for change in changes:
            self.told[change.view.id] = change
            self._add_evidence(change.view.id, change.evidence_ids)

    def _add_evidence(self, incident_id: str, event_ids: Iterable[str]) -> None:
        known = self.evidence.setdefault(incident_id, {})
        known.update((int(one), None) for one in event_ids if one.isascii() and one.isdigit())

    def put_together(self, isolation: Isolation, now_ns: int) -> bool:
        """Make the incidents that were told, and say whether all could be; call it where the engine is not at work."""
        told, self.told = self.told, {}
        before = isolation.count
        for key, change in told.items():
            try:
                self._add_evidence(key, change.view.take_growth())
                self.latest[key] = change.incident
            except Exception as error:  # supervisor: it is isolated and shown  # noqa: BLE001
                isolation.note(f"incident {key}", error, now_ns)
                if key not in self.latest:
                    self.evidence.pop(key, None)  # there would be nothing that it is evidence of
        return isolation.count == before


def write_conclusions(connection: Connection, conclusions: Conclusions) -> None:
    """Write incidents, evidence and position."""
    write_rows(connection, incidents, [incident_row(one) for one in conclusions.latest.values()])
    known = [
        {"incident_id": key, "event_id": one} for key, event_ids in conclusions.evidence.items() for one in event_ids
    ]
    add_rows(connection, incident_evidence, known)
    write_counted(connection, conclusions.counted)
    write_journal(connection, conclusions.journal)
    for declared in conclusions.declared.values():
        write_change(connection, declared, declared.change.from_ns)
    write_isolated(connection, conclusions.isolated)
    if conclusions.rates:
        write_rates(connection, conclusions.rates)
    if conclusions.forget[0]:
        forget_sightings(connection, *conclusions.forget)
    counters.set_number(connection, DIAGNOSED_THROUGH, conclusions.through)
    counters.set_number(connection, WORDS_THROUGH, conclusions.words_through)


def write_recommendation(connection: Connection, incident_id: str, recommendation: str) -> None:
    """Change what a stored incident recommends; nothing when it is not there (any more), or is over meanwhile."""
    going_on = (incidents.c.id == incident_id, incidents.c.state.in_(OPEN))
    stored = connection.execute(select(incidents.c.incident).where(*going_on)).scalar()
    if stored is not None:
        incident = incident_pb2.Incident.FromString(stored)
        incident.recommendation = recommendation
        write_rows(connection, incidents, [incident_row(incident)])


def incident_row(incident: incident_pb2.Incident) -> dict[str, Any]:
    """Return the columns of an incident."""
    unit = incident.unit
    return {
        "id": incident.id,
        "code": incident.code,
        "severity": incident.severity,
        "state": incident.state,
        "agent_id": unit.agent_id,
        "host_name": unit.host_name,
        "filesystem_uuid": unit.filesystem_uuid,
        "device_id": unit.device_id,
        "onset_ns": min(incident.onset_ns, MAX_SIGNED),
        "opened_ns": min(incident.opened_ns, MAX_SIGNED),
        "updated_ns": min(incident.updated_ns, MAX_SIGNED),
        "resolved_ns": min(incident.resolved_ns, MAX_SIGNED),
        "muted_until_ns": min(incident.muted_until_ns, MAX_SIGNED),
        "merged_into": incident.merged_into,
        "occurrences": min(incident.occurrences, MAX_SIGNED),
        "evidence_count": min(incident.evidence_count, MAX_SIGNED),
        "summary": incident.summary,
        "incident": incident.SerializeToString(),
    }


def stored_incidents(connection: Connection) -> list[incident_pb2.Incident]:
    """Return every incident in the store, oldest first."""
    rows = connection.execute(select(incidents.c.incident).order_by(incidents.c.opened_ns, incidents.c.id)).scalars()
    return [incident_pb2.Incident.FromString(row) for row in rows]
