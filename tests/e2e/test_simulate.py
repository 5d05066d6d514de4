"""`fsmend simulate` over the wire: a throw-away collector, simulated agents, and the incident in a running command."""

import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from bench_diagnosis.wire import rack_power
from e2e.asking import until

FSMEND = Path(sys.executable).parent / "fsmend"


def fsmend(*arguments, **environment):
    own = {**os.environ, **environment}
    return subprocess.run([str(FSMEND), *arguments], capture_output=True, text=True, check=False, env=own, timeout=240)


def test_a_rack_that_loses_power_is_shown_within_ten_seconds():
    done = rack_power(80)
    assert done.detect_seconds < 10
    assert done.run.judge.score("").found == 1
    assert done.run.enrolled == 80


def test_an_adapter_that_fails_is_reported_and_nothing_is_left_behind(tmp_path):
    report, truth, scratch = tmp_path / "report.html", tmp_path / "truth.json", tmp_path / "tmp"
    scratch.mkdir()
    options = [
        "--start-collector",
        "--hosts",
        "60",
        "--report",
        str(report),
        "--truth",
        str(truth),
        "-o",
        "json",
        "--speed",
        "20",
    ]
    done = fsmend("simulate", "hba_fault", *options, TMPDIR=str(scratch))
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(done.stdout)["scenarios"]
    assert (row["found"], row["right"], row["told"], row["way"]) == (1, 1, 1, "wire")
    (cause,) = json.loads(truth.read_text())["causes"]["hba_fault"]
    assert len(cause["members"][0][0]) == 36  # the collector's own id of the agent
    assert row["scenario"] in report.read_text()
    assert list(scratch.iterdir()) == []


def test_the_next_run_takes_the_certificates_of_the_last(tmp_path):
    options = ["--start-collector", "--hosts", "60", "--directory", str(tmp_path / "kept"), "--wait", "1"]
    first = fsmend("simulate", "dying_drive", *options, "--speed", "10000")
    assert "60 enrolled" in first.stdout, first.stderr
    again = fsmend("simulate", "dying_drive", *options, "--speed", "10000")
    assert "60 agents: 0 enrolled" in again.stdout, again.stderr


def test_the_collector_ends_with_the_simulation_however_that_ends(tmp_path):
    options = ["--start-collector", "--hosts", "60", "--directory", str(tmp_path / "kept")]
    with subprocess.Popen(
        [str(FSMEND), "simulate", "rack_power", *options], stderr=subprocess.PIPE, text=True
    ) as process:
        assert "collector started" in process.stderr.readline()
        process.kill()
    config = str(tmp_path / "kept" / "collector" / "collector.toml").encode()
    until(lambda: not [one for one in running() if config in one])


def running():
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            yield path.read_bytes()
