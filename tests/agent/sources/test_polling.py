"""When a polling source looks."""

import asyncio

from fsmend_agent.sources import _polling
from fsmend_agent.sources._losses import Losses
from fsmend_agent.sources._polling import Polling
from fsmend_proto.v1 import record_pb2


async def taken(polling, seconds):
    turns = []

    async def take():
        async for turn in polling.turns():
            turns.append((turn, asyncio.get_running_loop().time()))  # noqa: PERF401  it never ends

    task = asyncio.create_task(take())
    await asyncio.sleep(seconds)
    task.cancel()
    await asyncio.wait({task})
    return turns


async def test_it_looks_at_everything_at_once_and_at_the_interval():
    turns = await taken(Polling(0.1), 0.35)
    assert [turn for turn, _ in turns] == [None] * len(turns)
    assert 2 <= len(turns) <= 4


async def test_pokes_are_gathered_and_cost_one_look_a_second(monkeypatch):
    monkeypatch.setattr(_polling, "SETTLE_SECONDS", 0.02)
    monkeypatch.setattr(_polling, "PAUSE_SECONDS", 0.2)
    polling = Polling(100)

    async def storm():
        for number in range(60):
            polling.poke(f"u-{number % 2}")
            await asyncio.sleep(0.005)

    turns, _ = await asyncio.gather(taken(polling, 0.55), storm())
    poked = [turn for turn, _ in turns if turn is not None]
    assert 1 <= len(poked) <= 3
    assert frozenset.union(*poked) == {"u-0", "u-1"}


async def test_a_new_filesystem_is_looked_at_without_delay(make_filesystem, make_stage):
    stage, polling, seen = make_stage(), Polling(100), []

    async def take():
        async for filesystem in polling.filesystems(stage.table, "ext4"):
            seen.append(filesystem.uuid)  # noqa: PERF401  it never ends

    task = asyncio.create_task(take())
    await asyncio.sleep(0.01)
    stage.table.update([make_filesystem("u-1"), make_filesystem("u-2", "xfs", minor=1)])
    await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.wait({task})
    assert seen == ["u-1"]


async def test_losses_are_reported_at_once_then_at_a_bounded_rate_and_exactly(monkeypatch):
    monkeypatch.setattr("fsmend_agent.sources._losses.PAUSE_SECONDS", 0.05)
    gaps = []
    losses = Losses(gaps.append, lambda lost, is_exact: record_pb2.Gap(lost=lost, lost_is_exact=is_exact))
    for _ in range(100):
        losses.add(3, is_exact=True)
    assert [gap.lost for gap in gaps] == [3]
    await asyncio.sleep(0.08)
    assert [gap.lost for gap in gaps] == [3, 297]
    losses.add(0, is_exact=False)
    losses.close()
    assert [(gap.lost, gap.lost_is_exact) for gap in gaps[2:]] == [(0, False)]
