"""The stream of an agent, over loopback with mutual TLS."""

import asyncio

import grpc
from collector.rig import batch, event_record, events_batch, eventually, gap_record

from fsmend_collector.errors import WriteFailed
from fsmend_collector.fleet import quarantine
from fsmend_collector.server.admission import CloneWatch
from fsmend_proto.v1 import link_pb2


async def test_records_are_acknowledged_once_they_are_stored(rig):
    agent = await rig.agent()
    stream = await agent.connect()
    assert stream.welcome.durable_through == 0
    assert stream.welcome.window_batches == 8
    await stream.send(events_batch(agent.epoch, 1, 5))
    await stream.acked(5)
    rows = await rig.rows("SELECT sequence, source, record FROM events ORDER BY id")
    assert [row.sequence for row in rows] == [1, 2, 3, 4, 5]
    assert rows[2].record == event_record(3)


async def test_a_batch_sent_twice_is_stored_once(rig):
    agent = await rig.agent()
    stream = await agent.connect()
    for _ in range(3):
        await stream.send(events_batch(agent.epoch, 1, 5))
    await stream.send(events_batch(agent.epoch, 4, 5))
    await stream.acked(8)
    assert (await rig.rows("SELECT count(*) AS n FROM events"))[0].n == 8


async def test_a_reconnect_goes_on_from_the_watermark(rig):
    agent = await rig.agent()
    first = await agent.connect()
    await first.send(events_batch(agent.epoch, 1, 5))
    await first.acked(5)
    first.call.cancel()
    second = await agent.connect()
    assert second.welcome.durable_through == 5
    await second.send(events_batch(agent.epoch, 6, 1))
    await second.acked(6)


async def test_a_batch_past_a_hole_ends_the_stream_and_stores_nothing_of_it(rig):
    agent = await rig.agent()
    stream = await agent.connect()
    await stream.send(events_batch(agent.epoch, 1, 2))
    await stream.send(events_batch(agent.epoch, 4, 2))
    code, details = await stream.status()
    assert code is grpc.StatusCode.FAILED_PRECONDITION
    assert "begins at 4" in details
    assert stream.durable_through == 2
    assert [row.sequence for row in await rig.rows("SELECT sequence FROM events")] == [1, 2]


async def test_a_hole_inside_a_batch_ends_the_stream(rig):
    agent = await rig.agent()
    stream = await agent.connect()
    await stream.send(batch(agent.epoch, 1, event_record(1), event_record(3)))
    code, details = await stream.status()
    assert (code, details) == (grpc.StatusCode.FAILED_PRECONDITION, "record 3 where 2 was due")


async def test_a_gap_stands_for_all_its_sequences(rig):
    agent = await rig.agent()
    stream = await agent.connect()
    await stream.send(batch(agent.epoch, 1, event_record(1), gap_record(2, 9), event_record(10)))
    await stream.acked(10)
    (gap,) = await rig.rows("SELECT from_sequence, to_sequence FROM gaps")
    assert tuple(gap) == (2, 9)
    assert (await rig.rows("SELECT gaps FROM agents"))[0].gaps == 1


async def test_a_record_that_cannot_be_decoded_is_kept_raw_and_never_holds_up_its_batch(rig):
    agent = await rig.agent()
    stream = await agent.connect()
    await stream.send(batch(agent.epoch, 1, event_record(1), b"\xff\xfe poison", event_record(3)))
    await stream.acked(3)
    rows = await rig.rows("SELECT sequence, kind, source FROM events ORDER BY id")
    assert [tuple(row) for row in rows] == [(1, 1, "test"), (2, 43, "collector"), (3, 1, "test")]
    assert (await rig.rows("SELECT undecoded FROM agents"))[0].undecoded == 1


async def test_a_record_that_is_too_large_is_rejected_alone(rig):
    agent = await rig.agent()
    stream = await agent.connect()
    await stream.send(batch(agent.epoch, 1, event_record(1), b"x" * ((3 << 20) + 1), event_record(3)))
    await stream.acked(1)
    reject = await stream.until("reject")
    assert reject.sequence == 2
    # The agent puts a gap in its place and goes on.
    await stream.send(batch(agent.epoch, 2, gap_record(2, 2), event_record(3)))
    await stream.acked(3)


async def test_a_spool_restored_from_an_old_copy_must_begin_a_new_epoch(rig):
    agent = await rig.agent()
    stream = await agent.connect()
    await stream.send(events_batch(agent.epoch, 1, 5))
    await stream.acked(5)
    stream.call.cancel()
    again = agent.open()
    await again.send(agent.hello(next_sequence=5))
    stale = await again.until("epoch_stale")
    assert stale.epoch == agent.epoch
    agent.epoch = "epoch-2"
    fresh = await agent.connect(next_sequence=1)
    assert fresh.welcome.durable_through == 0
    await fresh.send(events_batch("epoch-2", 1, 1))
    await fresh.acked(1)
    agent.epoch = "epoch-1"
    old = agent.open()
    await old.send(agent.hello())
    assert "was left for" in (await old.until("epoch_stale")).reason


