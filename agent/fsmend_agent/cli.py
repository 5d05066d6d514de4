"""The command line of the agent: run, sense, link, enrol, probe, inventory, version."""

import argparse
import asyncio
import functools
import logging
import os
import sys
from pathlib import Path

from fsmend_agent import __version__
from fsmend_agent.config import DEFAULT_PATH, AgentConfig, load
from fsmend_agent.errors import AgentError

OK, ERROR = 0, 1
HELP_COLUMNS = 100


def main(arguments: list[str] | None = None) -> int:
    """Run one command.

    Returns:
        0: done. 1: an error, said on stderr in one line or two. 2 (by argparse): wrong usage.
    """
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    try:
        return int(options.command(options) or OK)
    except AgentError as error:
        sys.stderr.write(f"fsmend-agent: {error}\n")
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        sys.stderr.write(f"fsmend-agent: {where}{error.strerror or error}\n")
    return ERROR


def _parser() -> argparse.ArgumentParser:
    # Without a width argparse asks shutil, which brings three compressors into the memory of sense.
    form = functools.partial(argparse.HelpFormatter, width=HELP_COLUMNS)
    description = "Watch this host's filesystems and disks, and repair what it is told to."
    parser = argparse.ArgumentParser(prog="fsmend-agent", description=description, formatter_class=form)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, command: object, summary: str, *, configured: bool = True) -> argparse.ArgumentParser:
        one = commands.add_parser(name, help=summary, description=summary, formatter_class=form)
        one.set_defaults(command=command)
        if configured:
            one.add_argument("--config", type=Path, default=DEFAULT_PATH, help=f"configuration file ({DEFAULT_PATH})")
        return one

    run = add("run", _run, "run sense and link together, for a try without systemd")
    run.add_argument("--replay", type=Path, metavar="FILE", help="decode captured kernel bytes instead of watching")
    sense = add("sense", _sense, "watch the kernel, keep the spool, run repairs (root, no network)")
    sense.add_argument("--replay", type=Path, metavar="FILE", help="decode captured kernel bytes instead of watching")
    add("link", _link, "carry the spool to a collector (no privileges)")
    enrol = add("enrol", _enrol, "trade a one-use join token for this host's certificate")
    source = enrol.add_mutually_exclusive_group(required=True)
    source.add_argument("token", nargs="?", help="the join token; others can see it in the process list")
    source.add_argument("--token-file", type=Path, help="file that holds the join token, such as /dev/stdin")
    probe = add("probe", _probe, "print what this kernel makes visible and repairable, and why not", configured=False)
    probe.add_argument("-o", "--output", choices=["table", "json"], default="table")
    inventory = add("inventory", _inventory, "print what this host consists of, as JSON", configured=False)
    inventory.add_argument("--binary", action="store_true", help="print a serialised Inventory message instead")
    inventory.add_argument("--mount-point", action="append", default=[], help="only filesystems mounted there")
    add("version", _version, "print the version", configured=False)
    return parser


def _config(options: argparse.Namespace) -> AgentConfig:
    return load(options.config)


# Each command imports what it needs itself: sense must not load grpc, and probe neither.


def _sense(options: argparse.Namespace) -> None:
    from fsmend_agent.agent import sense  # noqa: PLC0415

    asyncio.run(sense(_config(options), options.replay))


def _link(options: argparse.Namespace) -> None:
    from fsmend_agent.link.link import run  # noqa: PLC0415

    asyncio.run(run(_config(options)))


def _run(options: argparse.Namespace) -> int:
    from fsmend_agent.both import run_both  # noqa: PLC0415

    _config(options)  # a problem is told once, not by both processes
    return asyncio.run(run_both(options.config, options.replay))


def _enrol(options: argparse.Namespace) -> None:
    from fsmend_agent.enrol import enrol  # noqa: PLC0415

    token = options.token or options.token_file.read_text()
    agent_id = enrol(token.strip(), _config(options))
    sys.stdout.write(f"enrolled as {agent_id}\n")


def _probe(options: argparse.Namespace) -> None:
    from fsmend_agent.probe import print_probe  # noqa: PLC0415

    print_probe(sys.stdout, options.output)


def _inventory(options: argparse.Namespace) -> None:
    from fsmend_agent.event import Clock  # noqa: PLC0415
    from fsmend_agent.filesystems import read_mounted  # noqa: PLC0415
    from fsmend_agent.inventory.collect import collect  # noqa: PLC0415

    points = [os.fsencode(point) for point in options.mount_point]
    found = collect(read_mounted(points), Clock().now())
    if options.binary:
        sys.stdout.buffer.write(found.SerializeToString())
        return
    from google.protobuf.json_format import MessageToJson  # noqa: PLC0415

    sys.stdout.write(MessageToJson(found, preserving_proto_field_name=True) + "\n")


def _version(_: argparse.Namespace) -> None:
    sys.stdout.write(f"fsmend-agent {__version__}\n")
