"""xfs_scrub(8): its progress and its end, with a program of our own in its place."""

import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsmend_agent.errors import ActionFailed
from fsmend_agent.xfs.whole import OUTPUT_LIMIT_BYTES, WholeResult, parse_progress, run_whole


@pytest.fixture
def program(tmp_path):
    """A factory: `program(script)`, a shell script in the place of xfs_scrub; $fd is what -C names."""

    def make(script):
        path = tmp_path / "xfs_scrub"
        find = 'for word; do [ "$before" = -C ] && fd=$word; before=$word; done'
        path.write_text(f"#!/bin/bash\n{find}\n{script}\n")
        path.chmod(0o755)
        return path

    return make


def run(program, *, repair=True, cancelled=None):
    reports = []
    flag = cancelled or threading.Event()
    return run_whole(b"/data", repair=repair, cancelled=flag, report=reports.append, program=program), reports


def test_progress_comes_through_its_own_descriptor(program):
    result, reports = run(program('echo "3 50 100 inodes" >&"$fd"; sleep 0.6'))
    assert result.is_clean
    assert [(one.stage, round(one.percent)) for one in reports] == [("xfs_scrub phase 3: inodes", 36)]


def test_a_check_is_ordered_with_n_and_a_repair_without(program):
    echo = program('echo "$@"')
    assert b"-n /data" in run(echo, repair=False)[0].output
    assert b"-n" not in run(echo)[0].output.replace(b"-name", b"")


@pytest.mark.parametrize(
    ("status", "is_clean", "words"),
    [(0, True, "no errors"), (1, False, "uncorrected"), (2, True, "optimized"), (5, False, "operational")],
)
def test_the_exit_status_adds_up(program, status, is_clean, words):
    result, _ = run(program(f"exit {status}"))
    assert result.is_clean is is_clean
    assert words in result.meaning


def test_what_it_repaired_is_counted(program):
    result, _ = run(program("echo 'Corruption: AG 1: repair needed.'; echo 'Repaired: AG 1: done.'; exit 0"))
    assert (result.corruptions, result.repairs) == (1, 1)


def test_endless_output_is_cut(program):
    result, _ = run(program(f"head -c {OUTPUT_LIMIT_BYTES + 10} /dev/zero"))
    assert (len(result.output), result.truncated) == (OUTPUT_LIMIT_BYTES, True)


def test_it_stops_when_asked(program):
    cancelled = threading.Event()
    threading.Timer(0.2, cancelled.set).start()
    began = time.monotonic()
    result, _ = run(program("exec sleep 30"), cancelled=cancelled)
    assert result.cancelled
    assert "signal" in result.meaning
    assert time.monotonic() - began < 10


def test_a_program_that_is_not_there_fails(tmp_path):
    with pytest.raises(ActionFailed, match="cannot be started"):
        run(tmp_path / "nothing")


@given(st.binary(max_size=80))
def test_any_line_is_progress_or_none(line):
    found = parse_progress(line)
    assert found is None or 0 <= found.percent <= 100


def test_a_signal_is_not_clean():
    assert not WholeResult(-9, b"").is_clean
