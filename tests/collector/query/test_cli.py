"""The command itself: help, completion, colours, and what is imported for them."""

import os
import pty
import subprocess
import sys

import click.testing
import pytest

from fsmend_collector.query.cli import VERBS, main
from fsmend_collector.query.render.table import Column, table
from fsmend_collector.query.render.values import age, duration, rfc3339, size

RUN = "from fsmend_collector.query.cli import main; main(prog_name='fsmend')"


def invoke(*arguments):
    return click.testing.CliRunner().invoke(main, arguments, prog_name="fsmend")


def test_help_imports_neither_grpc_nor_protobuf_nor_rich():
    code = (
        "import sys\nfrom fsmend_collector.query.cli import main\n"
        "main(['--help'], standalone_mode=False)\n"
        "slow = {'grpc', 'google.protobuf', 'rich', 'yaml', 'sqlalchemy', 'cryptography'} & set(sys.modules)\n"
        "assert not slow, slow"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


def test_the_one_line_helps_agree_with_the_commands():
    with click.Context(main) as context:
        for verb, (_, _, text) in VERBS.items():
            command = main.get_command(context, verb)
            assert command is not None
            assert command.get_short_help_str(100) == text.rstrip(".") + "."
            assert command.name == verb


def test_an_unknown_verb_is_wrong_usage():
    result = invoke("gte")
    assert result.exit_code == 2
    assert "No such command 'gte'" in result.stderr


@pytest.mark.parametrize(
    ("shell", "mark"), [("bash", "complete "), ("zsh", "#compdef fsmend"), ("fish", "complete --")]
)
def test_completion_scripts(shell, mark):
    result = invoke("completion", shell)
    assert result.exit_code == 0
    assert mark in result.stdout


@pytest.mark.parametrize(
    ("words", "expected"),
    [("fsmend rep", {"repair"}), ("fsmend mu", {"mute"}), ("fsmend why inc-1 -o j", {"json", "jsonl"}), ("fsmend get inc", {"incidents"}), ("fsmend get fs -o y", {"yaml"}),
     ("fsmend repair run scrub-b", {"scrub_btrfs"}), ("fsmend repair ", {"run", "watch", "cancel"})],
)  # fmt: skip
def test_words_are_completed(words, expected):
    count = len(words.split(" ")) - 1
    environment = {**os.environ, "_FSMEND_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(count)}
    shown = subprocess.run([sys.executable, "-c", RUN], env=environment, check=True, capture_output=True, text=True)
    assert {line.split(",")[1] for line in shown.stdout.splitlines()} == expected


def coloured(fsmend, collector, host, make, monkeypatch, **settings):
    collector.incident(make.incident("inc-1", host))
    return "\x1b[" in fsmend("get", "inc", **settings).stdout


def test_a_pipe_has_no_colour(fsmend, collector, host, make, monkeypatch):
    assert not coloured(fsmend, collector, host, make, monkeypatch)


@pytest.mark.parametrize(("setting", "expected"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)])
def test_a_terminal_has_colour_unless_no_color_is_set(fsmend, collector, host, make, setting, expected):
    """Run on a pseudo terminal, and look at what arrives there."""
    collector.incident(make.incident("inc-1", host))
    command = [sys.executable, "-c", RUN, "--contexts-file", str(collector.contexts("tty")), "get", "inc"]
    ours, theirs = pty.openpty()
    environment = {name: value for name, value in os.environ.items() if name not in {"NO_COLOR", "TERM"}}
    subprocess.run(command, stdout=theirs, env={**environment, "TERM": "xterm", **setting}, check=True)
    os.close(theirs)
    shown = os.read(ours, 65536)
    os.close(ours)
    assert (b"\x1b[31m" in shown) is expected
    assert b"inc-1" in shown


def test_an_identity_is_cut_to_what_is_unique_in_the_table():
    column = Column("ID", lambda row, _: row, minimum=8, identity=True)
    ids = ["0123456789abcdef", "0123456789abffff", "ffff456789abcdef"]
    assert table([column], ids, 0) == ["ID", "0123456789abc", "0123456789abf", "ffff456789abc"]


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "0s"), (59, "59s"), (61, "1m"), (7199, "119m"), (7200, "2h"), (172800, "2d"), (9e7, "2y")],
)
def test_durations(seconds, shown):
    assert duration(seconds) == shown


def test_values():
    assert age(0, 5) == "-"
    assert age(10**9, 5 * 10**9) == "4s"
    assert size(999) == "999"
    assert size(10 << 30) == "10Gi"
    assert size(1536) == "1.5Ki"
    assert rfc3339(1795352400123456789) == "2026-11-22T13:00:00.123456789Z"
    assert rfc3339(2**64 - 1).startswith("2554-")
