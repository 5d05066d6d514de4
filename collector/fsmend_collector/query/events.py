"""`fsmend events`: the newest events, oldest first, and then what comes: a line the moment the collector commits it."""

import contextlib
import itertools
import shutil
import sys
import time
from typing import Any

import click

from fsmend_collector.query.client import Client, connect
from fsmend_collector.query.errors import QueryError
from fsmend_collector.query.fetch import MOST_OBJECTS, objects
from fsmend_collector.query.filters import Choice, filter_options
from fsmend_collector.query.kinds import BY_SINGULAR
from fsmend_collector.query.output import MACHINE, output_option, print_objects
from fsmend_collector.query.render.eventline import HEADING, event_line
from fsmend_collector.query.render.machine import name, object_document, to_text
from fsmend_proto.v1 import query_pb2 as pb

_RETRY_SECONDS = (0.5, 1.0, 2.0, 5.0)


@click.command()
@click.option("-f", "--follow", "follow_on", is_flag=True, help="Stay, and print events as they are committed.")
@click.option("--cursor", default="", metavar="ID", help="Go on right after this event; implies --follow.")
@click.option(
    "-n", "--limit", type=click.IntRange(0, MOST_OBJECTS), help="The newest so many, 0 for all; 100 unless following."
)
@output_option("table", "wide", "json", "jsonl", "yaml", "name")
@filter_options
def events(follow_on: bool, cursor: str, limit: int | None, output: str, **options: Any) -> None:
    """Show events, the newest last, and follow them.

    With --follow it prints from now on, or from --since on, or after --cursor; the cursor is the id of the last event
    seen. When the connection breaks it goes on where it was, without a hole or a repeat.
    """
    if cursor and not cursor.isdecimal():
        raise click.BadParameter(f"{cursor!r} is not the id of an event", param_hint="--cursor")
    choice = Choice.take(options)
    with connect() as client:
        wanted = choice.to_filter(client)
        if not (follow_on or cursor):
            _show(client, wanted, 100 if limit is None else limit, output)
            return
        if wanted.until_ns:
            raise click.UsageError("--until makes no sense with --follow")
        if limit and not cursor:
            cursor = _newest(client, wanted, limit, output)
        follow(client, wanted, cursor, "jsonl" if output == "json" else output)


def _show(client: Client, wanted: pb.Filter, limit: int, output: str) -> None:
    request = pb.ListRequest(kind=pb.OBJECT_KIND_EVENT, filter=wanted)
    most = limit + 1 if limit else 0
    found = list(itertools.islice(objects(client, request, most), most or None))
    more = bool(limit) and len(found) > limit
    found = list(reversed(found[:limit] if limit else found))
    if output in MACHINE or output == "name":
        print_objects(BY_SINGULAR["event"], found, output, more=more)
        return
    click.echo(HEADING)
    for item in found:
        _print(item.event, output)


def _newest(client: Client, wanted: pb.Filter, limit: int, output: str) -> str:
    """Print the newest events, then return the cursor to follow from."""
    start = next(client.follow_events(pb.FollowEventsRequest())).cursor
    request = pb.ListRequest(kind=pb.OBJECT_KIND_EVENT, filter=wanted)
    for item in reversed(list(objects(client, request, limit))):
        if int(item.event.id) <= int(start):
            _print(item.event, output)
    return start


def follow(client: Client, wanted: pb.Filter, cursor: str, output: str) -> None:
    """Print events as they come until Ctrl-C, which is how this ends; a broken connection goes on at the cursor."""
    with contextlib.suppress(KeyboardInterrupt):
        _follow(client, wanted, cursor, output)


def _follow(client: Client, wanted: pb.Filter, cursor: str, output: str) -> None:
    attached = False
    failures = 0
    while True:
        try:
            for reply in client.follow_events(pb.FollowEventsRequest(filter=wanted, cursor=cursor)):
                if not attached and output in {"table", "wide"}:
                    click.echo(HEADING)
                if reply.HasField("event"):
                    _print(reply.event, output)
                cursor = reply.event.id or reply.cursor or cursor
                attached, failures = True, 0
        except QueryError as error:
            if not (error.retry and attached):
                raise
            if not failures:
                click.echo(f"{error.format_message()}\nwaiting for it, to go on after event {cursor}", err=True)
        time.sleep(_RETRY_SECONDS[min(failures, len(_RETRY_SECONDS) - 1)])
        failures += 1


def _print(event: pb.EventView, output: str) -> None:
    """Print one event and flush: `click.echo` flushes each time."""
    found = pb.Object(event=event)
    if output == "name":
        click.echo(name(found))
    elif output in MACHINE:
        click.echo(to_text(output, object_document(found)))
    else:
        click.echo(event_line(event, wide=output == "wide", line_width=_line_width()))


def _line_width() -> int:
    """Return 80 in a pipe; a terminal may be wider, and is asked each time because it may be resized."""
    return shutil.get_terminal_size((80, 24)).columns if sys.stdout.isatty() else 80