async def test_a_batch_of_another_epoch_than_hello_said_is_refused(rig):
    agent = await rig.agent()
    stream = await agent.connect()
    await stream.send(events_batch("other", 1, 1))
    assert (await stream.until("epoch_stale")).epoch == agent.epoch
    assert not await rig.rows("SELECT * FROM events")


async def test_a_newer_session_ends_the_older_one(rig):
    agent = await rig.agent()
    older = await agent.connect()
    newer = await agent.connect()
    assert "newer session" in (await older.until("drain")).reason
    assert (await older.status())[0] is grpc.StatusCode.OK
    await newer.send(events_batch(agent.epoch, 1, 1))
    await newer.acked(1)
    assert newer.welcome.session_id != older.welcome.session_id
    assert len(rig.collector.link) == 1


async def test_two_hosts_with_one_identity_are_shut_out_until_released(rig):
    agent = await rig.agent()
    clone = rig.clone(agent.identity)
    await agent.connect(boot_id="boot-a")
    await clone.connect(boot_id="boot-b")
    third = agent.open()
    await third.send(agent.hello(boot_id="boot-a"))
    drain = await third.until("drain")
    assert "two hosts use this identity" in drain.reason
    assert drain.retry_after_seconds >= 60
    (row,) = await rig.rows("SELECT quarantined, quarantine_reason FROM agents")
    assert row.quarantined
    fourth = clone.open()
    await fourth.send(clone.hello(boot_id="boot-b"))
    assert "quarantined" in (await fourth.until("drain")).reason
    actions = [row.action for row in await rig.rows("SELECT action FROM audit ORDER BY id")]
    assert "agent.quarantined" in actions


async def test_heartbeats_are_answered(rig):
    agent = await rig.agent()
    stream = await agent.connect()
    await stream.send(link_pb2.Heartbeat(wall_ns=77))
    answer = await stream.until("heartbeat")
    assert answer.echo_wall_ns == 77
    assert answer.wall_ns > 1_600_000_000_000_000_000


async def test_the_first_message_must_be_hello(rig):
    agent = await rig.agent()
    stream = agent.open()
    await stream.send(events_batch(agent.epoch, 1, 1))
    assert await stream.status() == (grpc.StatusCode.FAILED_PRECONDITION, "the first message must be Hello")


async def test_another_protocol_version_is_refused_with_both_versions_named(rig):
    agent = await rig.agent()
    stream = agent.open()
    await stream.send(agent.hello(protocol_version=9))
    code, details = await stream.status()
    assert code is grpc.StatusCode.FAILED_PRECONDITION
    assert "9" in details
    assert "1" in details


async def test_an_agent_that_closes_its_side_gets_its_acknowledgements_first(rig):
    agent = await rig.agent()
    stream = await agent.connect()
    await stream.send(events_batch(agent.epoch, 1, 50))
    await stream.call.done_writing()
    await stream.acked(50)
    assert (await stream.status())[0] is grpc.StatusCode.OK


async def test_an_agent_that_comes_while_the_collector_stops_is_drained_too(rig):
    agent = await rig.agent()
    stream = agent.open()
    await asyncio.sleep(0.3)  # it is let in, and has not said hello
    await rig.collector.link.drain("the collector is stopping")
    await stream.send(agent.hello())
    assert (await stream.until("drain")).reason == "the collector is stopping"
    assert len(rig.collector.link) == 0


async def test_a_quarantine_that_cannot_be_written_leaves_no_session_behind(rig, monkeypatch):
    agent = await rig.agent()
    first = await agent.connect()
    monkeypatch.setattr(CloneWatch, "observe", lambda *_a, **_k: "two hosts")
    write = rig.collector.store.write

    async def full(function, *arguments):
        if function is quarantine:
            raise WriteFailed("disk full")
        return await write(function, *arguments)

    monkeypatch.setattr(rig.collector.store, "write", full)
    second = agent.open()
    await second.send(agent.hello())
    assert "disk full" in (await second.until("drain")).reason
    assert (await first.status())[0] is grpc.StatusCode.OK
    await second.status()
    assert len(rig.collector.link) == 0


async def test_stopping_drains_every_agent(rig):
    agent = await rig.agent()
    stream = await agent.connect()
    stopping = asyncio.create_task(rig.collector.link.drain("the collector is stopping"))
    assert (await stream.until("drain")).reason == "the collector is stopping"
    assert (await stream.status())[0] is grpc.StatusCode.OK
    await stopping


async def test_an_agent_that_vanishes_is_no_longer_connected(rig):
    agent = await rig.agent()
    stream = await agent.connect()
    assert rig.collector.presence.connected(agent.identity.agent_id)
    stream.call.cancel()

    async def gone():
        (row,) = await rig.rows("SELECT disconnected_ns FROM agents")
        return row.disconnected_ns and not rig.collector.presence.connected(agent.identity.agent_id)

    await eventually(gone)
