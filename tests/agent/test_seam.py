"""The seam with both its ends, and with a peer that means harm."""

import asyncio
import contextlib
import os
import stat
import threading

import pytest
from agent.spool.spooling import Bench, event
from hypothesis import given
from hypothesis import strategies as st

from fsmend_agent.errors import ProtocolError
from fsmend_agent.seam import MAX_REQUEST_BYTES, SeamClient, decode_request, encode_frame, read_frame
from fsmend_agent.seam_server import SeamCalls, SeamServer
from fsmend_proto.v1 import command_pb2, record_pb2, seam_pb2

Request = seam_pb2.SeamRequest


class Calls:
    """Remembers what sense was told."""

    def __init__(self):
        self.commands, self.cancels, self.clocks, self.epochs, self.errors = [], [], [], [], []
        self.calls = SeamCalls(
            on_command=self.commands.append,
            on_cancel=self.cancels.append,
            on_clock=lambda *clock: self.clocks.append(clock),
            on_epoch=self.epochs.append,
            on_error=self.errors.append,
            unfinished_commands=lambda: ["c1"],
        )


@pytest.fixture
async def sense(tmp_path):
    bench, calls = Bench(tmp_path), Calls()
    server = SeamServer(
        bench.open(), tmp_path / "seam.sock", calls.calls, boot_id="boot", agent_version="1", allowed_uids={os.getuid()}
    )
    await server.start()
    server.told = calls
    server.bench = bench
    yield server
    await server.close()
    bench.abandon()


@pytest.fixture
async def client(sense):
    client = await SeamClient.connect(sense._path)
    yield client
    client.close()


async def soon(awaitable):
    async with asyncio.timeout(5):
        return await awaitable


def append(sense, *records):
    sense.spool.append(list(records))
    sense.notify()


def read(sequence, max_records=0):
    return Request(read=seam_pb2.SeamRead(from_sequence=sequence, max_records=max_records))


async def test_open_tells_the_state_of_the_spool(sense, client):
    append(sense, event(), event())
    await client.send(Request(open=seam_pb2.SeamOpen()))
    state = (await soon(client.receive())).state
    assert (state.epoch, state.oldest_sequence, state.next_sequence) == (sense.spool.epoch, 1, 3)
    assert (state.boot_id, list(state.unfinished_commands), state.spool_durable) == ("boot", ["c1"], True)


async def test_a_read_is_answered_at_once_when_there_are_records(sense, client):
    append(sense, event("a"), event("b"), event("c"))
    await client.send(read(2, max_records=1))
    batch = (await soon(client.receive())).batch
    assert (batch.first_sequence, batch.next_sequence, len(batch.records)) == (2, 3, 1)
    assert record_pb2.Record.FromString(batch.records[0]).event.message == "b"


async def test_a_read_waits_for_the_first_record(sense, client):
    await client.send(read(1))
    waiting = asyncio.create_task(client.receive())
    await asyncio.sleep(0.05)
    assert not waiting.done()
    await asyncio.to_thread(append, sense, event("late"))
    assert (await soon(waiting)).batch.next_sequence == 2


async def test_acknowledgements_rejects_and_the_clock_arrive(sense, client):
    append(sense, event("a"), event("b"), event("c"))
    epoch = sense.spool.epoch
    await client.send(Request(ack=seam_pb2.SeamAck(epoch=epoch, durable_through=1)))
    await client.send(Request(reject=seam_pb2.SeamReject(epoch=epoch, sequence=2, reason="no")))
    await client.send(Request(clock=seam_pb2.SeamClock(offset_ns=-5, uncertainty_ns=7)))
    await client.send(read(2))
    batch = (await soon(client.receive())).batch
    assert record_pb2.Record.FromString(batch.records[0]).gap.message == "no"
    assert sense.spool.oldest_sequence == 2
    assert sense.told.clocks == [(-5, 7)]


async def test_commands_and_cancellations_are_passed_on(sense, client):
    await client.send(Request(command=command_pb2.Command(id="c2")))
    await client.send(Request(cancel=command_pb2.CancelCommand(command_id="c2")))
    await client.send(Request(open=seam_pb2.SeamOpen()))
    await soon(client.receive())
    assert [command.id for command in sense.told.commands] == ["c2"]
    assert [cancel.command_id for cancel in sense.told.cancels] == ["c2"]


