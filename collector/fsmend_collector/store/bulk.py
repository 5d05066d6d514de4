"""Insert many events with few statements: the hot end of the store, one function for each database.

SQLite: pysqlite lets go of the interpreter lock for each step of a statement, and `executemany` steps once a row; with
a busy event loop beside it the writer then waits for the lock at every row. So rows go in many to a statement.
"""

from collections.abc import Sequence
from itertools import chain
from typing import Any

from sqlalchemy import Connection

from fsmend_collector.store.schema import events

_COLUMNS = tuple(column.name for column in events.columns)
_ROW = "(" + ",".join("?" * len(_COLUMNS)) + ")"
_HEAD = f"INSERT INTO events ({','.join(_COLUMNS)}) VALUES "  # noqa: S608  names of our own schema
# Few sizes, so that each statement stays in the connection's cache.
_SIZES = (512, 64, 8, 1)
_STATEMENTS = {size: _HEAD + ",".join([_ROW] * size) for size in _SIZES}


def insert_events(connection: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
    """Insert rows that have the columns of `events` in their order."""
    cursor = connection.connection.cursor()
    try:
        start = 0
        for size in _SIZES:
            statement = _STATEMENTS[size]
            while len(rows) - start >= size:
                cursor.execute(statement, tuple(chain.from_iterable(rows[start : start + size])))
                start += size
    finally:
        cursor.close()


_WATERMARK = "UPDATE agents SET durable_through=?, last_seen_ns=?, gaps=gaps+?, undecoded=undecoded+? WHERE number=?"


def write_watermarks(connection: Connection, rows: Sequence[tuple[int, int, int, int, int]]) -> None:
    """Write durable_through, last_seen_ns, more gaps, more undecoded records of each agent, and its number.

    In a scattered fleet every batch is of another agent, so that this runs as often as an insert.
    """
    cursor = connection.connection.cursor()
    try:
        cursor.executemany(_WATERMARK, rows)
    finally:
        cursor.close()
