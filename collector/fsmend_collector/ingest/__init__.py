"""From a batch of an agent to committed rows, effectively once.

`plan` is pure: it says what a batch holds. `commit` writes rows and watermark in one transaction. `Ingest` joins the
two, keeps what is in flight bounded, and tells the feed what was committed.
"""

import asyncio
import time

from fsmend_collector.feed import Feed
from fsmend_collector.ingest.commit import Committed, Submission, commit_batches
from fsmend_collector.ingest.plan import make_plan
from fsmend_collector.store.engine import Store
from fsmend_proto.v1 import link_pb2

__all__ = ["Committed", "Ingest"]

MAX_BYTES_IN_FLIGHT = 64 << 20
# What a record takes in memory beside its own bytes, roughly: its row, or the event that stands for bytes unknown.
BYTES_A_RECORD = 1 << 10


class Ingest:
    """Take batches of all sessions."""

    def __init__(self, store: Store, feed: Feed) -> None:
        self._store = store
        self._feed = feed
        self._bytes = 0
        self._room = asyncio.Event()
        self._room.set()
        self.events = 0
        self.batches = 0

    async def submit(
        self, agent: int, agent_id: str, batch: link_pb2.RecordBatch
    ) -> tuple[int, asyncio.Future[Committed]]:
        """Decode a batch and queue it; return the last sequence that it accounts for, and what its commit resolves.

        Waits while too many bytes of all agents are on their way to the disk.

        Raises:
            ProtocolError: the batch is not contiguous, or too large.
            WriteFailed: the writer takes no more.
        """
        while self._bytes > MAX_BYTES_IN_FLIGHT:
            await self._room.wait()
        plan = make_plan(batch)
        size = batch.ByteSize() + len(batch.records) * BYTES_A_RECORD
        submission = Submission(agent, agent_id, plan, time.time_ns())
        future = self._store.writer.submit(commit_batches, submission, len(batch.records) + 1)
        self._bytes += size
        if self._bytes > MAX_BYTES_IN_FLIGHT:
            self._room.clear()
        future.add_done_callback(lambda done: self._settled(done, size))
        return plan.through, future

    def _settled(self, done: asyncio.Future[Committed], size: int) -> None:
        self._bytes -= size
        if self._bytes <= MAX_BYTES_IN_FLIGHT:
            self._room.set()
        if done.cancelled() or done.exception() is not None:
            return
        committed = done.result()
        self.batches += 1
        self.events += committed.events
        self._feed.publish_records(committed.last_record_id)
        if committed.commands:
            self._feed.changed("commands")
        if committed.inventory:
            self._feed.changed("inventory")
