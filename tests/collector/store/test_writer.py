import asyncio

import pytest
from sqlalchemy import insert, select, text

from fsmend_collector.errors import CollectorError, CommandRefused, WriteFailed
from fsmend_collector.store.schema import meta


def add(connection, keys):
    connection.execute(insert(meta), [{"key": key} for key in keys])
    return [f"added {key}" for key in keys]


async def keys(store):
    return set(await store.read(lambda c: c.execute(select(meta.c.key)).scalars().all()))


async def test_jobs_of_one_kind_share_a_transaction(store):
    before = store.writer.state.transactions
    results = await asyncio.gather(*(store.writer.submit(add, f"k{n}") for n in range(200)))
    assert results == [f"added k{n}" for n in range(200)]
    assert store.writer.state.transactions - before < 50


async def test_a_job_that_breaks_the_transaction_does_not_take_the_others_along(store):
    futures = [store.writer.submit(add, key) for key in ("a", "b", "a", "c")]
    results = await asyncio.gather(*futures, return_exceptions=True)
    assert results[0] == "added a"
    assert isinstance(results[2], WriteFailed)
    assert results[3] == "added c"
    assert {"a", "b", "c"} <= await keys(store)


async def test_a_job_that_raises_anything_does_not_end_the_writer(store):
    with pytest.raises(ZeroDivisionError):
        await store.write(lambda _connection: 1 // 0)
    assert await store.writer.submit(add, "after") == "added after"


async def test_an_item_can_be_refused_alone(store):
    def choosy(connection, items):
        return [CommandRefused(item) if item == "bad" else item for item in items]

    good, bad = store.writer.submit(choosy, "good"), store.writer.submit(choosy, "bad")
    assert await good == "good"
    with pytest.raises(CommandRefused, match="bad"):
        await bad


async def test_a_refused_change_is_undone_and_costs_the_others_of_its_transaction_nothing(store):
    """Agents that are shut out come back again and again; each must not cost a commit of its own for everybody else."""

    def change(connection, key, *, refuse):
        add(connection, [key])
        if refuse:
            raise CommandRefused(key)

    before = store.writer.state.transactions
    writes = [store.write(change, f"k{n}", refuse=n % 2 == 1) for n in range(100)]
    results = await asyncio.gather(*writes, return_exceptions=True)
    assert [isinstance(one, CommandRefused) for one in results] == [n % 2 == 1 for n in range(100)]
    assert store.writer.state.transactions - before < 30
    found = await keys(store)
    assert {f"k{n}" for n in range(0, 100, 2)} <= found
    assert not {f"k{n}" for n in range(1, 100, 2)} & found


async def test_a_stopped_writer_commits_what_it_has_and_takes_no_more(store):
    futures = [store.writer.submit(add, f"k{n}") for n in range(20)]
    await asyncio.to_thread(store.writer.stop)
    assert len(await asyncio.gather(*futures)) == 20
    with pytest.raises(CollectorError, match="stopping"):
        store.writer.submit(add, "late")


async def test_a_caller_that_gave_up_does_not_disturb_the_others(store):
    first, second = store.writer.submit(add, "x"), store.writer.submit(add, "y")
    first.cancel()
    assert await second == "added y"


async def test_an_outage_fails_every_job_clearly_and_the_writer_recovers(store):
    def fill(connection):
        pages = connection.execute(text("PRAGMA page_count")).scalar()
        connection.execute(text(f"PRAGMA max_page_count={pages}"))

    await store.write(fill)
    big = "x" * 100_000
    with pytest.raises(WriteFailed, match="full"):
        await store.writer.submit(add, big)
    assert store.writer.state.failing_since_ns
    assert "full" in store.writer.state.failure
    await store.write(lambda c: c.execute(text("PRAGMA max_page_count=1000000")).scalar())
    assert await store.writer.submit(add, big)
    assert store.writer.state.failing_since_ns == 0
