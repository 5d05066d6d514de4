"""Choose the output format, and print lists and single documents in it."""

import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import click

from fsmend_collector.query.kinds import Kind, body
from fsmend_collector.query.render.columns import columns
from fsmend_collector.query.render.machine import list_document, name, object_document, to_text
from fsmend_collector.query.render.table import LINE_WIDTH, table
from fsmend_proto.v1 import query_pb2 as pb

MACHINE = ("json", "jsonl", "yaml")


def output_option(*formats: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add `-o` with the given formats; the first is the default."""
    chosen = click.Choice(formats, case_sensitive=False)
    return click.option("-o", "--output", type=chosen, default=formats[0], show_default=True, help="Output format.")


def print_objects(kind: Kind, found: Sequence[pb.Object], output: str, *, more: bool = False) -> None:
    """Print a list; `more` says that a limit cut it."""
    if output == "name":
        click.echo("".join(name(item) + "\n" for item in found), nl=False)
    elif output == "jsonl":
        click.echo("".join(to_text(output, object_document(item)) + "\n" for item in found), nl=False)
    elif output in MACHINE:
        click.echo(to_text(output, list_document(kind.title, found, more=more)))
    elif found or not sys.stdout.isatty():
        click.echo("\n".join(rows(kind, found, wide=output == "wide")))
    else:
        click.echo(f"no {kind.plural}")


def rows(kind: Kind, found: Sequence[pb.Object], *, wide: bool) -> list[str]:
    """Return the lines of a table, heading first."""
    views = [body(item) for item in found]
    return table(columns(kind.singular, wide=wide), views, time.time_ns(), line_width=None if wide else LINE_WIDTH)


def print_document(output: str, content: dict[str, Any]) -> None:
    """Print one machine-readable document."""
    click.echo(to_text(output, content))
