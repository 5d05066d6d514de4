"""`fsmend why`: all that the store has on one incident, put together for the question why it is one."""

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, func, select

from fsmend_collector.ask.grounds import grounds_of
from fsmend_collector.ask.members import member_incident
from fsmend_collector.ask.naming import incident_named
from fsmend_collector.ask.pages import page_of
from fsmend_collector.ask.same import nearby
from fsmend_collector.diagnosis.config import DiagnosisConfig
from fsmend_collector.diagnosis.evidence import Evidence
from fsmend_collector.diagnosis.groups import Population
from fsmend_collector.store.schema import agents, events, gaps, incident_evidence, incidents
from fsmend_proto.v1 import event_pb2, incident_pb2, record_pb2, why_pb2

EVIDENCE_SHOWN = 10
EVIDENCE_READ = 2_000
_MEMBERS_SHOWN = 20
_GAPS_SHOWN = 10
_HOSTS_LOOKED_AT = 200
_BEFORE_NS = 86_400 * 1_000_000_000
_REASONS = {number: name.removeprefix("GAP_REASON_").lower() for name, number in record_pb2.GapReason.items()}


def explain(
    connection: Connection,
    request: why_pb2.ExplainIncidentRequest,
    config: DiagnosisConfig,
    population: Population,
    now_ns: int,
) -> why_pb2.Why:
    """Return why an incident is one.

    Raises:
        NoSuchObject: none or several are called so.
    """
    incident = incident_named(connection, request.id)
    why = why_pb2.Why(incident=incident, page=page_of(incident.code))
    incident_id = incident.id
    evidence = _evidence(connection, incident)
    why.evidence.extend(_shown(one) for one in evidence[:EVIDENCE_SHOWN])
    why.evidence.extend(_not_events(incident, EVIDENCE_SHOWN - len(why.evidence)))
    why.evidence_more = max(incident.evidence_count - len(why.evidence), 0)
    if incident.HasField("statistics"):
        _members(connection, incident_id, why)
    else:
        why.unit.CopyFrom(grounds_of(evidence, config))
        why.unit.nearby.extend(nearby(connection, incident, population, now_ns))
    _gaps(connection, incident, why)
    for field in ("places", "evidence"):
        why.incident.ClearField(field)
    del why.incident.members[_MEMBERS_SHOWN:]
    return why


def _evidence(connection: Connection, incident: incident_pb2.Incident) -> list[Evidence]:
    """Return the first events of an incident, by id, as diagnosis sees them."""
    mine = select(incident_evidence.c.event_id).where(incident_evidence.c.incident_id == incident.id)
    chosen = select(events).where(events.c.id.in_(mine)).order_by(events.c.id).limit(EVIDENCE_READ)
    rows = connection.execute(chosen).all()
    columns = select(agents.c.number, agents.c.agent_id, agents.c.host_name, agents.c.clock_offset_ns)
    names = {row.number: row for row in connection.execute(columns.where(agents.c.number.in_({r.agent for r in rows})))}
    return [_evidence_of(row, names[row.agent]) for row in rows if row.agent in names]


def _evidence_of(row: Any, agent: Any) -> Evidence:
    event = record_pb2.Record.FromString(row.record).event
    offset_ns = agent.clock_offset_ns
    return Evidence.of(str(row.id), agent.agent_id, agent.host_name, event, row.received_ns, offset_ns)


def _shown(one: Evidence) -> why_pb2.EvidenceEvent:
    return why_pb2.EvidenceEvent(
        id=one.event_id,
        wall_ns=one.time_ns,
        host_name=one.host_name,
        source=one.source,
        kind=one.kind,
        severity=one.severity,
        message=one.message,
    )


def _not_events(incident: incident_pb2.Incident, most: int) -> Iterable[why_pb2.EvidenceEvent]:
    """Return evidence that no event stands for: the collector's own findings, results of commands."""
    own = [one for one in incident.evidence if not one.isdecimal()]
    for name in own[: max(most, 0)]:
        what, _, rest = name.partition(":")
        yield why_pb2.EvidenceEvent(
            id=name,
            host_name=incident.unit.host_name,
            source="collector" if what == "silent" else what,
            kind=event_pb2.EVENT_KIND_AGENT_STATE if what == "silent" else event_pb2.EVENT_KIND_UNSPECIFIED,
            severity=incident.severity,
            message=f"{what} {rest}",
        )


def _members(connection: Connection, incident_id: str, why: why_pb2.Why) -> None:
    merged = incidents.c.merged_into == incident_id
    chosen = select(incidents.c.incident).where(merged).order_by(incidents.c.onset_ns, incidents.c.id)
    rows = connection.execute(chosen.limit(_MEMBERS_SHOWN)).scalars()
    why.member_incidents.extend(member_incident(incident_pb2.Incident.FromString(row)) for row in rows)
    count = connection.execute(select(func.count()).select_from(incidents).where(merged)).scalar() or 0
    why.member_incidents_more = count - len(why.member_incidents)


def _gaps(connection: Connection, incident: incident_pb2.Incident, why: why_pb2.Why) -> None:
    """Add what was lost on the hosts concerned since a day before the onset: what is unknown is not healthy."""
    hosts = dict.fromkeys([incident.unit.agent_id, *(one.agent_id for one in incident.members)])
    chosen = select(agents.c.number, agents.c.host_name).where(agents.c.agent_id.in_(list(hosts)[:_HOSTS_LOOKED_AT]))
    names = {row.number: row.host_name for row in connection.execute(chosen)}
    since_ns = max(incident.onset_ns - _BEFORE_NS, 0)
    until_ns = incident.resolved_ns or (1 << 63) - 1
    mine = (gaps.c.agent.in_(names), gaps.c.received_ns >= since_ns, gaps.c.received_ns <= until_ns)
    rows = connection.execute(select(gaps).where(*mine).order_by(gaps.c.id).limit(_GAPS_SHOWN)).all()
    count = connection.execute(select(func.count()).select_from(gaps).where(*mine)).scalar() or 0
    why.gaps.extend(_gap_rows(rows, names))
    why.gaps_more = count - len(rows)


def _gap_rows(rows: Sequence[Any], names: dict[int, str]) -> Iterable[why_pb2.GapOfTelemetry]:
    for row in rows:
        yield why_pb2.GapOfTelemetry(
            id=str(row.id),
            received_ns=row.received_ns,
            host_name=names[row.agent],
            reason=_REASONS.get(row.reason, str(row.reason)),
            lost=row.lost,
        )
