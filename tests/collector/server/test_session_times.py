"""What ends a session by time or number."""

import grpc
import pytest
from collector.rig import Rig, events_batch, make_config


@pytest.fixture
async def rig_with(tmp_path):
    rigs = []

    async def start(**sessions):
        rig = Rig(make_config(tmp_path, **sessions))
        await rig.start()
        rigs.append(rig)
        return rig

    yield start
    for rig in rigs:
        await rig.stop()


async def test_a_connection_of_greatest_age_is_drained(rig_with):
    rig = await rig_with(max_connection_age_seconds=1)
    stream = await (await rig.agent()).connect()
    assert "age" in (await stream.until("drain")).reason
    assert (await stream.status())[0] is grpc.StatusCode.OK


async def test_an_agent_that_falls_silent_loses_its_session(rig_with):
    rig = await rig_with(heartbeat_interval_seconds=1)
    agent = await rig.agent()
    stream = await agent.connect()
    code, details = await stream.status()
    assert (code, details) == (grpc.StatusCode.DEADLINE_EXCEEDED, "nothing for 3 s")
    assert not rig.collector.presence.connected(agent.identity.agent_id)


async def test_more_sessions_a_second_than_admitted_are_asked_to_come_back(rig_with):
    rig = await rig_with(admit_per_second=2)
    agent = await rig.agent()
    answers = []
    for _ in range(5):
        stream = agent.open()
        await stream.send(agent.hello())
        answers.append(await stream.next())
    drains = [answer.drain for answer in answers if answer.HasField("drain")]
    assert len(drains) >= 2
    assert all(drain.retry_after_seconds >= 1 for drain in drains)


async def test_more_than_the_window_is_not_lost(rig_with):
    rig = await rig_with(window_batches=1)
    agent = await rig.agent()
    stream = await agent.connect()
    for first in range(1, 200, 10):
        await stream.send(events_batch(agent.epoch, first, 10))
    await stream.acked(200)
    assert (await rig.rows("SELECT count(*) AS n FROM events"))[0].n == 200
