"""`fsmend-collector`: set up, run and look after a collector on its own host."""

import asyncio
import getpass
import logging
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from fsmend_collector import __version__
from fsmend_collector.errors import CollectorError, NoSuchObject
from fsmend_collector.query.errors import refuse_other_bytes
from fsmend_collector.query.times import LengthParameter

T = TypeVar("T")

DEFAULT_CONFIG = Path("/etc/fsmend/collector.toml")
_PATH = click.Path(path_type=Path, dir_okay=False)
_config_option = click.option(
    "--config", "config_path", type=_PATH, default=DEFAULT_CONFIG, show_default=True, help="Configuration file."
)


class _Commands(click.Group):
    """Show our own errors in one line each, without a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command."""
        try:
            with refuse_other_bytes():
                return super().invoke(ctx)
        except CollectorError as error:
            for line in str(error).splitlines():
                click.echo(f"fsmend-collector: {line}", err=True)
            ctx.exit(1)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="fsmend-collector")
def main() -> None:
    """Run a collector: it keeps what the agents report and orders repairs."""


@main.command()
@_config_option
@click.option(
    "--directory",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("/var/lib/fsmend-collector"),
    show_default=True,
    help="State directory, written to a new configuration.",
)
@click.option("--name", default="", help="Host name under which agents reach this collector, for a new configuration.")
@click.option("--address", "addresses", multiple=True, help="A further name or IP address; may be repeated.")
@click.option("--listen", default="[::]:9443", show_default=True, help="Where to serve agents and operators.")
@click.option("--enrol-listen", default="[::]:9444", show_default=True, help="Where to enrol hosts.")
@click.option("--operator", default="", help="Name in the operator's certificate.  [default: the calling user]")
@click.option("--contexts-file", type=_PATH, default=None, help="Where `fsmend` finds this collector.")
def init(
    config_path: Path,
    directory: Path,
    name: str,
    addresses: tuple[str, ...],
    listen: str,
    enrol_listen: str,
    operator: str,
    contexts_file: Path | None,
) -> None:
    """Make authority, certificates and configuration, and a context for `fsmend`."""
    from fsmend_collector import initialise as setup  # noqa: PLC0415  cryptography loads only when it is needed
    from fsmend_collector.operators import (  # noqa: PLC0415
        Operator,
        default_contexts_file,
        issue_operator,
        refuse_others_folder,
    )

    who = Operator(operator or getpass.getuser(), contexts_file or default_contexts_file())
    names = [name, *addresses] if name else addresses
    config = setup.write_config(config_path, directory.absolute(), names, listen, enrol_listen)
    if not (config.pki_directory / "authority.crt").exists():
        refuse_others_folder(who.contexts_file, None)
    authority = setup.initialise(config)
    issue_operator(authority, config, who)
    click.echo(f"authority     {config.pki_directory / 'authority.crt'}")
    click.echo(f"configuration {config_path}")
    click.echo(f"operator      {who.name}, context in {who.contexts_file}")
    click.echo("next: fsmend-collector run; then fsmend-collector token create, and fsmend-agent enrol on a host")


