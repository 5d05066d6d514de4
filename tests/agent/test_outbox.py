import asyncio
import threading
from contextlib import asynccontextmanager

import pytest

from fsmend_agent.coalesce import Coalescer
from fsmend_agent.errors import SpoolError
from fsmend_agent.event import Clock, new_event
from fsmend_agent.outbox import Outbox
from fsmend_proto.v1 import command_pb2, event_pb2, record_pb2


class Log:
    """A spool that remembers, and that can be made to refuse or to hang."""

    def __init__(self):
        self.records, self.refuse = [], False
        self.open = threading.Event()
        self.open.set()

    def append(self, records):
        self.open.wait(10)
        if self.refuse:
            raise SpoolError("no disk takes it")
        first = len(self.records)
        self.records += records
        return range(first, len(self.records))


@asynccontextmanager
async def running(log, **options):
    written = asyncio.Event()
    outbox = Outbox(log, Coalescer(0.05), Clock("boot"), written.set, **options)
    task = asyncio.create_task(outbox.run())
    try:
        yield outbox, written
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def event(signature="one", kind=event_pb2.EVENT_KIND_FS_ERROR):
    clocks = event_pb2.Clocks(wall_ns=1, boot_ns=1)
    return new_event("test", kind, event_pb2.SEVERITY_ERROR, clocks, message=signature, signature=signature)


def occurrences(records):
    lost = sum(record.gap.lost for record in records if record.WhichOneof("body") == "gap")
    return lost + sum(record.event.count for record in records)


async def test_first_event_is_written_at_once():
    log = Log()
    async with running(log) as (outbox, written):
        outbox.emit(event())
        await asyncio.wait_for(written.wait(), 5)
        assert [record.event.message for record in log.records] == ["one"]


async def test_repeats_are_written_with_their_exact_count_when_the_window_ends():
    log = Log()
    async with running(log) as (outbox, written):
        for _ in range(1000):
            outbox.emit(event())
        while occurrences(log.records) < 1000:
            written.clear()
            await asyncio.wait_for(written.wait(), 5)
        assert len(log.records) <= 3


async def test_records_that_wait_longer_than_the_queue_is_deep_become_a_gap_with_exact_counts():
    log = Log()
    log.open.clear()
    async with running(log, max_waiting=10) as (outbox, _):
        for number in range(100):
            outbox.emit(event(f"signature {number}"))
            await asyncio.sleep(0)
        log.open.set()
    gaps = [record.gap for record in log.records if record.WhichOneof("body") == "gap"]
    assert gaps
    assert all(gap.reason == record_pb2.GAP_REASON_QUEUE_FULL and gap.lost_is_exact for gap in gaps)
    assert occurrences(log.records) == 100
    assert sum(gap.lost_by_kind["EVENT_KIND_FS_ERROR"] for gap in gaps) == sum(gap.lost for gap in gaps)


async def test_command_updates_pass_a_full_queue():
    log = Log()
    log.open.clear()
    async with running(log, max_waiting=2) as (outbox, _):
        for number in range(20):
            outbox.emit(event(f"signature {number}"))
        outbox.command_update(command_pb2.CommandUpdate(command_id="c"))
        await asyncio.sleep(0)
        log.open.set()
    assert [r.command_update.command_id for r in log.records if r.WhichOneof("body") == "command_update"] == ["c"]


async def test_batch_that_the_spool_refused_is_written_when_it_takes_records_again(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("fsmend_agent.outbox.RETRY_SECONDS", 0.01)
    log = Log()
    log.refuse = True
    async with running(log) as (outbox, written):
        outbox.emit(event())
        await asyncio.sleep(0.05)
        assert not log.records
        log.refuse = False
        await asyncio.wait_for(written.wait(), 5)
        assert occurrences(log.records) == 1


async def test_batch_on_its_way_to_the_disk_when_the_agent_stops_is_written_once():
    log = Log()
    log.open.clear()
    async with running(log) as (outbox, _):
        outbox.emit(event())
        await asyncio.sleep(0.02)
        threading.Timer(0.05, log.open.set).start()
    assert occurrences(log.records) == 1


async def test_what_is_folded_or_waiting_is_written_when_the_agent_stops():
    log = Log()
    async with running(log) as (outbox, _):
        for _ in range(5):
            outbox.emit(event())
        await asyncio.sleep(0)
    assert occurrences(log.records) == 5


async def test_an_update_is_kept_only_when_the_spool_has_it():
    log = Log()
    log.open.clear()
    async with running(log) as (outbox, _):
        kept = outbox.command_update(command_pb2.CommandUpdate(command_id="c1"))
        await asyncio.sleep(0.05)
        assert not kept.done()
        log.open.set()
        await asyncio.wait_for(kept, 5)
        assert [record.command_update.command_id for record in log.records] == ["c1"]


async def test_an_update_that_the_spool_never_took_is_not_kept():
    log = Log()
    log.refuse = True
    async with running(log) as (outbox, _):
        kept = outbox.command_update(command_pb2.CommandUpdate(command_id="c1"))
        await asyncio.sleep(0.05)
    assert kept.cancelled()


async def test_an_update_that_is_written_at_the_very_end_is_kept():
    log = Log()
    async with running(log) as (outbox, _):
        await asyncio.sleep(0)
        kept = outbox.command_update(command_pb2.CommandUpdate(command_id="c1"))
    assert kept.done()
    assert not kept.cancelled()


async def test_an_update_that_the_spool_counted_as_lost_is_not_kept():
    log = Log()
    log.append = lambda _records: range(0)  # neither disk nor memory took them
    async with running(log) as (outbox, _):
        kept = outbox.command_update(command_pb2.CommandUpdate(command_id="c1"))
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(kept, 5)


async def test_a_disk_error_that_the_spool_lets_through_ends_nothing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("fsmend_agent.outbox.RETRY_SECONDS", 0.01)
    log, failures = Log(), [OSError(5, "Input/output error")]
    take = log.append

    def append(records):
        if failures:
            raise failures.pop()
        return take(records)

    log.append = append
    async with running(log) as (outbox, written):
        outbox.emit(event())
        await asyncio.wait_for(written.wait(), 5)
    assert occurrences(log.records) == 1