async def test_a_new_epoch_is_begun_once(sense, client):
    append(sense, event())
    old = sense.spool.epoch
    epochs = set()
    for _ in range(2):
        await client.send(Request(new_epoch=seam_pb2.SeamNewEpoch(epoch=old)))
        epochs.add((await soon(client.receive())).state.epoch)
    assert sense.told.epochs == list(epochs) != [old]


async def test_a_read_that_waits_hears_of_an_epoch_that_the_spool_began_by_itself(sense, client):
    append(sense, event("a"), event("b"))
    await client.send(Request(open=seam_pb2.SeamOpen()))
    old = (await soon(client.receive())).state.epoch
    await client.send(read(3))
    await client.send(Request(open=seam_pb2.SeamOpen()))
    await soon(client.receive())  # the read waits now
    sense.spool.ack(old, 2)
    sense.spool.new_epoch()  # as when the disk fails
    append(sense, event("c"))
    state = (await soon(client.receive())).state
    assert (state.epoch, state.next_sequence) == (sense.spool.epoch, 2)
    assert state.epoch != old


async def test_a_read_that_comes_after_it_hears_of_it_too(sense, client):
    append(sense, event("a"), event("b"))
    await client.send(Request(open=seam_pb2.SeamOpen()))
    old = (await soon(client.receive())).state.epoch
    sense.spool.ack(old, 2)
    sense.spool.new_epoch()
    await client.send(read(3))
    assert (await soon(client.receive())).state.epoch != old


async def test_an_epoch_that_begins_while_records_are_read_is_told_instead_of_them(sense, client, monkeypatch):
    append(sense, event("a"), event("b"))
    await client.send(Request(open=seam_pb2.SeamOpen()))
    await soon(client.receive())
    real_read = sense.spool.read

    def read_after_the_disk_failed(*wanted):
        monkeypatch.setattr(sense.spool, "read", real_read)
        sense.spool.new_epoch()
        return real_read(*wanted)

    monkeypatch.setattr(sense.spool, "read", read_after_the_disk_failed)
    await client.send(read(1))
    assert (await soon(client.receive())).state.epoch == sense.spool.epoch


async def test_an_acknowledgement_that_an_epoch_overtook_is_answered_with_the_state(sense, client):
    append(sense, event("a"))
    await client.send(Request(open=seam_pb2.SeamOpen()))
    old = (await soon(client.receive())).state.epoch
    sense.spool.new_epoch()
    await client.send(Request(ack=seam_pb2.SeamAck(epoch=old, durable_through=1)))
    assert (await soon(client.receive())).state.epoch == sense.spool.epoch != old
    await client.send(Request(ack=seam_pb2.SeamAck(epoch=old, durable_through=1)))
    assert "epoch" in (await soon(client.receive())).error.message


@pytest.mark.parametrize(
    "request_",
    [
        Request(ack=seam_pb2.SeamAck(epoch="other", durable_through=1)),
        Request(ack=seam_pb2.SeamAck(durable_through=1 << 60)),
        Request(reject=seam_pb2.SeamReject(epoch="other", sequence=1)),
        read(0),
        read(99),
    ],
)
async def test_what_the_spool_refuses_is_told_and_the_connection_goes_on(sense, client, request_):
    append(sense, event())
    await client.send(request_)
    assert (await soon(client.receive())).error.message
    await client.send(Request(open=seam_pb2.SeamOpen()))
    assert (await soon(client.receive())).state.oldest_sequence == 1


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xff\xff\xff",
        b"\0\0\0\0",
        (MAX_REQUEST_BYTES + 1).to_bytes(4, "big"),
        b"\0\0\0\4abcd",
        b"\0\0\0\2\xfa\x01",
        b"GET / HTTP/1.1\r\n\r\n",
    ],
)
async def test_a_hostile_peer_loses_its_connection_and_nothing_else(sense, data):
    reader, writer = await asyncio.open_unix_connection(sense._path)
    writer.write(data)
    reply = seam_pb2.SeamReply.FromString(await soon(read_frame(reader, 4 << 20)))
    assert reply.error.message
    assert await soon(reader.read()) == b""
    writer.close()
    assert sense.told.errors
    client = await SeamClient.connect(sense._path)
    await client.send(Request(open=seam_pb2.SeamOpen()))
    assert (await soon(client.receive())).state.boot_id == "boot"
    client.close()


