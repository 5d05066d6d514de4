"""From incidents to commands: ask the policy, queue what it proposes, note what it would have proposed."""

import logging
import time
from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, or_, select

from fsmend_collector.audit import audit
from fsmend_collector.commands import OPEN_STATES
from fsmend_collector.diagnose.reading import inventory_of
from fsmend_collector.diagnose.writing import write_recommendation
from fsmend_collector.dispatch import Dispatch
from fsmend_collector.errors import CommandRefused, StoreError
from fsmend_collector.policy import PastCommand, PolicyConfig, ProposedCommand, propose, recommend
from fsmend_collector.store.engine import Store
from fsmend_collector.store.schema import agents, commands
from fsmend_collector.store.views import is_connected
from fsmend_proto.v1 import command_pb2, incident_pb2

log = logging.getLogger(__name__)

OPEN = (incident_pb2.INCIDENT_STATE_OPEN, incident_pb2.INCIDENT_STATE_REPAIRING)


class Ordering:
    """Carry out what the policy says about incidents."""

    def __init__(self, store: Store, dispatch: Dispatch, config: PolicyConfig) -> None:
        self._store = store
        self._dispatch = dispatch
        self._config = config
        self._shadowed: set[tuple[str, str]] = set()
        self._advice: dict[str, str] = {}

    def advise(self, incident: incident_pb2.Incident) -> None:
        """Put into an incident what the policy last said that a person should do."""
        if incident.state in OPEN:
            incident.recommendation = self._advice.get(incident.id, incident.recommendation)
        else:
            self._advice.pop(incident.id, None)

    async def consider(self, incidents: Iterable[incident_pb2.Incident]) -> None:
        """Queue what the policy proposes for the open ones among these incidents."""
        for incident in incidents:
            if incident.state not in OPEN:
                continue
            try:
                advice, proposals = await self._store.read(judge, incident, self._config, time.time_ns())
                for proposed in proposals:
                    await self._order(incident, proposed)
                if advice != self._advice.get(incident.id, incident.recommendation):
                    self._advice[incident.id] = advice
                    await self._store.write(write_recommendation, incident.id, advice)
            except StoreError as error:
                log.warning("no command for incident %s now: %s", incident.id, error)

    async def _order(self, incident: incident_pb2.Incident, proposed: ProposedCommand) -> None:
        action = proposed.command.WhichOneof("action") or ""
        if proposed.shadow:
            if (incident.id, action) not in self._shadowed:
                self._shadowed.add((incident.id, action))
                await self._store.write(note_shadow, incident.id, action, proposed.reason, time.time_ns())
            return
        try:
            command_id = await self._dispatch.create(proposed.command, proposed.agent_id, "policy")
        except CommandRefused as error:
            log.warning("incident %s: the policy's %s was not queued: %s", incident.id, action, error)
        else:
            log.info("incident %s: ordered %s as command %s: %s", incident.id, action, command_id, proposed.reason)


def note_shadow(connection: Connection, incident_id: str, action: str, reason: str, now_ns: int) -> None:
    """Write to the audit what the policy would have ordered."""
    audit(connection, now_ns, "policy", "policy.shadow", "incident", incident_id, f"{action}: {reason}")


def judge(
    connection: Connection, incident: incident_pb2.Incident, config: PolicyConfig, now_ns: int
) -> tuple[str, list[ProposedCommand]]:
    """Ask the policy about one incident, with what the store knows: what a person should do, and what to order."""
    agent_id = incident.unit.agent_id
    past = past_commands(connection, incident.id, agent_id)
    inventory = inventory_of(connection, agent_id)
    advice = recommend(incident, inventory, past, config)
    row = connection.execute(select(agents).where(agents.c.agent_id == agent_id)).first()
    if row is None or not is_connected(row, now_ns):
        # It would only expire; what the incident calls for is ordered when the host is back.
        return advice, []
    return advice, propose(incident, inventory, past, config, now_ns)


def past_commands(connection: Connection, incident_id: str, agent_id: str) -> list[PastCommand]:
    """Return all commands of an incident, and the unfinished ones of its agent."""
    unfinished = (commands.c.agent_id == agent_id) & commands.c.state.in_(OPEN_STATES)
    chosen = select(commands).where(or_(commands.c.incident_id == incident_id, unfinished))
    return [_past(row) for row in connection.execute(chosen)]


def _past(row: Any) -> PastCommand:
    last = command_pb2.CommandUpdate.FromString(row.last_update or b"")
    return PastCommand(
        command_id=row.id,
        incident_id=row.incident_id,
        agent_id=row.agent_id,
        filesystem_uuid=row.filesystem_uuid,
        action=row.action,
        state=row.state,
        ordered_ns=row.created_ns,
        refusal=last.refusal,
        verdict=last.result.verdict,
    )
