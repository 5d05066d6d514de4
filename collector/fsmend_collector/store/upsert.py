"""Insert rows of which some may be there already, in one statement for all of them.

A statement a row costs more in SQLAlchemy than in the database: in a storm, most of what diagnosis took.
"""

from typing import Any

from sqlalchemy import Connection, Table
from sqlalchemy.dialects.sqlite import insert

Row = dict[str, Any]


def write_rows(connection: Connection, table: Table, rows: list[Row]) -> None:
    """Insert rows with all columns of a table; one whose primary key is there already takes the place of it."""
    if rows:
        new = insert(table)
        changed = {column.name: new.excluded[column.name] for column in table.columns if not column.primary_key}
        connection.execute(new.on_conflict_do_update(index_elements=list(table.primary_key), set_=changed), rows)


def add_rows(connection: Connection, table: Table, rows: list[Row]) -> None:
    """Insert the rows that are not there yet."""
    if rows:
        connection.execute(insert(table).on_conflict_do_nothing(), rows)
