"""Carry out the calendar of background scrubs: read who could, ask the pure part, order and cancel."""

import asyncio
import logging
import time

from sqlalchemy import Connection, select

from fsmend_collector.audit import audit
from fsmend_collector.background import ORDERED_BY, CalendarConfig, PastScrub, due, overdue
from fsmend_collector.diagnose.surveying import Survey
from fsmend_collector.dispatch import Dispatch
from fsmend_collector.errors import CommandRefused
from fsmend_collector.fleet import Presence
from fsmend_collector.store import queries
from fsmend_collector.store.engine import Store
from fsmend_collector.store.schema import audit as audit_table

log = logging.getLogger(__name__)

PUT_OFF_SECONDS = 3_600.0
SET_ASIDE, SCHEDULED = "check.set_aside", "scheduled"
_WHY = (
    "its background check ended with the host each time, at the same place; it waits for its interval now. Look at the "
    "host's kernel log, and check the filesystem offline"
)


class Background:
    """The calendar over the store. Without rules it reads nothing."""

    def __init__(self, store: Store, dispatch: Dispatch, presence: Presence, config: CalendarConfig) -> None:
        self._store = store
        self._dispatch = dispatch
        self._presence = presence
        self._config = config
        self._survey = Survey()
        self._told: set[str] = set()
        self._put_off: dict[tuple[str, str], float] = {}

    async def look(self) -> None:
        """Order what is due, and cancel what runs past its window.

        Raises:
            StoreError: the store does not answer; the next look comes all the same.
        """
        if not self._config.rules:
            return
        connected = frozenset(self._presence.connected_ids())
        candidates, past, busy = await self._store.read(self._survey.read, connected)
        now_ns = time.time_ns()
        await self._tell_fatal(past, now_ns)
        for command_id in overdue(candidates, past, self._config, now_ns):
            await self._cancel(command_id)
        if await self._store.read(queries.repairs_are_stopped):
            return  # a person is to look first
        seconds = time.monotonic()
        self._put_off = {key: until for key, until in self._put_off.items() if until > seconds}
        busy |= self._put_off.keys()
        # A large fleet takes a while: the loop must not wait for it.
        for order in await asyncio.to_thread(due, candidates, past, busy, self._config, now_ns):
            try:
                await self._dispatch.create(order.command, order.agent_id, ORDERED_BY)
            except CommandRefused as error:
                # It would be chosen again at every look, and hold its place of the share against all others.
                self._put_off[order.agent_id, order.command.target.filesystem_uuid] = seconds + PUT_OFF_SECONDS
                log.warning("the calendar's command for agent %s was not queued: %s", order.agent_id, error)

    async def _tell_fatal(self, past: list[PastScrub], now_ns: int) -> None:
        """Tell a person, once, of what ends its host again and again: it is not asked for so soon again."""
        fatal = [one for one in past if one.is_fatal and one.command_id not in self._told]
        for one in fatal:
            if await self._store.write(write_set_aside, one, now_ns):
                agent_id, filesystem_uuid = one.key
                log.error("%s: filesystem %s of agent %s: %s", one.command_id, filesystem_uuid, agent_id, _WHY)
            self._told.add(one.command_id)

    async def _cancel(self, command_id: str) -> None:
        """Stop a command whose window has closed; it may have ended meanwhile."""
        try:
            await self._dispatch.cancel(command_id, "its window has closed", ORDERED_BY)
        except CommandRefused as error:
            log.info("the calendar's command %s was not cancelled: %s", command_id, error)


def write_set_aside(connection: Connection, past: PastScrub, now_ns: int) -> bool:
    """Note in the audit that a check waits for its interval because of what it does; say whether that is new."""
    known = select(audit_table.c.at_ns).where(
        audit_table.c.object_kind == SCHEDULED,
        audit_table.c.object_id == past.command_id,
        audit_table.c.action == SET_ASIDE,
    )
    if connection.execute(known.limit(1)).first() is not None:
        return False
    audit(connection, now_ns, ORDERED_BY, SET_ASIDE, SCHEDULED, past.command_id, f"filesystem {past.key[1]}: {_WHY}")
    return True
