"""Agents that vanish at any moment leave nothing behind: no error in the log, no task, no session."""

import asyncio
import contextlib
import gc
import logging
import random

from collector.rig import events_batch, eventually

from fsmend_collector.server.outbox import MOST_WAITING
from fsmend_proto.v1 import link_pb2

ROUNDS = 12


async def test_agents_that_vanish_at_any_moment_leave_nothing_behind(rig, caplog):
    caplog.set_level(logging.WARNING)
    agent = await rig.agent()
    chance = random.Random(3)
    before = len(asyncio.all_tasks())
    for _ in range(ROUNDS):
        stream = agent.open()
        await stream.send(agent.hello())
        if chance.random() < 0.8:
            welcome = await stream.until("welcome")
            first = welcome.durable_through + 1
            for start in range(first, first + 400, 100):
                await stream.send(events_batch(agent.epoch, start, 100))
            await asyncio.sleep(chance.random() * 0.02)
        if chance.random() < 0.3:
            await agent.close()
            rig.agents.remove(agent)
            agent = rig.clone(agent.identity)
        else:
            stream.call.cancel()

    async def all_gone():
        return len(rig.collector.link) == 0 and len(rig.collector.presence) == 0

    await eventually(all_gone)
    del stream

    async def no_tasks_left():
        gc.collect()
        return len(asyncio.all_tasks()) <= before

    await eventually(no_tasks_left)
    assert [record.getMessage() for record in caplog.records] == []
    last = await agent.connect()
    sequences = [row.sequence for row in await rig.rows("SELECT sequence FROM events ORDER BY id")]
    assert sequences == list(range(1, last.welcome.durable_through + 1))


async def test_an_agent_that_asks_and_never_reads_is_not_answered_without_bound(rig):
    deaf = await rig.agent()
    stream = await deaf.connect()
    (session,) = rig.collector.link._sessions.values()
    peak = 0

    async def ask():
        nonlocal peak
        while True:
            await stream.send(link_pb2.Heartbeat(wall_ns=1))
            peak = max(peak, len(session._outbox._messages))

    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(4):
            await ask()
    assert peak <= MOST_WAITING


async def test_an_agent_that_does_not_read_is_held_back_and_holds_up_nobody(rig):
    deaf, other = await rig.agent(), await rig.agent()
    stream = await deaf.connect()
    for first in range(1, 2_000, 100):
        await stream.send(events_batch(deaf.epoch, first, 100))
    brisk = await other.connect()
    await brisk.send(events_batch(other.epoch, 1, 1))
    await brisk.acked(1)
    await stream.acked(2_000)
