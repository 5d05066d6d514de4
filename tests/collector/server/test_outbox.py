import asyncio

from fsmend_collector.server.outbox import MOST_WAITING, Outbox
from fsmend_proto.v1 import link_pb2


def heartbeat(wall_ns):
    return link_pb2.ConnectResponse(heartbeat=link_pb2.Heartbeat(wall_ns=wall_ns))


async def test_acknowledgements_coalesce_and_other_messages_keep_their_order():
    outbox = Outbox()
    outbox.received(9)
    outbox.durable(3)
    outbox.push(heartbeat(1))
    outbox.durable(7)
    outbox.push(heartbeat(2))
    first, *rest = await outbox.take()
    assert (first.ack.received_through, first.ack.durable_through) == (9, 7)
    assert [message.heartbeat.wall_ns for message in rest] == [1, 2]


async def test_a_full_outbox_has_no_room_until_it_was_taken():
    outbox = Outbox()
    for number in range(MOST_WAITING):
        await asyncio.wait_for(outbox.room(), 1)
        outbox.push(heartbeat(number))
    waiting = asyncio.create_task(outbox.room())
    await asyncio.sleep(0.01)
    assert not waiting.done()
    assert len(await outbox.take()) == MOST_WAITING
    await asyncio.wait_for(waiting, 1)


async def test_an_acknowledgement_never_falls():
    outbox = Outbox()
    outbox.durable(7)
    outbox.durable(3)
    assert (await outbox.take())[0].ack.durable_through == 7


async def test_take_waits_for_the_next_message():
    outbox = Outbox()
    waiting = asyncio.create_task(outbox.take())
    await asyncio.sleep(0.01)
    assert not waiting.done()
    outbox.push(heartbeat(1))
    assert len(await waiting) == 1


async def test_what_is_left_comes_before_the_end():
    outbox = Outbox()
    outbox.push(heartbeat(1))
    outbox.close()
    assert len(await outbox.take()) == 1
    assert await outbox.take() == []
