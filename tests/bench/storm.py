"""A storm on one host: 100,000 real ext4 errors in about 10 s; what sense pays, and when the first one is out."""

import os
import subprocess
import tempfile
import threading
import time
from pathlib import Path

from bench.footprint import children, cpu_seconds
from bench.skipped import Skipped
from stage.loops import MIB, loop, missing_tools, mounted, run
from stage.processes import BIN, Stage

ERRORS = 100_000
SECONDS = 10.0
SLICE = 100
ANSWER_SECONDS = 60.0


def measure() -> dict[str, float]:
    """Make the storm, and count what arrives.

    Raises:
        Skipped: not root, or a tool is missing.
        RuntimeError: the events and gaps at the collector are not exactly what the kernel's counter says.
    """
    if os.geteuid() != 0 or missing_tools():
        raise Skipped(f"needs root and the tools to make filesystems {missing_tools()}")
    with tempfile.TemporaryDirectory(prefix="fsmend-") as folder:
        directory = Path(folder)
        only = {"sources": {"mount_points": [str(directory / "mount")]}}
        with loop(directory / "image", 32 * MIB) as device:
            run("mkfs.ext4", "-q", device.device)
            with mounted(device.device, directory / "mount"), Stage(directory / "stage", agent=only) as stage:
                stage.start_collector()
                stage.start_agent()
                uuid = run("blkid", "-o", "value", "-s", "UUID", "-p", device.device).strip()
                time.sleep(3.0)
                return _storm(stage, Path(f"/sys/fs/ext4/{device.name}"), uuid)


def _storm(stage: Stage, sysfs: Path, uuid: str) -> dict[str, float]:
    follow = subprocess.Popen(
        [str(BIN / "fsmend"), "events", "--follow", "--fs", uuid, "--severity", "error", "-o", "jsonl"],
        stdout=subprocess.PIPE,
        env=stage.environment,
    )
    seen: list[float] = []
    reader = threading.Thread(target=_lines, args=(follow, seen), daemon=True)
    reader.start()
    try:
        time.sleep(2.0)
        sense, _link = children(stage.processes["agent"].pid)
        used, began = cpu_seconds(sense), time.monotonic()
        _errors(sysfs / "trigger_fs_error", began)
        took = time.monotonic() - began
        _await_all(stage, uuid, sysfs / "errors_count")
        used = cpu_seconds(sense) - used
    finally:
        follow.kill()
        follow.wait(10)
        reader.join(10)
    if not seen:
        raise RuntimeError("`fsmend events --follow` printed nothing")
    return {
        "storm_errors_per_second": ERRORS / took,
        "storm_sense_cpu_percent": 100 * used / took,
        "storm_first_event_ms": (seen[0] - began) * 1e3,
    }


def _errors(trigger: Path, began: float) -> None:
    """Make the errors at an even pace."""
    with trigger.open("wb", buffering=0) as file:
        for done in range(0, ERRORS, SLICE):
            time.sleep(max(0.0, began + SECONDS * done / ERRORS - time.monotonic()))
            for _ in range(SLICE):
                file.write(b"storm")


def _lines(follow: "subprocess.Popen[bytes]", seen: list[float]) -> None:
    """Note when each line came."""
    assert follow.stdout is not None
    seen.extend(time.monotonic() for _ in follow.stdout)


def _await_all(stage: Stage, uuid: str, counter: Path) -> None:
    """Wait until trace events and the gaps of the trace make up what the superblock counted, a moment later."""
    deadline = time.monotonic() + ANSWER_SECONDS
    while True:
        events = stage.fsmend("get", "events", "--fs", uuid, "--source", "trace", "--limit", "0")
        gaps = stage.fsmend("get", "gaps", "--limit", "0")
        arrived = sum(one["event"]["count"] for one in events)
        lost = sum(one["gap"]["lost"] for one in gaps if one["gap"]["source"] == "trace")
        expected = int(counter.read_text())
        if arrived + lost == expected == ERRORS:
            return
        if time.monotonic() > deadline:
            raise RuntimeError(f"{arrived} errors arrived and {lost} are known lost, of {expected}")
        time.sleep(0.5)
