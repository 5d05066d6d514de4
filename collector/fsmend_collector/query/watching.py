"""Watch one command: a progress bar on a terminal, a line a step in a pipe, and the result at the end."""

import sys
import time
from collections.abc import Iterator

import click

from fsmend_collector.query.client import Client
from fsmend_collector.query.errors import QueryError
from fsmend_collector.query.output import MACHINE
from fsmend_collector.query.render.columns import action_name
from fsmend_collector.query.render.escape import visible
from fsmend_collector.query.render.machine import document, to_text
from fsmend_collector.query.render.readings import FINAL, progress_text, result_lines, state_word, update_text
from fsmend_proto.v1 import command_pb2
from fsmend_proto.v1 import query_pb2 as pb

_RETRY_SECONDS = 2.0


def watch_command(client: Client, command_id: str, output: str) -> int:
    """Show the command's life until a final state, and return that state.

    Raises:
        QueryError: no such command, or the collector cannot be asked and never could.
    """
    views = _views(client, command_id)
    if output in MACHINE:
        return _documents(views, "jsonl" if output == "json" else output)
    view = _bar(views) if sys.stdout.isatty() else _lines(views)
    if view.last_update.HasField("result"):
        click.echo("\n".join(result_lines(view)).lstrip("\n"))
    return view.state


def _views(client: Client, command_id: str) -> Iterator[pb.CommandView]:
    """Yield the states, through lost connections, up to a final one."""
    attached = False
    while True:
        try:
            for view in client.watch_command(command_id):
                attached = True
                yield view
                if view.state in FINAL:
                    return
        except QueryError as error:
            if not (attached and error.retry):
                raise
            click.echo(error.format_message(), err=True)
        time.sleep(_RETRY_SECONDS)


def _documents(views: Iterator[pb.CommandView], output: str) -> int:
    state = 0
    for view in views:
        click.echo(to_text(output, document("Command", view)))
        state = view.state
    return state


def _lines(views: Iterator[pb.CommandView]) -> pb.CommandView:
    last, shown = pb.CommandView(), ""
    for last in views:
        text = _text(last)
        if text != shown:
            click.echo(f"{visible(last.command.id)}  {text}")
            shown = text
    return last


def _text(view: pb.CommandView) -> str:
    """Return the newest step; the collector's own states have no update of the agent."""
    if view.HasField("last_update") and view.last_update.state == view.state:
        return update_text(view.last_update)
    return state_word(view.state)


def _bar(views: Iterator[pb.CommandView]) -> pb.CommandView:
    from rich.markup import escape  # noqa: PLC0415  rich is slow to import
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    last = pb.CommandView()
    bar = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[detail]}"),
        TimeElapsedColumn(),
    )
    with Progress(*bar) as progress:
        task = progress.add_task("waiting", total=100, detail="")
        for last in views:
            update = last.last_update
            detail = progress_text(update.progress) if update.HasField("progress") else visible(update.message)
            name = f"{action_name(last.command)} on {visible(last.host_name)}: {state_word(last.state)}"
            done = update.progress.percent if update.HasField("progress") else None  # None: leave the bar as it is
            if last.state == command_pb2.COMMAND_STATE_SUCCEEDED:
                done = 100
            progress.update(task, completed=done, description=escape(name), detail=escape(detail), refresh=True)
    click.echo(_text(last))
    return last
