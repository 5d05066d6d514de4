"""`fsmend repair`: order a repair, watch it, cancel it."""

import time
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from fsmend_collector.commands import is_uuid
from fsmend_collector.query.actions import action_names, new_command
from fsmend_collector.query.client import Client, connect
from fsmend_collector.query.errors import QueryError
from fsmend_collector.query.output import MACHINE, output_option, print_document
from fsmend_collector.query.render.escape import visible
from fsmend_collector.query.render.machine import document
from fsmend_collector.query.render.readings import command_facts, state_word
from fsmend_collector.query.render.section import facts
from fsmend_collector.query.watching import watch_command
from fsmend_proto.v1 import command_pb2
from fsmend_proto.v1 import query_pb2 as pb


@click.group()
def repair() -> None:
    """Order, watch and cancel repairs."""


def _complete_action(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(name) for name in action_names() if name.startswith(incomplete.replace("-", "_"))]


@repair.command(epilog=f"Actions: {', '.join(action_names())}.")
@click.argument("action", shell_complete=_complete_action)
@click.option("--fs", "filesystem", required=True, metavar="FS", help="UUID, its unique prefix, or HOST:/MOUNT.")
@click.option("--host", default="", metavar="HOST", help="Where several hosts have this filesystem.")
@click.option("--device", default="", metavar="ID", help="Only this device of the filesystem.")
@click.option("--set", "settings", multiple=True, metavar="FIELD=VALUE", help="An argument of the action.")
@click.option("--incident", default="", metavar="ID", help="The incident that this is to resolve.")
@click.option("--reason", default="", help="Why; it stands in the audit.")
@click.option("--dry-run", is_flag=True, help="Check, and show the command that would be sent; send nothing.")
@click.option(
    "--sign",
    "key_file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="KEY",
    help="Sign it with this Ed25519 key (PEM), for hosts whose policy requires a signature.",
)
@click.option(
    "--signer", default="", metavar="NAME", help="Who signs, as the hosts' policy has it; else your own name."
)
@click.option("-y", "--yes", is_flag=True, help="Sign without asking.")
@click.option("-w", "--wait", "--watch", is_flag=True, help="Watch it until its end.")
@output_option("table", "json", "jsonl", "yaml", "name")
def run(
    action: str,
    filesystem: str,
    dry_run: bool,
    key_file: Path | None,
    signer: str,
    yes: bool,
    wait: bool,
    output: str,
    **options: Any,
) -> None:
    """Order ACTION on the host that has the filesystem.

    The host's own policy decides whether it runs. With --wait the exit status is 0 only when it succeeded.

    With --sign the collector completes the command, you see it, and it is signed here: the key stays on this machine.
    """
    if key_file is None and (signer or yes):
        raise click.UsageError("--signer and --yes go with --sign KEY")
    request = _request(action, filesystem, dry_run=dry_run, **options)
    with connect() as client:
        view = client.run_repair(request) if key_file is None else _signed(client, request, key_file, signer, yes=yes)
        if dry_run or not wait or output != "table":
            _show(view, output, "would be sent" if dry_run else "queued")
        else:
            click.echo(f"command {view.command.id} queued for {visible(view.host_name)}")
        if wait and not dry_run:
            _finish(client, view.command.id, output)


