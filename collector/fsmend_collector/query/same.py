"""`fsmend same DEVICE`: is it only this one?"""

import click

from fsmend_collector.query.client import connect
from fsmend_collector.query.output import MACHINE, output_option, print_document
from fsmend_collector.query.render.machine import document
from fsmend_collector.query.render.same import same_lines
from fsmend_collector.query.times import TIME_HELP, TimeParameter
from fsmend_proto.v1 import why_pb2


@click.command()
@click.argument("device", metavar="DEVICE")
@click.option(
    "-S", "--since", type=TimeParameter(), help=f"Also what failed since then and is well again: {TIME_HELP}."
)
@click.option(
    "--incidents", type=click.IntRange(1, 1000), default=5, show_default=True, help="List so many of a group."
)
@output_option("table", "json", "jsonl", "yaml")
def same(device: str, since: int | None, incidents: int, output: str) -> None:
    """Say who shares something with DEVICE, how many of them fail, and how surprising that is.

    DEVICE is a device's id, its serial number, or HOST:NAME as in web1:sda. Model, firmware, adapter, enclosure, rack,
    kernel, power-on hours, target and every label are compared with the rest of the fleet by an exact test.
    """
    request = why_pb2.FindSameRequest(device=device, since_ns=since or 0, incidents_listed=incidents)
    with connect() as client:
        found = client.same(request)
    if output in MACHINE:
        print_document(output, document("Same", found))
    else:
        click.echo("\n".join(same_lines(found)))
