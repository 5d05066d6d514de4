"""`fsmend why INCIDENT`: why we think so, against what, and what would change our mind."""

import click

from fsmend_collector.query.client import connect
from fsmend_collector.query.output import MACHINE, output_option, print_document
from fsmend_collector.query.render.machine import document
from fsmend_collector.query.render.why import why_lines
from fsmend_proto.v1 import why_pb2


@click.command()
@click.argument("incident", metavar="INCIDENT")
@output_option("table", "json", "jsonl", "yaml")
def why(incident: str, output: str) -> None:
    """Say why INCIDENT is one: competing causes with odds, base rates, evidence.

    For a shared cause also what would change our mind, computed with the score that chose it; for one unit's incident
    the rates that it crossed and what else fails nearby. INCIDENT may be a unique prefix.
    """
    with connect() as client:
        found = client.why(why_pb2.ExplainIncidentRequest(id=incident))
    if output in MACHINE:
        print_document(output, document("Why", found))
    else:
        click.echo("\n".join(why_lines(found)))
