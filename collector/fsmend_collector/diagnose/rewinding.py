"""Rewinding: the engine as it was at a time, for diagnosing the history after it again. Only reads the store."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from sqlalchemy import Connection, Select, func, select

from fsmend_collector.diagnose.following import Following
from fsmend_collector.diagnose.keeping import stored_rates, stored_sightings, stored_views
from fsmend_collector.diagnose.reading import Learnt, inventory_of, origins
from fsmend_collector.diagnose.rebuilding import acquaint
from fsmend_collector.diagnosis import Evidence, IncidentChange
from fsmend_collector.diagnosis.classing import class_of
from fsmend_collector.diagnosis.codes import CLASS_OF_KIND, CODES
from fsmend_collector.diagnosis.groups import view_of
from fsmend_collector.diagnosis.groups.aspects import ASPECT_OF_KIND
from fsmend_collector.diagnosis.groups.learnt import rates_from_text
from fsmend_collector.store import queries
from fsmend_collector.store.schema import command_updates, events, gaps, incident_evidence, incidents
from fsmend_proto.v1 import event_pb2, incident_pb2, record_pb2

T = TypeVar("T")

SECOND_NS = 1_000_000_000
DAY_NS = 86_400 * SECOND_NS
_ROWS_A_READ = 1_000
_STATE = incident_pb2.IncidentState


Mind = Callable[[], None]
"""Called often; raises when this may go on no longer."""


def rewind(
    connection: Connection, following: Following, since_ns: int, now_ns: int, mind: Mind = lambda: None
) -> list[IncidentChange]:
    """Bring an engine to where the collector's was at a time, as far as the store can tell.

    Args:
        connection: of the store.
        following: fresh.
        since_ns: that time.
        now_ns: collector's wall clock.
        mind: see Mind.

    Returns:
        what the group scan concludes at once from the findings before that time.
    """
    engine = following.engine
    engine.scan.journal = None
    following.census.load(connection, queries.last_record_id(connection))
    following.cursor = _cursor_before(connection, since_ns)
    engine.restore(_minded(incidents_as_of(connection, since_ns), mind), since_ns)
    following.take_changes(connection, since_ns)
    rates_from_text(stored_rates(connection), engine.scan.rates)
    for view in _minded(stored_views(connection), mind):
        engine.learn_view(view)
    for one in _minded(stored_sightings(connection), mind):
        if one.time_ns < since_ns:
            engine.scan.sight(one.key, one.time_ns, one.evidence, one.signature)
    _sight_older(connection, following, since_ns, now_ns, mind)
    mind()
    changes = engine.resume(since_ns)
    changes += acquaint(connection, following, since_ns)
    mind()
    return changes + _recount(connection, following, since_ns, mind) + _watch(following, since_ns)


def _minded(rows: Iterable[T], mind: Mind) -> Iterator[T]:
    for row in rows:
        mind()
        yield row


def _cursor_before(connection: Connection, since_ns: int) -> int:
    """Return an id after which every record was received at or after a time, and none before it was."""
    first = queries.first_event_id_since(connection, since_ns)
    before = connection.execute(select(func.max(events.c.id)).where(events.c.id < first)).scalar() or 0
    for table in (gaps, command_updates):
        between = (table.c.id > before, table.c.id < first, table.c.received_ns >= since_ns)
        found = connection.execute(select(func.min(table.c.id)).where(*between)).scalar()
        first = min(first, found or first)
    return first - 1


def incidents_as_of(connection: Connection, since_ns: int) -> Iterator[incident_pb2.Incident]:
    """Yield the incidents that were open or over at a time, oldest first; what ended later is open again."""
    known = set(connection.execute(select(incidents.c.id).where(incidents.c.opened_ns < since_ns)).scalars())
    chosen = select(incidents.c.incident).where(incidents.c.opened_ns < since_ns)
    chosen = chosen.order_by(incidents.c.opened_ns, incidents.c.id)
    for row in connection.execute(chosen).yield_per(_ROWS_A_READ).scalars():
        incident = incident_pb2.Incident.FromString(row)
        ended_ns = incident.resolved_ns or incident.updated_ns
        if incident.state == _STATE.INCIDENT_STATE_RESOLVED and ended_ns >= since_ns:
            incident.state, incident.resolved_ns, incident.resolution = _STATE.INCIDENT_STATE_OPEN, 0, ""
        if incident.state == _STATE.INCIDENT_STATE_MERGED and incident.merged_into not in known:
            incident.state, incident.merged_into = _STATE.INCIDENT_STATE_OPEN, ""
        if incident.state == _STATE.INCIDENT_STATE_REPAIRING:
            incident.state = _STATE.INCIDENT_STATE_OPEN
        _forget_since(incident, since_ns)
        yield incident


def _forget_since(incident: incident_pb2.Incident, since_ns: int) -> None:
    """Take out what was seen and proven from a time on."""
    classes = [one for one in incident.classes if one.first_ns < since_ns]
    proofs = [one for one in incident.proofs if one.wall_ns < since_ns]
    for part in incident.parts:
        if part.wall_ns >= since_ns and part.was_sick:  # nobody knows since when: what follows says how it ended
            part.wall_ns, part.host_ns, part.sick = incident.onset_ns, 0, True
    parts = [one for one in incident.parts if one.wall_ns < since_ns]
    for name in ("classes", "proofs", "parts"):
        incident.ClearField(name)
    incident.classes.extend(classes)
    incident.proofs.extend(proofs)
    incident.parts.extend(parts)
    for one in incident.classes:
        one.latest_ns = min(one.latest_ns, since_ns)
    if incident.since_ns >= since_ns:
        incident.since_ns = 0
    if classes:
        timeline = [one for one in incident.timeline if one.wall_ns < since_ns]
        incident.ClearField("timeline")
        incident.timeline.extend(timeline)


def _sight_older(connection: Connection, following: Following, since_ns: int, now_ns: int, mind: Mind) -> None:
    """Give the scan the findings before the time that the store no longer keeps as sightings, from the events."""
    horizon_ns = following.engine.scan.settings.horizon_ns
    kept_from_ns = now_ns - horizon_ns + 2 * DAY_NS
    first = queries.first_event_id_since(connection, max(since_ns - horizon_ns, 0))
    last = queries.first_event_id_since(connection, min(since_ns, kept_from_ns))
    chosen = select(events).where(events.c.kind.in_(list(ASPECT_OF_KIND)))
    for evidence in _minded(_evidence(connection, chosen, first, last), mind):
        if class_of(evidence):
            if following.engine.scan.wants_view(evidence.agent_id):
                inventory = inventory_of(connection, evidence.agent_id)
                if inventory is not None:
                    following.engine.learn_view(view_of(evidence.agent_id, inventory))
            following.engine.scan.observe(evidence)


def _recount(connection: Connection, following: Following, since_ns: int, mind: Mind) -> list[IncidentChange]:
    """Count again what the soft-error rates remembered then: errors that were no incident's evidence at that time."""
    config = following.config
    kinds = [kind for kind, name in CLASS_OF_KIND.items() if name in config.rules]
    seconds = max([config.lateness_seconds, *(rule.long_seconds for rule in config.rules.values())])
    first = queries.first_event_id_since(connection, max(since_ns - seconds * SECOND_NS, 0))
    counted = select(incident_evidence.c.event_id).join(incidents, incidents.c.id == incident_evidence.c.incident_id)
    own = (incidents.c.code.in_(list(CODES)), incidents.c.opened_ns < since_ns)
    counted = counted.where(incident_evidence.c.event_id == events.c.id, *own)
    errors = (events.c.kind.in_(kinds), events.c.severity > event_pb2.SEVERITY_INFO, ~counted.exists())
    changes: list[IncidentChange] = []
    for rows in _minded(_pages(connection, select(events).where(*errors), first, following.cursor + 1), mind):
        changes += following.observe(connection, [Learnt(row.id, "event", row) for row in rows])
    return changes


