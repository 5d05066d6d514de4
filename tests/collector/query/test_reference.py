"""docs/cli.md agrees with the commands: the generated reference, and every example."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import click.testing
import pytest

from fsmend_collector.query.cli import main

PROJECT = Path(__file__).resolve().parents[3]
PAGE = (PROJECT / "docs/cli.md").read_text()
EXAMPLES = re.findall(r"^\$ (?:\w+=\w+ )?fsmend (.*)$", PAGE, re.MULTILINE)


def test_the_reference_is_up_to_date():
    subprocess.run([sys.executable, str(PROJECT / "tools/generate_cli_reference.py"), "--check"], check=True)


def test_there_is_an_example_for_every_verb_that_asks_or_orders():
    assert {"health", "get", "describe", "events", "repair", "token"} <= {example.split()[0] for example in EXAMPLES}


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_is_right_usage(example, tmp_path):
    """Without a contexts file each command gets as far as looking for it: status 1, where wrong usage has 2.

    What asks no collector does its work: status 0.
    """
    arguments = ["--contexts-file", str(tmp_path / "none.yaml"), *shlex.split(example)]
    result = click.testing.CliRunner().invoke(main, arguments, prog_name="fsmend")
    if example.split()[0] == "simulate":
        assert result.exit_code == 0, result.output
        return
    assert result.exit_code == 1, result.output
    assert "there is no contexts file" in result.stderr
