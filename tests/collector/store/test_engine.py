import asyncio
import threading

import pytest
from sqlalchemy import insert, select, text

from fsmend_collector.errors import CommandRefused, StoreError, StoreUnusable
from fsmend_collector.store.engine import check_sqlite_version, make_engine
from fsmend_collector.store.schema import meta


@pytest.mark.parametrize("version", [(3, 7, 0), (3, 40, 1), (3, 51, 2)])
def test_a_sqlite_that_can_corrupt_its_wal_is_refused(version):
    with pytest.raises(StoreUnusable, match="pysqlite3"):
        check_sqlite_version(version)


def test_a_sound_sqlite_is_taken():
    check_sqlite_version((3, 51, 3))


@pytest.mark.parametrize("url", ["postgresql://localhost/x", "sqlite://", "mysql://x/y"])
def test_an_engine_that_is_not_supported_is_named(url):
    with pytest.raises(StoreUnusable, match=r"store\.url"):
        make_engine(url, writes=True)


async def test_commits_are_durable_and_readers_do_not_block_them(store):
    def settings(connection):
        names = ("journal_mode", "synchronous", "foreign_keys")
        return [connection.execute(text(f"PRAGMA {name}")).scalar() for name in names]

    assert await store.write(settings) == ["wal", 2, 1]


async def test_readers_cannot_write(store):
    with pytest.raises(StoreError, match="readonly"):
        await store.read(lambda connection: connection.execute(insert(meta).values(key="x")))


async def test_a_read_sees_one_snapshot(store):
    begun, written = threading.Event(), threading.Event()

    def twice(connection):
        first = connection.execute(select(meta.c.key)).all()
        begun.set()
        written.wait(5)
        return first, connection.execute(select(meta.c.key)).all()

    reading = asyncio.create_task(store.read(twice))
    await asyncio.to_thread(begun.wait, 5)
    await store.write(lambda connection: connection.execute(insert(meta).values(key="new")).rowcount)
    written.set()
    first, second = await reading
    assert first == second
    assert "new" in await store.read(lambda c: c.execute(select(meta.c.key)).scalars().all())


async def test_an_error_of_a_change_reaches_its_caller_and_nothing_is_written(store):
    def refuse(connection):
        connection.execute(insert(meta).values(key="half"))
        raise CommandRefused("no")

    with pytest.raises(CommandRefused, match="no"):
        await store.write(refuse)
    assert "half" not in await store.read(lambda c: c.execute(select(meta.c.key)).scalars().all())