def _signed(client: Client, request: pb.RunRepairRequest, key_file: Path, signer: str, *, yes: bool) -> pb.CommandView:
    """Let the collector complete the command, sign what it made of it, and order that."""
    from fsmend_collector.query.signing import (  # noqa: PLC0415  slow to import
        checked,
        load_signer,
        own_name,
        signed_facts,
    )

    host = "" if is_uuid(request.host) else request.host  # an agent's id says nothing to a host
    if yes and not request.dry_run and not (host and _is_certain(request.command.target)):
        raise click.UsageError(
            "--yes needs the host and the filesystem: --fs HOST:/MOUNT, or --host and the whole UUID"
        )
    wish = pb.RunRepairRequest()
    wish.CopyFrom(request)
    wish.command.signer, wish.dry_run = signer or own_name(client.context), True
    view = client.run_repair(wish)
    complete = checked(request.command, host, view.command, own_name(client.context), time.time_ns())
    if request.dry_run:
        return view
    who = load_signer(key_file, wish.command.signer)
    if not yes:
        click.echo("\n".join(["to be signed:", *facts(signed_facts(complete), indent=2)]), err=True)
        click.confirm(f"Sign it as {visible(who.name)}?", abort=True, err=True)
    return client.run_repair(pb.RunRepairRequest(command=who.sign(complete), host=view.agent_id))


def _is_certain(target: command_pb2.Target) -> bool:
    """Say whether nobody has to look at which filesystem was found."""
    return bool(target.mount_point) or is_uuid(target.filesystem_uuid)


def _request(
    action: str,
    filesystem: str,
    *,
    dry_run: bool,
    host: str,
    device: str,
    settings: tuple[str, ...],
    incident: str,
    reason: str,
) -> pb.RunRepairRequest:
    try:
        command = new_command(action, settings)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    command.incident_id, command.reason = incident, reason
    command.target.device_id = device
    if ":/" in filesystem:
        named, _, mount_point = filesystem.partition(":")
        if host and host != named:
            raise click.UsageError(f"--fs names host {named!r}, --host names {host!r}")
        if any("\udc80" <= character <= "\udcff" for character in mount_point):  # as os.fsdecode keeps bytes
            raise click.UsageError(f"the mount point '{visible(mount_point)}' is not UTF-8: name the filesystem's UUID")
        host, command.target.mount_point = named, mount_point
    else:
        command.target.filesystem_uuid = filesystem
    return pb.RunRepairRequest(command=command, host=host, dry_run=dry_run)


@repair.command()
@click.argument("command_id", metavar="ID")
@output_option("table", "json", "jsonl", "yaml")
def watch(command_id: str, output: str) -> None:
    """Watch a command until its end; the exit status is 0 only when it succeeded."""
    with connect() as client:
        _finish(client, command_id, output)


@repair.command()
@click.argument("command_id", metavar="ID")
@click.option("--reason", default="", help="Why; it stands in the audit.")
@click.option("--dry-run", is_flag=True, help="Say what would be cancelled, and cancel nothing.")
@output_option("table", "json", "jsonl", "yaml", "name")
def cancel(command_id: str, reason: str, dry_run: bool, output: str) -> None:
    """Ask to stop a command: at once when it was not sent yet, otherwise as soon as the agent can."""
    request = pb.CancelRepairRequest(command_id=command_id, reason=reason, dry_run=dry_run)
    with connect() as client:
        view = client.cancel_repair(request)
    if output != "table":
        _show(view, output, "")
        return
    verb = "would be asked to stop" if dry_run else "was asked to stop"
    if view.state == command_pb2.COMMAND_STATE_CANCELLED:
        verb = "is cancelled; it was never sent"
    click.echo(f"command {view.command.id} on {visible(view.host_name)} ({state_word(view.state)}) {verb}")


def _show(view: pb.CommandView, output: str, what: str) -> None:
    if output == "name":
        click.echo(f"command/{visible(view.command.id)}")
    elif output in MACHINE:
        print_document(output, document("Command", view))
    else:
        click.echo(f"{what}:")
        click.echo("\n".join(facts(command_facts(view), indent=2)))


def _finish(client: Client, command_id: str, output: str) -> None:
    """Watch to the end and leave with the status that the outcome deserves."""
    try:
        state = watch_command(client, command_id, output)
    except KeyboardInterrupt:
        raise QueryError("no longer watching; the command goes on", f"`fsmend repair watch {command_id}`") from None
    if state != command_pb2.COMMAND_STATE_SUCCEEDED:
        raise click.exceptions.Exit(1)
