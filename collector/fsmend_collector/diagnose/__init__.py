"""The bridge between the store and the pure diagnosis.

It follows the committed records by id, in batches, hands them to the engine in a reader's thread, and writes the
changed incidents together with the id through which it has read. After a restart it goes on from there with the same
incidents.
"""

import asyncio
import logging
import time

from fsmend_collector.config import Config
from fsmend_collector.diagnose.following import TICK_SECONDS, Following
from fsmend_collector.diagnose.ordering import Ordering
from fsmend_collector.diagnose.rebuilding import rebuild
from fsmend_collector.diagnose.writing import write_conclusions
from fsmend_collector.diagnosis.groups import Population
from fsmend_collector.diagnosis.groups.dimensions import FLEET_VALUE
from fsmend_collector.dispatch import Dispatch
from fsmend_collector.errors import StoreError
from fsmend_collector.feed import Feed
from fsmend_collector.fleet import Presence
from fsmend_collector.store.engine import Store
from fsmend_collector.waiting import Backlog

log = logging.getLogger(__name__)

POLICY_SECONDS = 15.0
RETRY_SECONDS = 2.0
# The position alone is not worth a transaction a batch: what it repeats after a crash was no evidence.
POSITION_SECONDS = 10.0
MANY_ROWS = 2_000
YIELD_FACTOR = 4


class Diagnose:
    """Feed the engine, write what it concludes, and let the policy order repairs."""

    def __init__(self, store: Store, feed: Feed, dispatch: Dispatch, presence: Presence, config: Config) -> None:
        self._store = store
        self._feed = feed
        self._presence = presence
        self._following = Following(config.diagnosis, config.groups)
        self._ordering = Ordering(store, dispatch, config.policy, self._hosts)
        self._written_seconds = 0.0
        self._policy_seconds = 0.0
        self._written_through = 0

    @property
    def diagnosed_through(self) -> int:
        """Return the id through which the engine has read."""
        return self._following.cursor

    @property
    def population(self) -> Population:
        """Return what the group scan counts with; it changes while it is read."""
        return self._following.census.population

    def _hosts(self) -> int:
        sizes = self.population.sizes.get(("fleet", FLEET_VALUE))
        return sizes[2] if sizes else 0

    async def restore(self) -> None:
        """Go on where the last process stopped: its incidents, and what the soft-error rates remember."""
        await self._store.read(rebuild, self._following, time.time_ns())
        self._written_through = self._following.cursor

    @property
    def backlog(self) -> Backlog:
        """Return how far the policy is behind."""
        return self._ordering.backlog()

    async def order(self) -> None:
        """Let the policy order repairs, for ever; beside `run`."""
        await self._ordering.run()

    async def run(self) -> None:
        """Follow the store for ever."""
        topics = self._feed.follow("records", "commands", "presence", "words", at_least_every_seconds=TICK_SECONDS)
        async for _ in topics:
            try:
                await self._step()
            except StoreError as error:
                log.warning("diagnosis waits: %s", error)
                await asyncio.sleep(RETRY_SECONDS)

    async def _step(self) -> None:
        """Take everything that is new."""
        while True:
            begun, newest = time.monotonic(), self._feed.last_record_id
            connected = frozenset(self._presence.connected_ids())
            more = await self._store.read(self._following.take, connected, time.time_ns())
            await self._write()
            if not more:
                break
            # Agents' spools must drain first: in a storm diagnosis takes a fifth of the interpreter, and catches up.
            busy = self._store.writer.state.queued > 0 or self._feed.last_record_id > newest
            await asyncio.sleep(YIELD_FACTOR * (time.monotonic() - begun) if busy else 0)
        if time.monotonic() - self._policy_seconds >= POLICY_SECONDS and self._ordering.wants_round:
            self._policy_seconds = time.monotonic()
            # In a thread: of tens of thousands of incidents it takes seconds, and the loop serves the agents.
            found = await asyncio.to_thread(self._following.engine.incidents)
            self._ordering.begin_round(found)

    async def _write(self) -> None:
        """Write what changed; what could not be written stays pending."""
        pending = self._following.pending
        changed = bool(pending.latest) or pending.rows >= MANY_ROWS
        moved = pending.through > self._written_through or pending.rows > 0
        if not changed and not (moved and time.monotonic() - self._written_seconds >= POSITION_SECONDS):
            return
        for incident in pending.latest.values():
            self._ordering.advise(incident)
        await self._store.write(write_conclusions, pending)
        self._following.written()
        self._written_seconds, self._written_through = time.monotonic(), pending.through
        if pending.latest:
            self._feed.changed("incidents")
            self._ordering.offer(pending.latest.values())
