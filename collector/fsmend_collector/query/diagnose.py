"""`fsmend diagnose`: diagnose stored history again, in shadow, and compare the incidents with those that are stored."""

import contextlib
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import click

from fsmend_collector.query.client import connect
from fsmend_collector.query.errors import QueryError
from fsmend_collector.query.output import MACHINE, output_option, print_document
from fsmend_collector.query.render.machine import document
from fsmend_collector.query.render.plain import plain
from fsmend_collector.query.render.replay import DIFFERS, replay_lines
from fsmend_collector.query.render.values import local_time
from fsmend_collector.query.times import TIME_HELP, TimeParameter
from fsmend_proto.v1 import why_pb2

EXIT_DIFFERS = 3
_TABLES = ("diagnosis", "groups")
_CONFIG = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.option(
    "-S", "--since", type=TimeParameter(), required=True, help=f"Incidents that began since then: {TIME_HELP}."
)
@click.option("-U", "--until", type=TimeParameter(), help="And before then; now unless given.")
@click.option("--config", type=_CONFIG, help="Try [diagnosis] and [groups] of this collector.toml.  [default: its own]")
@output_option("table", "json", "yaml")
def diagnose(since: int, until: int | None, config: Path | None, output: str) -> None:
    """Diagnose stored history again, in shadow, and compare the incidents.

    The collector does it in a process of its own; nothing is written and nothing is ordered. With --config you see what
    other settings would have said. Ctrl-C ends it. What takes more than half an hour or 1 GiB of memory ends with an
    error that says how far it came.

    Exit status: 0 when every incident is the same, 3 when some differ, 1 for an error.
    """
    found: list[why_pb2.ReplayDifference] = []
    summary: why_pb2.ReplaySummary | None = None
    with connect() as client, _progress() as show:
        request = why_pb2.DiagnoseAgainRequest(since_ns=since, until_ns=until or 0, diagnosis_toml=_text(config))
        for reply in client.diagnose_again(request):
            match reply.WhichOneof("body"):
                case "progress":
                    show(reply.progress)
                case "difference":
                    found.append(reply.difference)
                case "summary":
                    summary = reply.summary
    if summary is None:
        raise QueryError("the collector ended the replay without a result", "its log says more")
    if output in MACHINE:
        print_document(output, document("Replay", _content(found, summary)))
    else:
        click.echo("\n".join(replay_lines(found, summary)))
    if any(one.kind in DIFFERS for one in found):
        raise click.exceptions.Exit(EXIT_DIFFERS)


def _text(config: Path | None) -> str:
    """Return the tables of a file that diagnosis goes by, as TOML: the rest is nobody's business here."""
    if config is None:
        return ""
    import tomllib  # noqa: PLC0415  only with --config

    try:
        raw = tomllib.loads(config.read_bytes().decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise QueryError(f"{config} is not TOML: {error}") from None
    except OSError as error:
        raise QueryError(f"cannot read {config}: {error.strerror}") from None
    return "\n".join(_entries({name: raw[name] for name in _TABLES if name in raw}, "")) or "# its defaults"


def _entries(table: dict[str, Any], prefix: str) -> Iterator[str]:
    """Yield dotted keys with their values; JSON's scalars and lists are TOML's too."""
    for key, value in table.items():
        name = f"{prefix}{json.dumps(key)}"
        if isinstance(value, dict):
            yield from _entries(value, f"{name}.")
        else:
            yield f"{name} = {json.dumps(value, default=str)}"


@contextlib.contextmanager
def _progress() -> Iterator[Any]:
    """Yield a function that draws how far it is, on a terminal's stderr only."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return

    def show(one: why_pb2.ReplayProgress) -> None:
        part = f"{100 * one.records // max(one.records_of, 1):3d} %" if one.records_of else "    "
        text = f"{part}  {one.phase}, {one.records} records, at {local_time(one.at_ns)}"
        click.echo(f"\r\x1b[K{text[:79]}", err=True, nl=False)

    try:
        yield show
    finally:
        click.echo("\r\x1b[K", err=True, nl=False)


def _content(found: Iterable[why_pb2.ReplayDifference], summary: why_pb2.ReplaySummary) -> dict[str, Any]:
    return {**plain(summary), "identical": not any(one.kind in DIFFERS for one in found),
            "incidents": [plain(one) for one in found]}  # fmt: skip
