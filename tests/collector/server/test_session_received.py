"""What a session says that it received."""

import asyncio
from types import SimpleNamespace

import pytest
from collector.rig import batch, event_record, gap_record

from fsmend_collector.ingest import Ingest
from fsmend_collector.server.session import Session, Timing


@pytest.mark.parametrize(
    ("records", "through"),
    [
        ([event_record(1), event_record(2)], 2),
        ([event_record(1), gap_record(2, 9)], 9),
        ([gap_record(1, 9), event_record(10)], 10),
        ([event_record(1), b"x" * (4 << 20), event_record(3)], 1),
    ],
)
async def test_what_was_received_reaches_to_where_the_last_record_that_was_taken_ends(records, through):
    never = asyncio.get_running_loop().create_future()
    ingest = Ingest(SimpleNamespace(writer=SimpleNamespace(submit=lambda *_: never)), None)
    session = Session(None, SimpleNamespace(agent=1, agent_id="a"), "epoch", 8, Timing(30, 3600))
    await session._take(batch("epoch", 1, *records), ingest)
    session._outbox.durable(0)
    (message,) = await session._outbox.take()
    assert message.ack.received_through == through
