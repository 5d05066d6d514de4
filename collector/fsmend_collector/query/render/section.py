"""The pieces that a description is made of: a heading, aligned facts, an indented table. Pure."""

from collections.abc import Iterable, Sequence

import click

from fsmend_collector.query.render.escape import visible
from fsmend_collector.query.render.table import Column, table

Fact = tuple[str, object]


def heading(text: str) -> str:
    """Return the heading of a section."""
    return click.style(text, bold=True)


def facts(pairs: Iterable[Fact], *, indent: int = 0) -> list[str]:
    """Return aligned `name  value` lines; empty values are left out, names and values are escaped."""
    shown = [(visible(name), _text(value)) for name, value in pairs if value not in {None, "", b"", "-"}]
    size = max((len(name) for name, _ in shown), default=0)
    return [f"{' ' * indent}{name + ':':{size + 1}}  {value}" for name, value in shown]


def _text(value: object) -> str:
    return visible(value if isinstance(value, bytes) else str(value))


def section(title: str, lines: Sequence[str]) -> list[str]:
    """Return a titled, indented block after an empty line; nothing when there are no lines."""
    return ["", heading(title), *(f"  {line}".rstrip() for line in lines)] if lines else []


def grid(titles: Sequence[str], rows: Sequence[Sequence[str | bytes]]) -> list[str]:
    """Return a small table without cutting; nothing when there are no rows."""

    def column(at: int, title: str) -> Column:
        return Column(title, lambda row, _: row[at])

    return table([column(at, title) for at, title in enumerate(titles)], rows, 0, line_width=None) if rows else []
