"""The position of the store: the newest record id and its receive time, in `meta`.

Only the writer's thread changes them, in the transaction of the rows that they count.
"""

from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, insert, select, update

from fsmend_collector.store.schema import meta

RECORD_ID = "last_record_id"
RECEIVED_NS = "last_received_ns"
_READ = select(meta.c.key, meta.c.number).where(meta.c.key.in_([RECORD_ID, RECEIVED_NS]))
_WRITE = update(meta).where(meta.c.key == bindparam("name")).values(number=bindparam("new"))


@dataclass(frozen=True, slots=True)
class Position:
    """Newest id of events, gaps and command updates, and when it was received."""

    record_id: int
    received_ns: int


def read(connection: Connection) -> Position:
    """Return the position."""
    found = {row.key: row.number for row in connection.execute(_READ)}
    return Position(found.get(RECORD_ID, 0), found.get(RECEIVED_NS, 0))


def write(connection: Connection, position: Position) -> None:
    """Store the position."""
    values = [{"name": RECORD_ID, "new": position.record_id}, {"name": RECEIVED_NS, "new": position.received_ns}]
    connection.execute(_WRITE, values)


def set_number(connection: Connection, key: str, number: int) -> None:
    """Store any other number of `meta` under `key`."""
    if connection.execute(update(meta).where(meta.c.key == key).values(number=number)).rowcount == 0:
        connection.execute(insert(meta).values(key=key, number=number))
