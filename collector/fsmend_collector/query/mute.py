"""`fsmend mute`, `unmute` and `resolve`: an operator's word on an incident."""

import time

import click

from fsmend_collector.query.client import connect
from fsmend_collector.query.output import MACHINE, output_option, print_document
from fsmend_collector.query.render.escape import visible
from fsmend_collector.query.render.machine import document
from fsmend_collector.query.render.values import local_time
from fsmend_collector.query.times import LengthParameter
from fsmend_proto.v1 import why_pb2

_SECOND_NS = 1_000_000_000
_outputs = output_option("table", "json", "jsonl", "yaml", "name")
_dry_run = click.option("--dry-run", is_flag=True, help="Check, and show the incident as it would be; change nothing.")


@click.command()
@click.argument("incident", metavar="INCIDENT")
@click.option("--for", "seconds", type=LengthParameter(), required=True, metavar="LENGTH", help="2h, 30m, 1d …")
@click.option("--reason", default="", help="Why; it stands in the audit.")
@_dry_run
@_outputs
def mute(incident: str, seconds: int, reason: str, dry_run: bool, output: str) -> None:
    """Mute INCIDENT for a time: it is shown, but nothing is ordered for it.

    The mute falls earlier when it gets worse.
    """
    until_ns = time.time_ns() + seconds * _SECOND_NS
    request = why_pb2.MuteIncidentRequest(id=incident, until_ns=until_ns, reason=reason, dry_run=dry_run)
    with connect() as client:
        reply = client.mute(request)
    _show(reply, output, f"muted until {local_time(reply.incident.muted_until_ns or until_ns)}", dry_run=dry_run)


@click.command()
@click.argument("incident", metavar="INCIDENT")
@click.option("--reason", default="", help="Why; it stands in the audit.")
@_dry_run
@_outputs
def unmute(incident: str, reason: str, dry_run: bool, output: str) -> None:
    """Take the mute off INCIDENT."""
    with connect() as client:
        reply = client.mute(why_pb2.MuteIncidentRequest(id=incident, reason=reason, dry_run=dry_run))
    _show(reply, output, "no longer muted", dry_run=dry_run)


@click.command()
@click.argument("incident", metavar="INCIDENT")
@click.option("--proof", required=True, metavar="TEXT", help="What makes sure that it is over; it stands in the audit.")
@click.option("--members", is_flag=True, help="Of a shared cause: also the incidents that it explains.")
@_dry_run
@_outputs
def resolve(incident: str, proof: str, members: bool, dry_run: bool, output: str) -> None:
    """Resolve INCIDENT with your word as the proof, as for a host that will never return.

    A newer error opens it again. The incidents that a shared cause explains come back as they are, unless --members.
    """
    request = why_pb2.ResolveIncidentRequest(id=incident, proof=proof, members=members, dry_run=dry_run)
    with connect() as client:
        reply = client.resolve(request)
    _show(reply, output, "resolved", dry_run=dry_run)


def _show(reply: why_pb2.IncidentWordReply, output: str, what: str, *, dry_run: bool) -> None:
    incident = reply.incident
    if output == "name":
        click.echo(f"incident/{visible(incident.id)}")
    elif output in MACHINE:
        print_document(output, document("IncidentWord", reply))
    elif dry_run:
        click.echo(f"incident {incident.id} ({incident.code}) would be {what}")
    elif reply.applied:
        click.echo(f"incident {incident.id} ({incident.code}) is {what}")
    else:
        click.echo(f"noted for incident {incident.id}; diagnosis has not taken it in yet, it will when it gets there")