@main.command()
@_config_option
@click.option("--verbose", is_flag=True, help="Log more.")
def run(config_path: Path, *, verbose: bool) -> None:
    """Serve until SIGTERM."""
    from fsmend_collector.collector import Collector  # noqa: PLC0415  as above
    from fsmend_collector.config import load_config  # noqa: PLC0415

    level = logging.DEBUG if verbose else logging.INFO
    logging.basicConfig(stream=sys.stderr, level=level, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    asyncio.run(Collector(load_config(config_path)).run())


@main.command()
@_config_option
def migrate(config_path: Path) -> None:
    """Bring the store to the schema of this version; `run` does it too."""
    from fsmend_collector.config import load_config  # noqa: PLC0415  as above
    from fsmend_collector.store.migrate import migrate as bring  # noqa: PLC0415

    config = load_config(config_path)
    before, after = bring(config.store_url, config.state_directory / "migrate.lock")
    click.echo(f"store is at {after}" if before == after else f"store migrated from {before or 'empty'} to {after}")


@main.group()
def token() -> None:
    """Make join tokens on the collector's own host."""


@token.command("create")
@_config_option
@click.option("--host", default="", help="Only this host may use it.")
@click.option(
    "--ttl",
    "ttl_seconds",
    type=LengthParameter(60, 30 * 86_400),
    default=None,
    help="Until it expires: 30m, 2h, or seconds; at most 30 days.",
)
def token_create(config_path: Path, host: str, ttl_seconds: int | None) -> None:
    """Print a one-use join token; works while the collector runs."""
    from fsmend_collector.collector import advertised  # noqa: PLC0415  as above
    from fsmend_collector.config import load_config  # noqa: PLC0415
    from fsmend_collector.pki.authority import Authority  # noqa: PLC0415
    from fsmend_collector.pki.tokens import join_token, new_token, store_token  # noqa: PLC0415

    config = load_config(config_path)
    authority = Authority.load(config.pki_directory)
    seconds = ttl_seconds or config.certificates.token_ttl_seconds
    made = new_token(f"operator:{getpass.getuser()}", host, seconds, time.time_ns())
    _write(config_path, lambda connection: store_token(connection, made))
    click.echo(join_token(made.secret, authority.der, advertised(config, config.enrol_listen_address)))


@main.group("operator")
def operators() -> None:
    """Give people a certificate for `fsmend`, or take it from them."""


@operators.command("create")
@_config_option
@click.argument("name")
@click.option(
    "--contexts-file",
    type=_PATH,
    default=None,
    help="Where to add the context.  [default: ./fsmend-NAME/contexts.yaml]",
)
def operator_create(config_path: Path, name: str, contexts_file: Path | None) -> None:
    """Issue a certificate to operator NAME, with a context of that name; again for a new one in its place."""
    from fsmend_collector.config import load_config  # noqa: PLC0415  as above
    from fsmend_collector.operators import Operator, issue_operator, note_issued  # noqa: PLC0415
    from fsmend_collector.pki.authority import Authority  # noqa: PLC0415

    config = load_config(config_path)
    who = Operator(name, contexts_file or Path(f"fsmend-{name}/contexts.yaml").absolute(), name)
    issue_operator(Authority.load(config.pki_directory), config, who)
    _write(config_path, lambda connection: note_issued(connection, name, _caller(), time.time_ns()))
    click.echo(f"operator {name}: context in {who.contexts_file}; certificate, key and authority are beside it")
    click.echo("next: give the operator that folder as ~/.config/fsmend, and then delete it here")


@operators.command("revoke")
@_config_option
@click.argument("name")
def operator_revoke(config_path: Path, name: str) -> None:
    """Refuse every certificate that operator NAME has now; a running collector obeys within 10 seconds."""
    from fsmend_collector.operators import revoke_operator  # noqa: PLC0415  as above

    _write(config_path, lambda connection: revoke_operator(connection, name, _caller(), time.time_ns()))
    click.echo(f"operator {name}: every certificate issued until now is revoked; `operator create` makes a new one")


@main.group()
def agent() -> None:
    """Revoke agents, or release them from quarantine."""


@agent.command("revoke")
@_config_option
@click.argument("agent_id")
def agent_revoke(config_path: Path, agent_id: str) -> None:
    """Refuse every certificate of an agent from now on."""
    from fsmend_collector.fleet import revoke  # noqa: PLC0415  as above

    done = _write(config_path, lambda connection: revoke(connection, agent_id, _caller(), time.time_ns()))
    click.echo(f"agent {agent_id} is revoked" if done else f"agent {agent_id} was revoked before")


@agent.command("release")
@_config_option
@click.argument("agent_id")
def agent_release(config_path: Path, agent_id: str) -> None:
    """Let a quarantined agent in again."""
    from fsmend_collector.fleet import release  # noqa: PLC0415  as above

    done = _write(config_path, lambda connection: release(connection, agent_id, _caller(), time.time_ns()))
    click.echo(f"agent {agent_id} is released" if done else f"agent {agent_id} is not in quarantine")


@main.group()
def repairs() -> None:
    """Look after automatic repairs."""


@repairs.command("release")
@_config_option
def repairs_release(config_path: Path) -> None:
    """Let automatic repairs go on after too many new incidents stopped them."""
    from fsmend_collector.diagnose.braking import release_repairs  # noqa: PLC0415  as above

    done = _write(config_path, lambda connection: release_repairs(connection, _caller(), time.time_ns()))
    click.echo("automatic repairs go on" if done else "automatic repairs were not stopped")


@main.group()
def maintenance() -> None:
    """Say what is done to a part of the fleet, so that diagnosis does not take it for a fault."""


@maintenance.command("declare")
@_config_option
@click.argument("name")
@click.option("--scope", required=True, help="LABEL=VALUE of its hosts, such as rack=r1; fleet=all is everything.")
@click.option(
    "--for",
    "seconds",
    type=LengthParameter(60, 366 * 86_400),
    default="4h",
    show_default=True,
    help="30m, 4h, 2d, or seconds; at most a year.",
)
@click.option("--force", is_flag=True, help="Also for a scope that no host has yet.")
def maintenance_declare(config_path: Path, name: str, scope: str, seconds: int, force: bool) -> None:
    """Begin maintenance NAME now, for some time; print its id."""
    from fsmend_collector.diagnose.changing import MAINTENANCE, Declared, declare_maintenance  # noqa: PLC0415
    from fsmend_collector.diagnose.scoping import scope_in  # noqa: PLC0415
    from fsmend_collector.diagnosis.groups import Change  # noqa: PLC0415  as above

    now_ns = time.time_ns()
    change_id = f"maintenance-{now_ns:x}"

    def declare(connection: Any) -> None:
        group = scope_in(connection, scope, to_come=force)
        change = Change(name, group, now_ns, now_ns + seconds * 1_000_000_000)
        declare_maintenance(connection, Declared(change_id, MAINTENANCE, change, _caller()), now_ns)

    _write(config_path, declare)
    click.echo(change_id)


@maintenance.command("list")
@_config_option
def maintenance_list(config_path: Path) -> None:
    """List maintenance, roll-outs and campaigns of the last week."""
    from datetime import UTC, datetime  # noqa: PLC0415  as above

    from fsmend_collector.diagnose.changing import stored_changes  # noqa: PLC0415

    since_ns = time.time_ns() - 7 * 86_400 * 1_000_000_000
    for one in _write(config_path, lambda connection: stored_changes(connection, since_ns)):
        begins, ends = (
            datetime.fromtimestamp(at // 1_000_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            for at in (one.change.from_ns, one.change.until_ns)
        )
        click.echo(f"{one.id}  {begins}  {ends}  {'='.join(one.change.scope)}  {one.change.name}")


@maintenance.command("end")
@_config_option
@click.argument("change_id")
def maintenance_end(config_path: Path, change_id: str) -> None:
    """End maintenance CHANGE_ID now."""
    from fsmend_collector.diagnose.changing import end_maintenance  # noqa: PLC0415  as above

    if not _write(config_path, lambda connection: end_maintenance(connection, change_id, _caller(), time.time_ns())):
        problem = f"there is no maintenance {change_id!r} that goes on"
        raise NoSuchObject(f"{problem}\n`fsmend-collector maintenance list` lists them")
    click.echo(f"{change_id} has ended")


def _caller() -> str:
    return f"operator:{getpass.getuser()}"


def _write(config_path: Path, change: Callable[[Any], T]) -> T:
    """Change the store directly, in one transaction, beside a collector that may be running."""
    from sqlalchemy.exc import DBAPIError  # noqa: PLC0415  as above

    from fsmend_collector.config import load_config  # noqa: PLC0415
    from fsmend_collector.errors import WriteFailed  # noqa: PLC0415
    from fsmend_collector.store.engine import make_engine  # noqa: PLC0415
    from fsmend_collector.store.migrate import migrate as bring  # noqa: PLC0415

    config = load_config(config_path)
    bring(config.store_url, config.state_directory / "migrate.lock")
    engine = make_engine(config.store_url, writes=True)
    try:
        with engine.begin() as connection:
            return change(connection)
    except DBAPIError as error:
        raise WriteFailed(f"cannot write to the store: {error.orig}") from error
    finally:
        engine.dispose()


if __name__ == "__main__":
    main()
