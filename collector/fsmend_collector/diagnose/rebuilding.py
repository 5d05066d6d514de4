"""Rebuilding: the engine's state from the store after a restart.

The population comes from the rows of the census, the group scan from its sightings, the soft-error rates from the
events of their window that are no incident's evidence; incidents come from themselves.
"""

import logging
import time

from sqlalchemy import Connection

from fsmend_collector.ask.words import WORDS_THROUGH
from fsmend_collector.commands import is_given_up
from fsmend_collector.diagnose.following import Following
from fsmend_collector.diagnose.keeping import stored_rates, stored_sightings, stored_views
from fsmend_collector.diagnose.reading import Learnt, inventories, uncounted_events
from fsmend_collector.diagnose.writing import DIAGNOSED_THROUGH, stored_incidents
from fsmend_collector.diagnosis import IncidentChange
from fsmend_collector.diagnosis.codes import CLASS_OF_KIND
from fsmend_collector.diagnosis.groups.learnt import rates_from_text
from fsmend_collector.fleet import known_agents
from fsmend_collector.store import queries
from fsmend_proto.v1 import command_pb2, incident_pb2

log = logging.getLogger(__name__)

MAX_EVENTS_REMEMBERED = 200_000
SECOND_NS = 1_000_000_000
_SILENT = "AGENT_SILENT"


def rebuild(connection: Connection, following: Following, now_ns: int) -> None:
    """Go on where the last process stopped: with its incidents, its population and what it has learnt."""
    began = time.monotonic()
    engine = following.engine
    following.cursor = following.pending.through = queries.meta_number(connection, DIAGNOSED_THROUGH)
    following.pending.words_through = queries.meta_number(connection, WORDS_THROUGH)
    following.moved.start(connection, now_ns)
    hosts = following.census.load(connection, following.cursor)
    incidents = stored_incidents(connection)
    engine.restore(incidents, now_ns)
    rates_from_text(stored_rates(connection), engine.scan.rates)
    following.take_changes(connection, now_ns)
    failing = _rebuild_scan(connection, following)
    changes = engine.resume(now_ns)
    changes += _acquaint_again(connection, following, now_ns)
    changes += _recount(connection, following, now_ns)
    changes += _note_given_up(connection, following, incidents, now_ns)
    changes += _take_presence(connection, following, incidents, now_ns)
    following.pending.add(changes)
    following.put_together(now_ns)
    took = time.monotonic() - began
    log.info("diagnosis goes on: %d hosts, %d incidents, %d sightings, %.1f s", hosts, len(incidents), failing, took)


def _acquaint_again(connection: Connection, following: Following, now_ns: int) -> list[IncidentChange]:
    """Acquaint the engine, and write only what is news: most inventories are as they were."""
    changes = acquaint(connection, following, now_ns)
    journal = following.pending.journal
    for view in stored_views(connection) if journal.views else ():
        if journal.views.get(view.agent_id) == view:
            del journal.views[view.agent_id]
    return changes


def acquaint(connection: Connection, following: Following, now_ns: int) -> list[IncidentChange]:
    """Give the engine the inventories of hosts with incidents: which device carries which filesystem."""
    names = sorted({one.unit.agent_id for one in following.engine.units.incidents()})
    changes: list[IncidentChange] = []
    for agent_id, inventory in inventories(connection, names):
        changes += following.engine.observe_inventory(agent_id, inventory, now_ns)
    return changes


def _rebuild_scan(connection: Connection, following: Following) -> int:
    """Give the scan its findings; return how many."""
    scan, found = following.engine.scan, 0
    kept, scan.journal = scan.journal, None  # what comes from the store need not go there
    for view in stored_views(connection):
        following.engine.learn_view(view)
    for one in stored_sightings(connection):
        scan.sight(one.key, one.time_ns, one.evidence, one.signature)
        found += 1
    scan.journal = kept
    return found


def _recount(connection: Connection, following: Following, now_ns: int) -> list[IncidentChange]:
    """Count again what no incident has as evidence: what the soft-error rates remember, and what waited to be told."""
    config = following.config
    seconds = max([config.lateness_seconds, *(rule.long_seconds for rule in config.rules.values())])
    since_ns = now_ns - seconds * SECOND_NS
    rows = uncounted_events(connection, CLASS_OF_KIND, since_ns, following.cursor, MAX_EVENTS_REMEMBERED)
    return following.observe(connection, [Learnt(row.id, "event", row) for row in rows])


def _note_given_up(
    connection: Connection, following: Following, incidents: list[incident_pb2.Incident], now_ns: int
) -> list[IncidentChange]:
    """Say of the repairs that go on which the collector gave up after diagnosis had last read."""
    repairing = (one for one in incidents if one.state == incident_pb2.INCIDENT_STATE_REPAIRING)
    names = {entry.command_id for one in repairing for entry in one.timeline if entry.what == "repairing"}
    changes: list[IncidentChange] = []
    for row in filter(None, (queries.command(connection, name) for name in sorted(names))):
        if is_given_up(row.state, row.last_update):
            target = command_pb2.Command.FromString(row.command).target
            changes += following.engine.note_command(row.id, row.agent_id, target, row.state, now_ns, row.action)
    return changes


def _take_presence(
    connection: Connection, following: Following, incidents: list[incident_pb2.Incident], now_ns: int
) -> list[IncidentChange]:
    """Say of every agent that it is away: since now, or since when an open incident says so."""
    silent = {one.unit.agent_id: _away_since(one) for one in incidents if one.code == _SILENT and not one.resolved_ns}
    changes: list[IncidentChange] = []
    for agent in known_agents(connection):
        since_ns = silent.get(agent.agent_id, now_ns)
        changes += following.engine.observe_presence(
            agent.agent_id, agent.host_name, connected=False, since_ns=since_ns, now_ns=now_ns
        )
    return changes


def _away_since(incident: incident_pb2.Incident) -> int:
    """Return since when the agent of an open incident is away: the id of its latest evidence says so."""
    named = [one.rpartition(":")[2] for one in incident.evidence]
    return max((int(one) for one in named if one.isascii() and one.isdigit()), default=incident.onset_ns)
