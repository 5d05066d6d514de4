"""`fsmend get KIND [ID…]`: lists of objects."""

import contextlib
import itertools
import sys
import time
from collections.abc import Callable
from typing import Any

import click

from fsmend_collector.query.client import Client, connect
from fsmend_collector.query.events import follow
from fsmend_collector.query.fetch import MOST_OBJECTS, objects, one
from fsmend_collector.query.filters import Choice, filter_options
from fsmend_collector.query.kinds import KINDS, Kind, KindParameter, identity
from fsmend_collector.query.output import MACHINE, output_option, print_objects, rows
from fsmend_collector.query.times import FiniteRange
from fsmend_proto.v1 import query_pb2 as pb

_LIMITED = dict.fromkeys((pb.OBJECT_KIND_EVENT, pb.OBJECT_KIND_GAP, pb.OBJECT_KIND_AUDIT), 100)
_CLEAR = "\x1b[H\x1b[2J"
_NAMES = ", ".join(f"{kind.plural} ({kind.short})" for kind in KINDS)


@click.command(epilog=f"Kinds: {_NAMES}.")
@click.argument("kind", type=KindParameter())
@click.argument("ids", nargs=-1, metavar="[ID]...")
@output_option("table", "wide", "json", "jsonl", "yaml", "name")
@filter_options
@click.option("-a", "--all", "include_closed", is_flag=True, help="Also resolved incidents and finished commands.")
@click.option(
    "--limit", type=click.IntRange(0, MOST_OBJECTS), help="At most so many, 0 for all; events, gaps and audit: 100."
)
@click.option("-w", "--watch", is_flag=True, help="Stay, and show what changes.")
@click.option("--interval", type=FiniteRange(min=0.2), default=2.0, show_default=True, help="Seconds, with --watch.")
def get(
    kind: Kind,
    ids: tuple[str, ...],
    output: str,
    include_closed: bool,
    limit: int | None,
    watch: bool,
    interval: float,
    **options: Any,
) -> None:
    """List objects of one KIND, newest or worst first.

    KIND may be written singular, plural or short; IDs may be unique prefixes. Filters run on the collector.
    """
    choice = Choice.take(options)
    if kind.number == pb.OBJECT_KIND_AUDIT and (choice.kinds or choice.severity or choice.source):
        raise click.UsageError("--kind, --severity and --source choose events; the audit has none of them")
    with connect() as client:
        wanted = pb.ListRequest(kind=kind.number, filter=choice.to_filter(client, include_closed=include_closed))
        most = _LIMITED.get(kind.number, 0) if limit is None else limit
        if watch and kind.number == pb.OBJECT_KIND_EVENT and not ids:
            follow(client, wanted.filter, "", "jsonl" if output in MACHINE else output)
        elif watch:
            with contextlib.suppress(KeyboardInterrupt):
                _watch(kind, lambda: _read(client, kind, ids, wanted, most)[0], output, interval)
        else:
            found, more = _read(client, kind, ids, wanted, most)
            print_objects(kind, found, output, more=more)


def _read(
    client: Client, kind: Kind, ids: tuple[str, ...], wanted: pb.ListRequest, limit: int
) -> tuple[list[pb.Object], bool]:
    """Return the objects, and whether the limit cut them."""
    if ids:
        return [one(client, kind, name, wanted.filter.host) for name in ids], False
    found = list(itertools.islice(objects(client, wanted, limit + 1 if limit else 0), limit + 1 if limit else None))
    return (found[:limit], True) if limit and len(found) > limit else (found, False)


def _watch(kind: Kind, read: Callable[[], list[pb.Object]], output: str, interval_seconds: float) -> None:
    """Draw the table again on a terminal; in a pipe append the objects that are new or changed."""
    redraw = sys.stdout.isatty() and output in {"table", "wide"}
    shown: dict[str, bytes] = {}
    first = True
    while True:
        found = read()
        if redraw:
            click.echo(_CLEAR + "\n".join(rows(kind, found, wide=output == "wide")))
        else:
            now = {_key(item): item.SerializeToString(deterministic=True) for item in found}
            changed = [item for item in found if shown.get(_key(item)) != now[_key(item)]]
            _append(kind, changed, output, heading=first)
            shown, first = now, False
        time.sleep(interval_seconds)


def _key(found: pb.Object) -> str:
    view = getattr(found, found.WhichOneof("body") or "agent")
    return f"{getattr(view, 'agent_id', '')}/{identity(found)}"


def _append(kind: Kind, changed: list[pb.Object], output: str, *, heading: bool) -> None:
    if output in {"table", "wide"}:
        lines = rows(kind, changed, wide=output == "wide")[0 if heading else 1 :]
        click.echo("".join(line + "\n" for line in lines), nl=False)
    elif changed:
        print_objects(kind, changed, "jsonl" if output == "json" else output)
    sys.stdout.flush()
