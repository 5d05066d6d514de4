"""Between the sources and the spool: fold storms, bound what waits, write in groups.

Everything an agent must not lose passes here once on its way to the spool. The queue is bounded; what does not fit
becomes a Gap record with exact counts by kind, written as soon as there is room again.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from fsmend_agent.coalesce import Coalescer
from fsmend_agent.errors import SpoolError
from fsmend_agent.event import Clock
from fsmend_proto.v1 import command_pb2, event_pb2, inventory_pb2, record_pb2

log = logging.getLogger(__name__)

MAX_WAITING_RECORDS = 8192
BATCH_RECORDS = 512
RETRY_SECONDS = 1.0


class RecordLog(Protocol):
    """What the outbox needs of a spool."""

    def append(self, records: Sequence[record_pb2.Record]) -> range:
        """Write the records durably; raise SpoolError when that cannot be done now."""


class Outbox:
    """The bounded queue in front of the spool. Every method but `run` is to be called on the event loop's thread.

    Args:
        spool: where records go; `append` is called from one thread of the outbox's own.
        coalescer: folds repeats of one finding.
        clock: stamps the Gap records.
        written: called on the loop after records became readable.
        max_waiting: records that may wait for the disk.
    """

    def __init__(
        self,
        spool: RecordLog,
        coalescer: Coalescer,
        clock: Clock,
        written: Callable[[], None],
        max_waiting: int = MAX_WAITING_RECORDS,
    ) -> None:
        self._spool = spool
        self._coalescer = coalescer
        self._clock = clock
        self._written = written
        self._max_waiting = max_waiting
        self._waiting: list[record_pb2.Record] = []
        self._promised: dict[int, asyncio.Future[None]] = {}  # by id() of a record that waits
        self._overflowed: Counter[str] = Counter()
        self._overflow_began: event_pb2.Clocks | None = None
        self._wake = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, "spool")
        self.writing_since: float | None = None

    def emit(self, event: event_pb2.Event) -> None:
        """Take an event: its first occurrence is written at once, repeats are counted."""
        for due in self._coalescer.add(event, asyncio.get_running_loop().time()):
            self._put_event(due)
        self._wake.set()

    def gap(self, gap: record_pb2.Gap) -> None:
        """Take the notice of a loss."""
        self._put(record_pb2.Record(gap=gap))

    def inventory(self, inventory: inventory_pb2.Inventory) -> None:
        """Take an inventory."""
        self._put(record_pb2.Record(inventory=inventory))

    def command_update(self, update: command_pb2.CommandUpdate) -> "asyncio.Future[None]":
        """Take one step in the life of a command. Never dropped: executor and journal bound their number.

        Returns:
            what is done as soon as the spool holds the update, and cancelled when the agent ends before that or the
            spool could only count it as lost.
        """
        record = record_pb2.Record(command_update=update)
        kept = self._promised[id(record)] = asyncio.get_running_loop().create_future()
        self._put(record)
        return kept

    async def run(self) -> None:
        """Write what comes until cancelled; then flush what was folded and write the rest."""
        try:
            while True:
                await self._sleep()
                for event in self._coalescer.due(asyncio.get_running_loop().time()):
                    self._put_event(event)
                await self._write()
        finally:
            for event in self._coalescer.flush():
                self._put_event(event)
            self._write_last()
            for kept in self._promised.values():
                kept.cancel()
            self._thread.shutdown()

    async def _sleep(self) -> None:
        """Wait for something to write or for the end of a coalescing window."""
        if self._waiting or self._overflowed:
            return
        loop = asyncio.get_running_loop()
        due = self._coalescer.next_due()
        timer = None if due is None else loop.call_at(due, self._wake.set)
        try:
            await self._wake.wait()
        finally:
            self._wake.clear()
            if timer is not None:
                timer.cancel()

    def _put_event(self, event: event_pb2.Event) -> None:
        if len(self._waiting) < self._max_waiting:
            self._put(record_pb2.Record(event=event))
            return
        if self._overflow_began is None:
            self._overflow_began = event.clocks
        self._overflowed[event_pb2.EventKind.Name(event.kind)] += event.count

    def _put(self, record: record_pb2.Record) -> None:
        self._waiting.append(record)
        self._wake.set()

    def _take(self) -> list[record_pb2.Record]:
        batch, self._waiting = self._waiting[:BATCH_RECORDS], self._waiting[BATCH_RECORDS:]
        if self._overflowed and len(self._waiting) < self._max_waiting:
            batch.append(record_pb2.Record(gap=self._overflow_gap()))
        return batch

    def _overflow_gap(self) -> record_pb2.Gap:
        gap = record_pb2.Gap(
            reason=record_pb2.GAP_REASON_QUEUE_FULL,
            clocks=self._overflow_began or self._clock.now(),
            lost=self._overflowed.total(),
            lost_is_exact=True,
            lost_by_kind=dict(self._overflowed),
            message="the disk under the spool was slower than the events came",
        )
        self._overflowed.clear()
        self._overflow_began = None
        return gap

    async def _write(self) -> None:
        """Append one batch; while the spool refuses, keep the batch and try again."""
        batch = self._take()
        if not batch:
            return
        self.writing_since = asyncio.get_running_loop().time()
        writing = self._thread.submit(self._spool.append, batch)
        try:
            written = await asyncio.wrap_future(writing)
        except asyncio.CancelledError:
            if (
                writing.cancelled() or writing.exception()
            ):  # waits for the thread: a batch is written or kept, never lost
                self._waiting[:0] = batch
            else:
                self._keep_promises(batch, writing.result())
            raise
        except (SpoolError, OSError) as error:
            log.warning("the spool does not take records now: %s", error)
            self._waiting[:0] = batch
            await asyncio.sleep(RETRY_SECONDS)
            return
        finally:
            self.writing_since = None
        self._keep_promises(batch, written)
        self._written()

    def _keep_promises(self, batch: list[record_pb2.Record], written: range) -> None:
        """Tell those who wait for a record of this batch that it is in the spool, or that it is nowhere."""
        if self._promised:
            for record in batch:
                kept = self._promised.pop(id(record), None)
                if kept is not None and not kept.done():
                    if written:
                        kept.set_result(None)
                    else:
                        kept.cancel()

    def _write_last(self) -> None:
        """Write what is left when the agent stops. Nobody waits any longer, so a refusal is only logged."""
        while batch := self._take():
            try:
                self._keep_promises(batch, self._thread.submit(self._spool.append, batch).result())
            except (SpoolError, OSError) as error:
                log.error("%d records could not be written at the end: %s", len(batch) + len(self._waiting), error)  # noqa: TRY400
                return
