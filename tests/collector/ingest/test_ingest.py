"""From batches to rows: what is in flight is bounded, and every time is of the right clock."""

import asyncio
import threading
import time

import pytest
from collector.rig import batch, event_record
from sqlalchemy import insert, select

from fsmend_collector import ingest as module
from fsmend_collector.commands import ACCEPTED, CANCELLED, SENT
from fsmend_collector.feed import Feed
from fsmend_collector.ingest import Ingest
from fsmend_collector.sessions import open_session
from fsmend_collector.store import counters
from fsmend_collector.store.health_reads import SourceStates, read_health_facts
from fsmend_collector.store.schema import agents, commands, devices, events, gaps, hosts
from fsmend_proto.v1 import command_pb2, inventory_pb2, link_pb2, record_pb2

YEAR_NS = 365 * 86_400 * 10**9


class Host:
    """One agent that reports, and what of it is in the store."""

    def __init__(self, store):
        self.store, self.ingest, self.next = store, Ingest(store, Feed()), 1
        self.number = 0

    async def begin(self):
        await self.store.write(lambda connection: connection.execute(insert(agents).values(agent_id="a")) and None)
        hello = link_pb2.Hello(epoch="e", next_sequence=1, protocol_version=1)
        self.number = (await self.store.write(open_session, "a", hello, "s", time.time_ns())).agent
        return self

    async def submit(self, *records):
        """Submit one batch; return what its commit resolves."""
        first, self.next = self.next, self.next + len(records)
        return (await self.ingest.submit(self.number, "a", batch("e", first, *records)))[1]

    async def report(self, **body):
        await (await self.submit(record_pb2.Record(sequence=self.next, **body).SerializeToString()))

    async def row(self, table):
        return await self.store.read(lambda connection: connection.execute(select(table)).first())


@pytest.fixture
async def host(store):
    return await Host(store).begin()


async def test_many_empty_records_are_in_flight_as_what_they_take_in_memory_and_hold_the_next_batch_back(
    host, monkeypatch
):
    monkeypatch.setattr(module, "MAX_BYTES_IN_FLIGHT", 1 << 20)
    go_on = threading.Event()
    held = asyncio.ensure_future(host.store.write(lambda _: go_on.wait(10) and None))
    await asyncio.sleep(0)
    first = await host.submit(*[b""] * 2_000)
    second = asyncio.ensure_future(host.submit(event_record(2_001)))
    done, _ = await asyncio.wait([second], timeout=0.1)
    go_on.set()
    assert not done
    await held
    assert (await first).events == 2_000
    assert (await (await second)).events == 1


async def test_commands_and_inventories_have_the_present_time_after_the_clock_was_ahead(host):
    command = {"id": "c", "agent_id": "a", "action_class": 1, "state": SENT, "command": b""}
    await host.store.write(lambda connection: connection.execute(insert(commands).values(command)) and None)
    ahead_ns = time.time_ns() + YEAR_NS
    await host.store.write(lambda connection: counters.write(connection, counters.Position(1, ahead_ns)))
    before_ns = time.time_ns()
    await host.report(command_update=command_pb2.CommandUpdate(command_id="c", state=ACCEPTED))
    assert before_ns <= (await host.row(commands)).updated_ns <= time.time_ns()
    await host.report(command_update=command_pb2.CommandUpdate(command_id="c", state=CANCELLED))
    assert before_ns <= (await host.row(commands)).finished_ns <= time.time_ns()
    disk = inventory_pb2.Device()
    disk.ref.id = "d"
    await host.report(inventory=inventory_pb2.Inventory(host=inventory_pb2.Host(name="h"), devices=[disk]))
    await (await host.submit(event_record(host.next)))
    now_ns = time.time_ns()
    for table, column in ((hosts, "seen_ns"), (devices, "first_seen_ns"), (agents, "last_seen_ns")):
        assert before_ns <= getattr(await host.row(table), column) <= now_ns
    # Records keep the order: nothing is received before what was received earlier.
    assert (await host.row(events)).received_ns >= ahead_ns


async def test_losses_that_no_number_holds_together_do_not_hide_the_fleets_health(host):
    gap = record_pb2.Gap(reason=record_pb2.GAP_REASON_KERNEL_OVERFLOW, lost=(1 << 64) - 1)
    await host.report(gap=gap)
    await host.report(gap=gap)
    facts = await host.store.read(read_health_facts, SourceStates(), time.time_ns())
    assert [one.gaps for one in facts.gaps] == [2]
    assert facts.gaps[0].lost >= (1 << 63) - 1
    assert (await host.row(gaps)).lost == (1 << 63) - 1
