"""`fsmend health`: one word, then what is wrong, worst first."""

import click

from fsmend_collector.query.client import connect
from fsmend_collector.query.output import MACHINE, output_option, print_document
from fsmend_collector.query.render.columns import colour
from fsmend_collector.query.render.escape import cut, visible
from fsmend_collector.query.render.machine import document
from fsmend_collector.query.render.values import word
from fsmend_proto.v1 import query_pb2 as pb

_LINE = 80


@click.command()
@click.argument("detail", type=click.Choice(["detail"]), required=False)
@output_option("table", "json", "jsonl", "yaml")
def health(detail: str | None, output: str) -> None:
    """Say whether the fleet is well, and what is wrong.

    HEALTH_OK, HEALTH_WARN or HEALTH_ERR, then one line for each check that is not well. With `detail`, each check names
    the hosts, incidents and agents behind it. The exit status is 0 whenever the collector answered.
    """
    with connect() as client:
        reply = client.health()
    if output in MACHINE:
        print_document(output, document("Health", reply))
        return
    for line in _lines(reply, detail=detail is not None):
        click.echo(line)


def _lines(reply: pb.GetHealthReply, *, detail: bool) -> list[str]:
    status = word(pb.HealthStatus.DESCRIPTOR, reply.status)
    lines = [click.style(f"HEALTH_{status.upper()}", fg=colour(status), bold=True)]
    for check in sorted(reply.checks, key=lambda check: (-check.status, check.code)):
        level = word(pb.HealthStatus.DESCRIPTOR, check.status)
        text = f"{visible(check.code)}: {visible(check.summary)}"
        lines.append(f"  {click.style(f'{level.upper():4}', fg=colour(level))}  {cut(text, _LINE - 8)}")
        if detail:
            lines += [f"        {visible(line)}" for line in check.details]
    if not reply.agents:
        lines.append("  no host has joined yet: `fsmend token create` here, then `fsmend-agent enrol` on the host")
    lines.append(
        f"  {reply.agents_connected} of {reply.agents} agents connected, {reply.filesystems} filesystems, "
        f"{reply.devices} devices"
    )
    lines.append(
        f"  {reply.incidents_open} incidents open, {reply.commands_running} commands running, "
        f"{reply.events_last_hour} events in the last hour"
    )
    return lines
