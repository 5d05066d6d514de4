"""From the kernel's error to the line of `fsmend events -f`, over the whole road: kernel, sense, link, collector, CLI."""

import json
import os
import statistics
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from queue import Empty, Queue

from bench.skipped import Skipped
from stage.loops import MIB, loop, missing_tools, mounted, run
from stage.processes import BIN, Stage

ROUNDS = 60
PAUSE_SECONDS = 1.25  # longer than the coalescing window, so that every error is a first one
ANSWER_SECONDS = 10.0


def measure() -> dict[str, float]:
    """Trigger a real ext4 error, see when the CLI prints it; one at a time.

    Raises:
        Skipped: not root, or a tool is missing.
        RuntimeError: an error never arrived.
    """
    if os.geteuid() != 0 or missing_tools():
        raise Skipped(f"needs root and the tools to make filesystems {missing_tools()}")
    with tempfile.TemporaryDirectory(prefix="fsmend-") as folder:
        directory = Path(folder)
        with loop(directory / "image", 32 * MIB) as device:
            run("mkfs.ext4", "-q", device.device)
            with mounted(device.device, directory / "mount"), Stage(directory / "stage") as stage:
                stage.start_collector()
                stage.start_agent()
                uuid = run("blkid", "-o", "value", "-s", "UUID", "-p", device.device).strip()
                trigger = Path(f"/sys/fs/ext4/{device.name}/trigger_fs_error")
                return _rounds(stage, trigger, uuid)


def _rounds(stage: Stage, trigger: Path, uuid: str) -> dict[str, float]:
    """Follow the events of the filesystem and time each error against its first line."""
    follow = subprocess.Popen(
        [str(BIN / "fsmend"), "events", "--follow", "--fs", uuid, "-o", "jsonl"],
        stdout=subprocess.PIPE,
        env=stage.environment,
        text=True,
    )
    lines: Queue[tuple[int, str]] = Queue()
    threading.Thread(target=_read, args=(follow, lines), daemon=True).start()
    try:
        time.sleep(2.0)  # the follower must be there before the first error
        taken = [_once(trigger, lines) for _ in range(ROUNDS)]
    finally:
        follow.terminate()
        follow.wait(10)
    taken.sort()
    return {
        "kernel_to_cli_ms_p50": statistics.median(taken),
        "kernel_to_cli_ms_p99": taken[min(len(taken) - 1, int(0.99 * len(taken)))],
    }


def _once(trigger: Path, lines: "Queue[tuple[int, str]]") -> float:
    """Make one error; return the milliseconds until its first line."""
    _drain(lines)
    began_ns = time.monotonic_ns()
    trigger.write_text("bench\n")
    try:
        arrived_ns, line = lines.get(timeout=ANSWER_SECONDS)
    except Empty:
        raise RuntimeError(f"an error was not seen within {ANSWER_SECONDS:g} s") from None
    json.loads(line)  # a whole line, not a part of one
    time.sleep(PAUSE_SECONDS)
    return (arrived_ns - began_ns) / 1e6


def _drain(lines: "Queue[tuple[int, str]]") -> None:
    while not lines.empty():
        lines.get_nowait()


def _read(follow: "subprocess.Popen[str]", lines: "Queue[tuple[int, str]]") -> None:
    assert follow.stdout is not None
    for line in follow.stdout:
        lines.put((time.monotonic_ns(), line))