def _watch(following: Following, since_ns: int) -> list[IncidentChange]:
    """Say that every agent with an incident is connected; silences follow as moments."""
    known = {one.unit.agent_id: one.unit.host_name for one in following.engine.units.incidents()}
    changes: list[IncidentChange] = []
    for agent_id, name in sorted(known.items()):
        if agent_id:
            changes += following.engine.observe_presence(
                agent_id, name, connected=True, since_ns=since_ns, now_ns=since_ns
            )
    return changes


def _evidence(connection: Connection, chosen: Select[Any], first: int, last: int) -> Iterator[Evidence]:
    for rows in _pages(connection, chosen, first, last):
        known = origins(connection, (row.agent for row in rows))
        for row in rows:
            origin = known.get(row.agent)
            if origin is not None:
                event = record_pb2.Record.FromString(row.record).event
                names = (str(row.id), origin.agent_id, origin.host_name)
                yield Evidence.of(*names, event, row.received_ns, origin.clock_offset_ns)


def _pages(connection: Connection, chosen: Select[Any], first: int, last: int) -> Iterator[list[Any]]:
    """Yield rows of `events` with an id from `first` to before `last`, page after page."""
    while first < last:
        page = chosen.where(events.c.id >= first, events.c.id < last).order_by(events.c.id).limit(_ROWS_A_READ)
        rows = list(connection.execute(page))
        if not rows:
            return
        yield rows
        first = rows[-1].id + 1
