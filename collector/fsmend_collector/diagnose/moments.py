"""Moments: what happened beside the records, by time: commands, silences, operators' words, hosts that left the fleet.

The store has them as rows of their own. Silences are taken from the incidents that told them: one that was too short to
be told left no row.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from sqlalchemy import Connection, or_, select

from fsmend_collector.ask.words import Word, words_after
from fsmend_collector.commands import FINAL_STATES, is_given_up
from fsmend_collector.diagnose.obeying import obey
from fsmend_collector.diagnosis import FleetDiagnosis, IncidentChange
from fsmend_collector.diagnosis.words import BY_OPERATOR
from fsmend_collector.store.schema import agents, commands, incidents
from fsmend_proto.v1 import command_pb2, incident_pb2

Act = Callable[[FleetDiagnosis, int], list[IncidentChange]]
"""The engine, the time → what changed."""

_QUEUED = command_pb2.COMMAND_STATE_QUEUED


@dataclass(frozen=True, slots=True)
class Moment:
    """One thing that happened at a time.

    Attributes:
        lasts: it goes on: of what began before the time that is asked for, the beginning of that is told.
    """

    at_ns: int
    act: Act
    lasts: bool = False


def moments(connection: Connection, since_ns: int, until_ns: int) -> list[Moment]:
    """Return what happened in a time, in order; what had begun before and went on is at its beginning."""
    found = [*_silences(connection, since_ns), *_of_commands(connection, since_ns), *_words(connection)]
    found += _departures(connection)
    within = [one for one in found if one.at_ns < until_ns and (one.lasts or one.at_ns >= since_ns)]
    return sorted((replace(one, at_ns=max(one.at_ns, since_ns)) for one in within), key=lambda one: one.at_ns)


def _silences(connection: Connection, since_ns: int) -> Iterator[Moment]:
    chosen = select(incidents.c.incident).where(incidents.c.code == "AGENT_SILENT")
    rows = connection.execute(chosen.order_by(incidents.c.opened_ns, incidents.c.id)).scalars()
    for incident in (incident_pb2.Incident.FromString(row) for row in rows):
        ends = sorted(_ends(incident))
        for away_ns in sorted(_beginnings(incident)):
            end_ns = next((one for one in ends if one > away_ns), 0)
            if end_ns and end_ns <= since_ns:
                continue
            yield Moment(away_ns, _presence(incident.unit, away_ns, connected=False), lasts=True)
            if end_ns:
                yield Moment(end_ns, _presence(incident.unit, end_ns, connected=True))


def _beginnings(incident: incident_pb2.Incident) -> Iterator[int]:
    """Yield since when the agent was away, each time; the ids of the evidence say so."""
    for name in incident.evidence:
        since = name.rpartition(":")[2]
        if name.startswith("silent:") and since.isascii() and since.isdigit():
            yield int(since)


def _ends(incident: incident_pb2.Incident) -> Iterator[int]:
    """Yield when the agent came back; what an operator said is no return."""
    for entry in incident.timeline:
        if entry.what == "resolved" and not entry.text.startswith(BY_OPERATOR):
            yield entry.wall_ns
    if incident.resolved_ns and not incident.resolution.startswith(BY_OPERATOR):
        yield incident.resolved_ns


def _presence(unit: incident_pb2.Unit, since_ns: int, *, connected: bool) -> Act:
    return lambda engine, now_ns: engine.observe_presence(
        unit.agent_id, unit.host_name, connected=connected, since_ns=since_ns, now_ns=now_ns
    )


def _of_commands(connection: Connection, since_ns: int) -> Iterator[Moment]:
    """Yield commands as they were queued, and the end of those that ended without a report of the agent."""
    unfinished = or_(commands.c.created_ns >= since_ns, commands.c.finished_ns == 0, commands.c.finished_ns >= since_ns)
    for row in connection.execute(select(commands).where(unfinished).order_by(commands.c.created_ns, commands.c.id)):
        target = command_pb2.Command.FromString(row.command).target
        yield Moment(row.created_ns, _command(row.id, row.agent_id, target, _QUEUED, row.action), lasts=True)
        own = row.last_update is None or is_given_up(row.state, row.last_update)
        if own and row.finished_ns and row.state in FINAL_STATES:
            yield Moment(row.finished_ns, _command(row.id, row.agent_id, target, row.state, row.action))


def _command(
    command_id: str,
    agent_id: str,
    target: command_pb2.Target,
    state: command_pb2.CommandState.ValueType,
    action: str,
) -> Act:
    return lambda engine, now_ns: engine.note_command(command_id, agent_id, target, state, now_ns, action)


def _words(connection: Connection) -> Iterator[Moment]:
    after = 0
    while found := words_after(connection, after):
        for word in found:
            after = word.id
            yield Moment(word.said_ns, _word(word))


def _word(word: Word) -> Act:
    return lambda engine, _: obey(engine, word)


def _departures(connection: Connection) -> list[Moment]:
    """Return the hosts that left the fleet, as their agents were revoked."""
    chosen = select(agents.c.agent_id, agents.c.revoked_ns).where(agents.c.revoked_ns > 0)
    return [Moment(row.revoked_ns, _departure(row.agent_id)) for row in connection.execute(chosen)]


def _departure(agent_id: str) -> Act:
    return lambda engine, now_ns: engine.retire_agent(agent_id, now_ns)