async def test_a_peer_that_stops_in_the_middle_of_a_frame_is_let_go(sense):
    _, writer = await asyncio.open_unix_connection(sense._path)
    writer.write(b"\0\0\0\x10half")
    writer.close()
    async with asyncio.timeout(5):
        while not sense.told.errors:  # noqa: ASYNC110  on_error is a plain callback
            await asyncio.sleep(0.01)
    assert "before a frame's end" in sense.told.errors[0]


async def test_a_newer_link_replaces_the_older(sense, client):
    await client.send(Request(open=seam_pb2.SeamOpen()))
    await soon(client.receive())
    newer = await SeamClient.connect(sense._path)
    await newer.send(Request(open=seam_pb2.SeamOpen()))
    await soon(newer.receive())
    with pytest.raises((ConnectionError, ProtocolError)):
        await soon(client.receive())
    append(sense, event())
    await newer.send(read(1))
    assert (await soon(newer.receive())).batch.next_sequence == 2
    newer.close()


async def test_other_users_are_refused(tmp_path):
    bench, calls = Bench(tmp_path), Calls()
    server = SeamServer(
        bench.open(), tmp_path / "s", calls.calls, boot_id="b", agent_version="1", allowed_uids={os.getuid() + 1}
    )
    await server.start()
    client = await SeamClient.connect(tmp_path / "s")
    assert "may not" in (await soon(client.receive())).error.message
    client.close()
    await server.close()
    bench.abandon()


async def test_the_group_of_the_socket_is_let_in(tmp_path):
    bench, calls = Bench(tmp_path), Calls()
    server = SeamServer(
        bench.open(),
        tmp_path / "s",
        calls.calls,
        boot_id="b",
        agent_version="1",
        allowed_uids={os.getuid() + 1},
        group_id=os.getgid(),
    )
    await server.start()
    client = await SeamClient.connect(tmp_path / "s")
    await client.send(Request(open=seam_pb2.SeamOpen()))
    assert (await soon(client.receive())).HasField("state")
    client.close()
    await server.close()
    bench.abandon()


async def test_the_socket_is_for_owner_and_group_only(sense):
    assert stat.S_IMODE(sense._path.stat().st_mode) == 0o660


async def test_a_large_backlog_crosses_in_bounded_frames(sense, client):
    for _ in range(20):
        sense.spool.append([event("x" * 900) for _ in range(40)])
    sequence, count = 1, 0
    while sequence < sense.spool.next_sequence:
        await client.send(Request(read=seam_pb2.SeamRead(from_sequence=sequence, max_bytes=1 << 31)))
        batch = (await soon(client.receive())).batch
        sequence, count = batch.next_sequence, count + len(batch.records)
    assert count == 800


@given(st.binary(max_size=200))
def test_bytes_are_a_request_or_a_protocol_error(data):
    with contextlib.suppress(ProtocolError):
        assert decode_request(data).WhichOneof("body")


def test_a_frame_that_is_too_large_is_not_sent():
    with pytest.raises(ProtocolError):
        encode_frame(Request(command=command_pb2.Command(reason="x" * 70_000)), MAX_REQUEST_BYTES)


async def test_calls_that_hang_on_a_dead_disk_do_not_hold_the_seam(sense, client):
    stuck, loop = threading.Event(), asyncio.get_running_loop()
    hanging = [loop.run_in_executor(None, stuck.wait, 20) for _ in range(64)]
    try:
        append(sense, event())
        await client.send(Request(ack=seam_pb2.SeamAck(epoch=sense.spool.epoch, durable_through=0)))
        await client.send(read(1))
        assert (await soon(client.receive())).batch.next_sequence == 2
    finally:
        stuck.set()
        await asyncio.gather(*hanging)


async def test_a_reading_that_breaks_ends_the_connection_so_that_link_asks_again(sense, client, monkeypatch):
    def broken(*_):
        raise RuntimeError("a fault of our own")

    append(sense, event())
    monkeypatch.setattr(sense.spool, "read", broken)
    await client.send(read(1))
    with pytest.raises(ConnectionError):
        await soon(client.receive())
    monkeypatch.undo()
    again = await SeamClient.connect(sense._path)
    await again.send(read(1))
    assert (await soon(again.receive())).batch.next_sequence == 2
    again.close()
