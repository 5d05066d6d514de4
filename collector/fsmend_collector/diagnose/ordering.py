"""From incidents to commands: ask the policy, queue what it proposes, note what it would have proposed."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Collection, Iterable
from typing import Any

from sqlalchemy import Connection, or_, select

from fsmend_collector.audit import audit
from fsmend_collector.brakes import Storm, is_braked, within_share
from fsmend_collector.commands import OPEN_STATES
from fsmend_collector.diagnose.braking import (
    ORDERED_BY,
    held_commands,
    read_brakes,
    stop_repairs,
    stopped_commands,
    storm_now,
)
from fsmend_collector.diagnose.isolating import Isolation, write_isolated
from fsmend_collector.diagnose.reading import inventory_of
from fsmend_collector.diagnose.writing import write_recommendation
from fsmend_collector.dispatch import Dispatch
from fsmend_collector.errors import CommandRefused, StoreError
from fsmend_collector.policy import PastCommand, PolicyConfig, ProposedCommand, propose, recommend
from fsmend_collector.store.engine import Store
from fsmend_collector.store.schema import agents, commands, incidents
from fsmend_collector.store.views import is_connected
from fsmend_collector.waiting import OPEN, Backlog, Waiting, calls, worst_first
from fsmend_proto.v1 import command_pb2, incident_pb2

log = logging.getLogger(__name__)

RETRY_SECONDS = 2.0


class Ordering:
    """Carry out what the policy says about incidents, beside diagnosis: a storm of orders must not delay the scan."""

    def __init__(self, store: Store, dispatch: Dispatch, config: PolicyConfig, hosts: Callable[[], int]) -> None:
        self._store = store
        self._dispatch = dispatch
        self._config = config
        self._hosts = hosts
        self._one_at_a_time = asyncio.Lock()
        self._waits = False
        self._waiting = Waiting()
        self._wake = asyncio.Event()
        self._isolation = Isolation()
        self._shadowed: set[tuple[str, str]] = set()
        self._advice: dict[str, str] = {}

    def advise(self, incident: incident_pb2.Incident) -> None:
        """Put into an incident what the policy last said that a person should do."""
        if incident.state in OPEN:
            incident.recommendation = self._advice.get(incident.id, incident.recommendation)
        else:
            self._advice.pop(incident.id, None)

    @property
    def wants_round(self) -> bool:
        """Say whether the last round over everything that is open is over."""
        return self._waiting.wants_round

    def backlog(self) -> Backlog:
        """Say how far the policy is behind."""
        return self._waiting.backlog(time.monotonic())

    def offer(self, changed: Iterable[incident_pb2.Incident]) -> None:
        """Have the policy look at incidents that changed, soon."""
        self._waiting.add(changed, time.monotonic())
        self._wake.set()

    def begin_round(self, everything: Collection[incident_pb2.Incident]) -> None:
        """Have it look at everything that is open; what that calls for changes with time alone."""
        self._waiting.begin_round(everything)
        known = {one.id for one in everything if one.state in OPEN}
        self._advice = {name: advice for name, advice in self._advice.items() if name in known}
        self._shadowed = {one for one in self._shadowed if one[0] in known}
        self._wake.set()

    async def run(self) -> None:
        """Look at what waits, for ever."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            await self._look()

    async def _look(self) -> None:
        """Look at all that waits, and once when nothing does: what is over may have commands to take back."""
        batch = None
        while batch != []:
            begun, batch = time.monotonic(), self._waiting.take()
            if await self.consider(batch):
                # In a storm ingest and diagnosis come first: half the time at most is for orders.
                await asyncio.sleep(time.monotonic() - begun)
            else:
                self._waiting.put_back(batch, begun)
                self._wake.set()
                await asyncio.sleep(RETRY_SECONDS)

    async def consider(self, incidents: Iterable[incident_pb2.Incident]) -> bool:
        """Queue what the policy proposes for the open ones among these incidents, the worst first.

        Returns:
            false when the store does not answer: nothing was looked at.
        """
        async with self._one_at_a_time:
            try:
                await self._tell_faults()
                await self._brake()
                await self._withdraw()
            except StoreError as error:
                log.warning("no commands now: %s", error)
                return False
            for incident in worst_first(one for one in incidents if calls(one)):
                await self._consider_apart(incident)
            return True

    async def _consider_apart(self, incident: incident_pb2.Incident) -> None:
        """Consider one; what it breaks must not keep the others from being repaired."""
        try:
            await self._consider_one(incident)
        except StoreError as error:
            log.warning("no command for incident %s now: %s", incident.id, error)
        except Exception as error:  # supervisor: it is isolated and shown  # noqa: BLE001
            self._isolation.note(f"policy for {incident.id}", error, time.time_ns())
            # What cannot be written now is written with the next batch.
            with contextlib.suppress(StoreError):
                await self._tell_faults()

    async def _tell_faults(self) -> None:
        if found := self._isolation.unwritten[:]:
            await self._store.write(write_isolated, found)
            del self._isolation.unwritten[: len(found)]

    async def _consider_one(self, incident: incident_pb2.Incident) -> None:
        advice, proposals = await self._store.read(judge, incident, self._config, time.time_ns())
        if any(is_braked(one.command.action_class) for one in proposals):
            # One order after the other, each with a fresh look: so the share is never exceeded.
            brakes = await self._store.read(read_brakes, time.time_ns())
            stopped = brakes.stopped or self._waits
            proposals = [one for one in proposals if not (stopped and is_braked(one.command.action_class))]
            proposals = within_share(proposals, brakes.repairing, self._hosts(), self._config)
        for proposed in proposals:
            await self._order(incident, proposed)
        if advice != self._advice.get(incident.id, incident.recommendation):
            self._advice[incident.id] = advice
            await self._store.write(write_recommendation, incident.id, advice)

    async def _brake(self) -> None:
        """Stop automatic repairs when incidents come in a storm."""
        now_ns = time.time_ns()
        storm, count = await self._store.read(storm_now, self._config, now_ns)
        self._waits = storm is Storm.WAIT
        if storm is not Storm.STOP:
            return
        text = (
            f"{count} new incidents within {self._config.storm_seconds} s: automatic repairs are stopped; look at "
            "`fsmend get incidents`; on the collector's host `fsmend-collector repairs release` lets them go on"
        )
        log.error("%s", text)
        await self._store.write(stop_repairs, text, now_ns)

    async def _withdraw(self) -> None:
        """Take back what is not sent while repairs are stopped, and the repairs of what a shared cause has taken in."""
        for command_id in await self._store.read(stopped_commands):
            await self._cancel(command_id, "automatic repairs are stopped")
        for command_id, cause in (await self._store.read(held_commands)).items():
            await self._cancel(command_id, f"the shared cause {cause} holds it")

    async def _cancel(self, command_id: str, reason: str) -> None:
        try:
            await self._dispatch.cancel(command_id, reason, "policy")
        except CommandRefused as error:
            log.info("the policy's command %s was not cancelled: %s", command_id, error)

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
    state = connection.execute(select(incidents.c.state).where(incidents.c.id == incident.id)).scalar()
    if state is not None and state not in OPEN:
        return incident.recommendation, []  # a shared cause has taken it in meanwhile
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
    withdrawn = row.cancel_by == ORDERED_BY and row.state == command_pb2.COMMAND_STATE_CANCELLED
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
        withdrawn_ns=row.cancel_ns if withdrawn else 0,
    )
