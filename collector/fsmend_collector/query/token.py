"""`fsmend token`: one-use tokens that let a host join."""

import sys

import click

from fsmend_collector.query.client import connect
from fsmend_collector.query.fetch import objects
from fsmend_collector.query.kinds import BY_SINGULAR
from fsmend_collector.query.output import MACHINE, output_option, print_document, print_objects
from fsmend_collector.query.render.escape import visible
from fsmend_collector.query.render.machine import document
from fsmend_collector.query.render.values import local_time
from fsmend_collector.query.times import LengthParameter
from fsmend_proto.v1 import query_pb2 as pb


@click.group()
def token() -> None:
    """Make and list join tokens."""


@token.command()
@click.option(
    "--ttl", type=LengthParameter(), default="1h", show_default=True, help="How long it may be used: 30m, 2d."
)
@click.option("--host", default="", metavar="NAME", help="Only this host may use it.")
@click.option("--dry-run", is_flag=True, help="Say what would be made, and make nothing.")
@output_option("table", "json", "jsonl", "yaml")
def create(ttl: int, host: str, dry_run: bool, output: str) -> None:
    """Make a token that lets one host join, once.

    In a pipe only the token is printed. It is shown now and never again; the collector keeps only its hash.
    """
    request = pb.CreateTokenRequest(time_to_live_seconds=ttl, host_name=host, dry_run=dry_run)
    with connect() as client:
        reply = client.create_token(request)
    if output in MACHINE:
        print_document(output, document("CreatedToken", reply))
        return
    if dry_run:
        who = f"host {visible(host)}" if host else "any one host"
        click.echo(f"would make a token for {who}, good until {local_time(reply.token.not_after_ns)}")
        return
    click.echo(reply.join_token)
    if sys.stdout.isatty():
        who = f"host {visible(host)}" if host else "one host"
        click.echo(f"For {who}, once, until {local_time(reply.token.not_after_ns)}. On the host:")
        click.echo("  fsmend-agent enrol --token-file FILE")


@token.command(name="list")
@output_option("table", "wide", "json", "jsonl", "yaml", "name")
@click.option("-a", "--all", "include_closed", is_flag=True, help="Also used and expired ones.")
def list_tokens(output: str, include_closed: bool) -> None:
    """List tokens; their secrets are not kept."""
    wanted = pb.ListRequest(kind=pb.OBJECT_KIND_TOKEN, filter=pb.Filter(include_closed=include_closed))
    with connect() as client:
        print_objects(BY_SINGULAR["token"], list(objects(client, wanted)), output)
