"""Write the help of every `fsmend` command into docs/cli.md, below its mark, or check that it is up to date.

`--check` compares only, and exits with 1 when the page differs.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from fsmend_collector.query.cli import main as fsmend

PAGE = Path(__file__).resolve().parent.parent / "docs" / "cli.md"
MARK = "<!-- Below this line tools/generate_cli_reference.py writes; edit the commands instead. -->\n"


def commands(command: click.Command, name: str, parent: click.Context | None) -> Iterator[tuple[str, str]]:
    """Yield name and help of a command and of all below it."""
    settings = dict(command.context_settings)
    with click.Context(command, info_name=name, parent=parent, terminal_width=80, **settings) as context:
        yield context.command_path, command.get_help(context)
        if isinstance(command, click.Group):
            for below in command.list_commands(context):
                found = command.get_command(context, below)
                if found is not None:
                    yield from commands(found, below, context)


def reference() -> str:
    """Return the generated part of the page."""
    parts = [f"### {path}\n\n```text\n{text}\n```\n" for path, text in commands(fsmend, "fsmend", None)]
    return "\n".join(parts)


def main() -> None:
    """Write, or compare with `--check`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare only; exit 1 when out of date")
    page = PAGE.read_text()
    written, mark, _ = page.partition(MARK)
    if not mark:
        sys.exit(f"{PAGE} has lost its mark: {MARK}")
    wanted = f"{written}{MARK}\n{reference()}"
    if not parser.parse_args().check:
        PAGE.write_text(wanted)
    elif wanted != page:
        sys.exit(f"{PAGE} is out of date: run python {Path(__file__).name}")


if __name__ == "__main__":
    main()
