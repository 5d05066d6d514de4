"""Rows of which some are there already."""

from sqlalchemy import select

from fsmend_collector.store.schema import meta
from fsmend_collector.store.upsert import add_rows, write_rows


def row(key, number):
    return {"key": key, "number": number, "value": f"of {number}"}


def stored(connection):
    chosen = select(meta).where(meta.c.key.in_(["a", "b", "c"])).order_by(meta.c.key)
    return [dict(one._mapping) for one in connection.execute(chosen)]


async def test_a_row_that_is_there_is_replaced_whole_and_the_others_are_added(store):
    def work(connection):
        write_rows(connection, meta, [row("a", 1), row("b", 1)])
        write_rows(connection, meta, [row("b", 2), row("c", 2)])
        return stored(connection)

    assert await store.write(work) == [row("a", 1), row("b", 2), row("c", 2)]


async def test_a_row_that_is_there_stays_as_it_is_when_rows_are_only_added(store):
    def work(connection):
        write_rows(connection, meta, [row("a", 1)])
        add_rows(connection, meta, [row("a", 2), row("b", 2), row("b", 3)])
        return stored(connection)

    assert await store.write(work) == [row("a", 1), row("b", 2)]


async def test_no_rows_are_no_statement(store):
    def work(connection):
        write_rows(connection, meta, [])
        add_rows(connection, meta, [])
        return stored(connection)

    assert await store.write(work) == []
