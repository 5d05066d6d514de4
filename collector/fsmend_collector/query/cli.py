"""The command `fsmend`: its verbs, each in a module of its own that is imported when the verb is called.

So `fsmend --help` and shell completion stay quick: neither grpc, protobuf nor rich is imported for them.
"""

import importlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from fsmend_collector.query.contexts import CollectorContext, default_file, load_context
from fsmend_collector.query.errors import refuse_other_bytes
from fsmend_collector.query.times import FiniteRange

# verb: (module, function, one line of help)
VERBS = {
    "health": ("health", "health", "Say whether the fleet is well, and what is wrong."),
    "get": ("get", "get", "List objects of one KIND, newest or worst first."),
    "describe": ("describe", "describe", "Show everything about one object."),
    "why": ("why", "why", "Say why INCIDENT is one: competing causes with odds, base rates, evidence."),
    "same": (
        "same",
        "same",
        "Say who shares something with DEVICE, how many of them fail, and how surprising that is.",
    ),
    "events": ("events", "events", "Show events, the newest last, and follow them."),
    "repair": ("repair", "repair", "Order, watch and cancel repairs."),
    "mute": ("mute", "mute", "Mute INCIDENT for a time: it is shown, but nothing is ordered for it."),
    "unmute": ("mute", "unmute", "Take the mute off INCIDENT."),
    "resolve": (
        "mute",
        "resolve",
        "Resolve INCIDENT with your word as the proof, as for a host that will never return.",
    ),
    "change": ("change", "change", "Say what is done to a part of the fleet: maintenance, a roll-out, a campaign."),
    "diagnose": ("diagnose", "diagnose", "Diagnose stored history again, in shadow, and compare the incidents."),
    "simulate": ("simulate", "simulate", "Simulate failures with known causes, and see what diagnosis says."),
    "token": ("token", "token", "Make and list join tokens."),
    "completion": ("completion", "completion", "Print the completion script of a shell."),
    "version": ("version", "version", "Print the version."),
}


@dataclass(frozen=True, slots=True)
class Settings:
    """What the options before the verb say."""

    contexts_file: Path
    context_name: str | None
    timeout_seconds: float

    def context(self) -> CollectorContext:
        """Read the chosen context."""
        return load_context(self.contexts_file, self.context_name)


class VerbGroup(click.Group):
    """A group whose commands are found in VERBS and imported late."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  click's signature
        """Return the verbs in the order a person meets them."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import the module of one verb."""
        if cmd_name not in VERBS:
            return None
        module, function, _ = VERBS[cmd_name]
        command = getattr(importlib.import_module(f"fsmend_collector.query.{module}"), function)
        assert isinstance(command, click.Command)  # noqa: S101  holds by VERBS, tells mypy
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run a verb."""
        with refuse_other_bytes():
            return super().invoke(ctx)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the verbs' help without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(verb, text) for verb, (_, _, text) in VERBS.items()])


@click.group(cls=VerbGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80})
@click.option("--context", "context_name", envvar="FSMEND_CONTEXT", metavar="NAME", help="Which collector to ask.")
@click.option(
    "--contexts-file",
    envvar="FSMEND_CONTEXTS",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where the contexts are; ~/.config/fsmend/contexts.yaml unless given.",
)
@click.option("--timeout", type=FiniteRange(min=0.1), default=15.0, show_default=True, help="Seconds for one call.")
@click.pass_context
def main(ctx: click.Context, context_name: str | None, contexts_file: Path | None, timeout: float) -> None:
    """Ask the collector what is wrong with the fleet's disks and filesystems, and repair it.

    The options --context and --contexts-file can also be given as FSMEND_CONTEXT and FSMEND_CONTEXTS.
    """
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        ctx.color = False
    ctx.obj = Settings(contexts_file or default_file(), context_name, timeout)
