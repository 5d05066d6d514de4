"""Pages that stay good while rows come and go: the next page begins after the last row's key, not at an offset."""

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, tuple_


class BadPageToken(ValueError):  # noqa: N818  what it is
    """Say that a page token was not made for this list."""


@dataclass(frozen=True, slots=True)
class Page:
    """Rows of one page, and the token of the next one, empty after the last."""

    rows: Sequence[Row[Any]]
    next_token: str


def read_page(
    connection: Connection,
    statement: Select[Any],
    key: Sequence[ColumnElement[Any]],
    size: int,
    token: str,
    *,
    descending: bool = False,
) -> Page:
    """Run `statement` ordered by `key`, which must be unique, and return up to `size` rows after `token`.

    `descending` turns the order of the whole key: an index serves that, and none serves a key of negative numbers.

    Raises:
        BadPageToken: the token is not one of this list.
    """
    labelled = [column.label(f"_key_{at}") for at, column in enumerate(key)]
    order = [column.desc() for column in key] if descending else key
    chosen = statement.add_columns(*labelled).order_by(*order).limit(size + 1)
    if token:
        values = decode_token(token, len(key))
        if descending and any(isinstance(one, int) and one < 0 for one in values):
            raise BadPageToken("the page token is of an older collector")
        after = tuple_(*values)
        chosen = chosen.where(tuple_(*key) < after if descending else tuple_(*key) > after)
    rows = list(connection.execute(chosen))
    if len(rows) <= size:
        return Page(rows, "")
    last = rows[size - 1]
    return Page(rows[:size], encode_token([getattr(last, label.name) for label in labelled]))


def encode_token(values: Sequence[int | str]) -> str:
    """Write a key as a token."""
    return base64.urlsafe_b64encode(json.dumps(list(values), separators=(",", ":")).encode()).decode().rstrip("=")


def decode_token(token: str, length: int) -> list[int | str]:
    """Read a key back.

    Raises:
        BadPageToken: it is no token of a key with `length` values.
    """
    try:
        values = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    except (binascii.Error, ValueError):
        raise BadPageToken("the page token is damaged") from None
    plain = isinstance(values, list) and all(type(value) in {int, str} for value in values)
    if not plain or len(values) != length or any(isinstance(value, int) and abs(value) >= 1 << 63 for value in values):
        raise BadPageToken("the page token belongs to another list")
    return list(values)
