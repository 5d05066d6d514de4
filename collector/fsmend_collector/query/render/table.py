"""Tables: one object a row, at most 80 columns, cut with an ellipsis where it must be. Pure."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import click

from fsmend_collector.query.render.escape import cut, visible, width

LINE_WIDTH = 80
GAP = "  "


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table.

    Attributes:
        value: from an object and the time now to its text; what comes back is escaped by the table.
        minimum: it is never cut below this; 0: it is never cut.
        keep_end: cut at the front.
        colour: from the text to a colour's name, None for none.
        right: align numbers to the right.
        identity: cut to the shortest length that is still unique in the table, at least `minimum`.
    """

    title: str
    value: Callable[[Any, int], str | bytes]
    minimum: int = 0
    keep_end: bool = False
    colour: Callable[[str], str | None] | None = None
    right: bool = False
    identity: bool = False


def table(
    columns: Sequence[Column], items: Sequence[Any], now_ns: int, *, line_width: int | None = LINE_WIDTH
) -> list[str]:
    """Return the lines of a table, heading first; `line_width` None never cuts."""
    rows = [[visible(column.value(item, now_ns)) or "-" for column in columns] for item in items]
    widths = [
        max(len(column.title), *(width(row[index]) for row in rows)) if rows else len(column.title)
        for index, column in enumerate(columns)
    ]
    if line_width is not None:
        widths = _fit(columns, rows, widths, line_width)
    lines = [GAP.join(_pad(column, column.title, size) for column, size in zip(columns, widths, strict=True)).rstrip()]
    lines += [
        GAP.join(_cell(column, text, size) for column, text, size in zip(columns, row, widths, strict=True)).rstrip()
        for row in rows
    ]
    return lines


def _fit(columns: Sequence[Column], rows: list[list[str]], widths: list[int], line_width: int) -> list[int]:
    """Take columns from the widest that may be cut until the line fits."""
    widths = list(widths)
    least = [
        max(column.minimum, len(column.title)) if column.minimum else size
        for column, size in zip(columns, widths, strict=True)
    ]
    for index, column in enumerate(columns):
        if column.identity:
            widths[index] = min(widths[index], max(least[index], _unique_length([row[index] for row in rows])))
            least[index] = widths[index]
    room = line_width - len(GAP) * (len(columns) - 1)
    while sum(widths) > room:
        spare = [size - low for size, low in zip(widths, least, strict=True)]
        if max(spare) <= 0:
            break
        candidates = [index for index, free in enumerate(spare) if free > 0]
        widths[max(candidates, key=lambda index: widths[index])] -= 1
    return widths


def _unique_length(names: list[str]) -> int:
    """Return how many characters tell all distinct `names` apart."""
    longest = 0
    ordered = sorted(set(names))
    for first, second in itertools.pairwise(ordered):
        same = next((at for at, pair in enumerate(zip(first, second, strict=False)) if pair[0] != pair[1]), len(first))
        longest = max(longest, same + 1)
    return longest


def _pad(column: Column, text: str, size: int) -> str:
    space = " " * max(0, size - width(text))
    return space + text if column.right else text + space


def _cell(column: Column, text: str, size: int) -> str:
    shown = text[:size] if column.identity else cut(text, size, keep_end=column.keep_end)
    padded = _pad(column, shown, size)
    colour = column.colour(text) if column.colour else None
    return click.style(padded, fg=colour) if colour else padded
