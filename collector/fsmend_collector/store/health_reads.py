"""The facts that the fleet's health is judged by, read in one snapshot."""

import threading
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Float, Row, cast, func, select

from fsmend_collector.commands import OPEN_STATES
from fsmend_collector.store import queries
from fsmend_collector.store.reads import agent_names
from fsmend_collector.store.schema import agents, audit, commands, devices, events, filesystems, gaps, incidents, meta
from fsmend_collector.store.views import OPEN_INCIDENTS, AgentName
from fsmend_collector.waiting import Backlog
from fsmend_proto.v1 import command_pb2, event_pb2, record_pb2

HOUR_NS = 3_600_000_000_000
DAY_NS = 24 * HOUR_NS
# Above this many records the events of the last hour are not counted one by one.
COUNTED_RECORDS = 200_000
_LISTED = 1000
_BAD_ENDS = (
    command_pb2.COMMAND_STATE_FAILED,
    command_pb2.COMMAND_STATE_TIMED_OUT,
    command_pb2.COMMAND_STATE_UNKNOWN,
)


@dataclass(frozen=True, slots=True)
class BrokenSource:
    """A source of an agent that stopped by itself, and has not started again."""

    host_name: str
    source: str
    reason: str


@dataclass(frozen=True, slots=True)
class LostByHost:
    """Gaps of one host within a day: how many, and how many records at least are lost."""

    host_name: str
    gaps: int
    lost: int


@dataclass(slots=True)
class HealthFacts:
    """Everything that health is judged by.

    Attributes:
        agents: rows of `agents`, without revoked ones.
        incidents: rows of `incidents` that are open, worst first, at most 1,000.
        incidents_open: how many there are.
        failed_commands: rows of `commands` that ended badly within a day, at most 1,000.
        diagnosis_faults: what diagnosis could not take within a day, newest first, at most 1,000.
        set_aside: filesystems whose newest background check ended the host again, and waits; at most 1,000.
        repairs_stopped: why automatic repairs are stopped, empty when they are not.
        store_failure: why the writer cannot commit, empty when it can.
        policy_backlog: how far the policy is behind with ordering.
    """

    agents: list[Row[Any]] = field(default_factory=list)
    incidents: list[Row[Any]] = field(default_factory=list)
    incidents_open: int = 0
    failed_commands: list[Row[Any]] = field(default_factory=list)
    gaps: list[LostByHost] = field(default_factory=list)
    broken_sources: list[BrokenSource] = field(default_factory=list)
    diagnosis_faults: list[str] = field(default_factory=list)
    set_aside: list[str] = field(default_factory=list)
    repairs_stopped: str = ""
    filesystems: int = 0
    devices: int = 0
    commands_running: int = 0
    events_last_hour: int = 0
    store_failure: str = ""
    policy_backlog: Backlog = field(default_factory=Backlog)


