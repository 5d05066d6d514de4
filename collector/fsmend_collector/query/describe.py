"""`fsmend describe KIND ID`: everything about one object, and what belongs to it."""

import time

import click

from fsmend_collector.query.client import Client, connect
from fsmend_collector.query.fetch import objects, one
from fsmend_collector.query.kinds import Kind, KindParameter, body
from fsmend_collector.query.output import MACHINE, output_option, print_document
from fsmend_collector.query.render.description import Related, describe_lines
from fsmend_collector.query.render.machine import document
from fsmend_collector.query.render.plain import plain
from fsmend_proto.v1 import query_pb2 as pb


@click.command()
@click.argument("kind", type=KindParameter())
@click.argument("id", metavar="ID")
@click.option("--host", default="", metavar="HOST", help="Where several hosts have the same one.")
@click.option("--events", "events", type=click.IntRange(0, 1000), default=20, show_default=True, help="Newest so many.")
@output_option("table", "json", "jsonl", "yaml")
def describe(kind: Kind, id: str, host: str, events: int, output: str) -> None:  # noqa: A002  the word of the help
    """Show everything about one object.

    For an incident: its unit, places, evidence, timeline, commands with their results, and what to do.

    ID may be a unique prefix; a host's name; a filesystem's HOST:/MOUNT; a device's kernel name.
    """
    with connect() as client:
        found = one(client, kind, id, host)
        related = _related(client, found, events)
    if output in MACHINE:
        print_document(output, _document(kind, found, related))
    else:
        click.echo("\n".join(describe_lines(found, related, time.time_ns())))


def _related(client: Client, found: pb.Object, events: int) -> Related:
    """Fetch what belongs to the object: incidents and commands whether closed or not, newest first."""
    wanted = _filter(found)
    if wanted is None:
        return Related()
    is_host = found.WhichOneof("body") in {"host", "agent"}
    request = pb.ListRequest(kind=pb.OBJECT_KIND_INCIDENT, filter=wanted)
    incidents = [] if wanted.incident_id else [one.incident for one in objects(client, request, 50)]
    request = pb.ListRequest(kind=pb.OBJECT_KIND_COMMAND, filter=wanted, detail=bool(wanted.incident_id))
    commands = [one.command for one in objects(client, request, 50)]
    related = Related(incidents=incidents, commands=commands)
    if events:
        request = pb.ListRequest(kind=pb.OBJECT_KIND_EVENT, filter=wanted)
        related.events = [one.event for one in reversed(list(objects(client, request, events)))]
    if is_host:
        request = pb.ListRequest(kind=pb.OBJECT_KIND_FILESYSTEM, filter=wanted)
        related.filesystems = [one.filesystem for one in objects(client, request)]
        request = pb.ListRequest(kind=pb.OBJECT_KIND_DEVICE, filter=wanted)
        related.devices = [one.device for one in objects(client, request)]
    return related


def _filter(found: pb.Object) -> pb.Filter | None:
    """Return what chooses the objects that belong to this one; None for kinds that stand alone."""
    kind = found.WhichOneof("body")
    if kind == "incident":
        return pb.Filter(incident_id=found.incident.id, include_closed=True)
    if kind in {"host", "agent"}:
        return pb.Filter(host=body(found).agent_id, include_closed=True)
    if kind == "filesystem" and found.filesystem.filesystem.ref.uuid:
        view = found.filesystem
        return pb.Filter(host=view.agent_id, filesystem_uuid=view.filesystem.ref.uuid, include_closed=True)
    if kind == "device":
        return pb.Filter(host=found.device.agent_id, device=found.device.device.ref.id, include_closed=True)
    return None


def _document(kind: Kind, found: pb.Object, related: Related) -> dict[str, object]:
    content = plain(body(found))
    for name in Related.__slots__:
        if items := getattr(related, name):
            content[f"related_{name}"] = [plain(item) for item in items]
    return document(kind.title, content)
