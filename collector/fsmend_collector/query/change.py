"""`fsmend change`: declare what is done to a part of the fleet, list it, end it."""

import time

import click

from fsmend_collector.query.client import connect
from fsmend_collector.query.output import MACHINE, output_option, print_document
from fsmend_collector.query.render.escape import visible
from fsmend_collector.query.render.machine import document
from fsmend_collector.query.render.plain import plain
from fsmend_collector.query.render.section import grid
from fsmend_collector.query.render.values import local_time
from fsmend_collector.query.times import TIME_HELP, LengthParameter, TimeParameter
from fsmend_proto.v1 import why_pb2

_SECOND_NS = 1_000_000_000
_KINDS = ("maintenance", "rollout", "campaign")
_outputs = output_option("table", "json", "jsonl", "yaml", "name")
_dry_run = click.option("--dry-run", is_flag=True, help="Check, and show what would be; change nothing.")


@click.group()
def change() -> None:
    """Say what is done to a part of the fleet: maintenance, a roll-out, a campaign.

    A change that came before most of an incident's units failed is named as a candidate cause. What maintenance is
    expected to do (hosts and disks that are away, link and medium errors) is not counted as failing in its scope.
    """


@change.command()
@click.argument("name")
@click.option("--scope", required=True, metavar="LABEL=VALUE", help="Of its hosts: rack=r1; kernel=6.8.0; fleet=all.")
@click.option("--for", "seconds", type=LengthParameter(), metavar="LENGTH", help="4h, 2d …, from its beginning.")
@click.option("--until", type=TimeParameter(), help="When its effects should be over, instead of --for.")
@click.option("--from", "begin", type=TimeParameter(), help=f"When it begins; now unless given: {TIME_HELP}.")
@click.option("--kind", type=click.Choice(_KINDS), default=_KINDS[0], show_default=True)
@click.option("--force", is_flag=True, help="Also for a scope that no host has yet: a rack or kernel to come.")
@_dry_run
@_outputs
def add(
    name: str,
    scope: str,
    seconds: int | None,
    until: int | None,
    begin: int | None,
    kind: str,
    force: bool,
    dry_run: bool,
    output: str,
) -> None:
    """Declare change NAME."""
    if (seconds is None) == (until is None):
        raise click.UsageError("give one of --for and --until")
    from_ns = begin or time.time_ns()
    until_ns = until or from_ns + (seconds or 0) * _SECOND_NS
    request = why_pb2.AddChangeRequest(
        kind=kind, name=name, scope=scope, from_ns=from_ns, until_ns=until_ns, dry_run=dry_run, force=force
    )
    with connect() as client:
        view = client.add_change(request)
    _show(view, output, "would be declared" if dry_run else "is declared")


@change.command("list")
@click.option("-S", "--since", type=TimeParameter(), help=f"Not over then; a week ago unless given: {TIME_HELP}.")
@_outputs
def list_(since: int | None, output: str) -> None:
    """List what was declared, and the roll-outs and campaigns that the collector saw by itself."""
    with connect() as client:
        found = client.changes(why_pb2.ListChangesRequest(since_ns=since or 0)).changes
    if output == "name":
        click.echo("".join(f"change/{visible(one.id)}\n" for one in found), nl=False)
    elif output == "jsonl":
        for one in found:
            print_document(output, document("Change", one))
    elif output in MACHINE:
        print_document(output, document("ChangeList", {"items": [plain(one) for one in found]}))
    else:
        click.echo("\n".join(_rows(list(found))) if found else "no changes")


def _rows(found: list[why_pb2.ChangeView]) -> list[str]:
    rows: list[list[str | bytes]] = [
        [one.id, f"{one.dimension}={one.value}", local_time(one.from_ns), local_time(one.until_ns), one.declared_by,
         one.name]
        for one in found
    ]  # fmt: skip
    return grid(("ID", "SCOPE", "FROM", "UNTIL", "BY", "NAME"), rows)


@change.command()
@click.argument("change_id", metavar="ID")
@_dry_run
@_outputs
def end(change_id: str, dry_run: bool, output: str) -> None:
    """End change ID now: from now on its scope is counted again."""
    with connect() as client:
        view = client.end_change(why_pb2.EndChangeRequest(id=change_id, dry_run=dry_run))
    _show(view, output, "would end" if dry_run else "has ended")


def _show(view: why_pb2.ChangeView, output: str, what: str) -> None:
    if output == "name":
        click.echo(f"change/{visible(view.id)}")
    elif output in MACHINE:
        print_document(output, document("Change", view))
    else:
        scope = visible(f"{view.dimension}={view.value}")
        click.echo(f"{view.kind} {view.id} ({visible(view.name)}, {scope}) {what}; until {local_time(view.until_ns)}")