class SourceStates:
    """Remember the last state of each source of each agent; reads only the events since the last time.

    It looks back a day, but over no more than the newest 200,000 records: there is no index by kind.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._cursor = 0
        self._broken: dict[tuple[int, str], str] = {}

    def broken(self, connection: Connection, now_ns: int) -> list[BrokenSource]:
        """Return the sources that are broken now."""
        with self._lock:
            self._advance(connection, now_ns)
            broken = dict(self._broken)
        names = agent_names(connection, {number for number, _ in broken})
        return [
            BrokenSource(names.get(number, AgentName("", "?")).host_name, source, reason)
            for (number, source), reason in sorted(broken.items())
        ]

    def _advance(self, connection: Connection, now_ns: int) -> None:
        newest = queries.last_record_id(connection)
        start = self._cursor or queries.first_event_id_since(connection, now_ns - DAY_NS) - 1
        start = max(start, newest - COUNTED_RECORDS)
        chosen = select(events.c.agent, events.c.record).where(
            events.c.id > start, events.c.id <= newest, events.c.kind == event_pb2.EVENT_KIND_SOURCE_STATE
        )
        for row in connection.execute(chosen.order_by(events.c.id)):
            detail = record_pb2.Record.FromString(row.record).event.source_state
            self._broken.pop((row.agent, detail.name), None)
            if detail.state == event_pb2.SOURCE_STATE_BROKEN:
                self._broken[row.agent, detail.name] = detail.reason
        self._cursor = max(newest, self._cursor)


def read_health_facts(connection: Connection, sources: SourceStates, now_ns: int) -> HealthFacts:
    """Read everything but the state of the writer."""
    open_incidents = incidents.c.state.in_(OPEN_INCIDENTS)
    worst = select(incidents).where(open_incidents).order_by(-incidents.c.severity, -incidents.c.opened_ns)
    failed = select(commands, agents.c.host_name).join(agents, agents.c.agent_id == commands.c.agent_id)
    failed = failed.where(commands.c.state.in_(_BAD_ENDS), commands.c.created_ns >= now_ns - DAY_NS)
    return HealthFacts(
        agents=list(connection.execute(select(agents).where(agents.c.revoked_ns == 0).order_by(agents.c.host_name))),
        incidents=list(connection.execute(worst.limit(_LISTED))),
        incidents_open=_count(connection, incidents, open_incidents),
        failed_commands=list(connection.execute(failed.order_by(-commands.c.created_ns).limit(_LISTED))),
        gaps=_gaps(connection, now_ns - DAY_NS),
        broken_sources=sources.broken(connection, now_ns),
        diagnosis_faults=_diagnosis_faults(connection, now_ns - DAY_NS),
        set_aside=_set_aside(connection),
        repairs_stopped=_repairs_stopped(connection),
        filesystems=_count(connection, filesystems, filesystems.c.present.is_(True)),
        devices=_count(connection, devices, devices.c.present.is_(True)),
        commands_running=_count(connection, commands, commands.c.state.in_(OPEN_STATES)),
        events_last_hour=_events_since(connection, now_ns - HOUR_NS),
    )


def _count(connection: Connection, table: Any, condition: Any) -> int:
    return connection.execute(select(func.count()).select_from(table).where(condition)).scalar() or 0


def _gaps(connection: Connection, since_ns: int) -> list[LostByHost]:
    # Added up as floats: two hostile counts are more than an integer of SQLite holds, and it would fail the query.
    lost = func.sum(cast(gaps.c.lost, Float)).label("lost")
    counted = (
        select(agents.c.host_name, func.count().label("gaps"), lost)
        .join(agents, agents.c.number == gaps.c.agent)
        .where(gaps.c.received_ns >= since_ns, gaps.c.reason != record_pb2.GAP_REASON_LOG_SUPPRESSED)
        .group_by(agents.c.host_name)
        .order_by(agents.c.host_name)
    )
    return [LostByHost(row.host_name, row.gaps, int(row.lost or 0)) for row in connection.execute(counted)]


def _diagnosis_faults(connection: Connection, since_ns: int) -> list[str]:
    # The audit has an index by object, and diagnosis is the object of nothing else.
    chosen = select(audit).where(audit.c.object_kind == "diagnosis", audit.c.at_ns >= since_ns)
    rows = connection.execute(chosen.order_by(audit.c.id.desc()).limit(_LISTED))
    return [f"{row.object_id}: {row.detail}" for row in rows]


def _set_aside(connection: Connection) -> list[str]:
    """Return what the calendar noted of checks that no later one has taken the place of, but for hosts that left."""
    later = commands.alias()
    replaced = (
        select(later.c.id)
        .where(later.c.agent_id == commands.c.agent_id, later.c.filesystem_uuid == commands.c.filesystem_uuid)
        .where(later.c.ordered_by == commands.c.ordered_by, later.c.created_ns > commands.c.created_ns)
    )
    chosen = select(agents.c.host_name, audit.c.detail).where(audit.c.object_kind == "scheduled")
    chosen = chosen.join(commands, commands.c.id == audit.c.object_id)
    chosen = chosen.join(agents, agents.c.agent_id == commands.c.agent_id)
    chosen = chosen.where(agents.c.revoked_ns == 0, ~replaced.exists())
    return [f"{row.host_name}: {row.detail}" for row in connection.execute(chosen.order_by(audit.c.id).limit(_LISTED))]


def _repairs_stopped(connection: Connection) -> str:
    chosen = select(meta.c.value).where(meta.c.key == queries.REPAIRS_STOPPED, meta.c.number > 0)
    return connection.execute(chosen).scalar() or ""


def _events_since(connection: Connection, since_ns: int) -> int:
    first, last = queries.first_event_id_since(connection, since_ns), queries.last_record_id(connection)
    if last - first >= COUNTED_RECORDS:
        return last - first + 1
    return _count(connection, events, events.c.id >= first)
