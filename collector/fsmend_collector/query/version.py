"""`fsmend version`."""

import click

from fsmend_collector import __version__
from fsmend_collector.query.render.escape import visible


@click.command()
@click.option("--collector", is_flag=True, help="Ask the collector for its version as well.")
def version(collector: bool) -> None:
    """Print the version."""
    click.echo(f"fsmend {__version__}")
    if collector:
        from fsmend_collector.query.client import connect  # noqa: PLC0415  grpc is slow to import

        with connect() as client:
            click.echo(f"collector {visible(client.health().collector_version)}")
