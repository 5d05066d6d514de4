"""What an idle, connected agent costs: resident memory of both processes, and CPU."""

import os
import tempfile
import time
from pathlib import Path

from bench.skipped import Skipped
from stage.processes import Stage

SETTLE_SECONDS = 5.0
IDLE_SECONDS = 60.0
MIB = 1 << 20


def measure() -> dict[str, float]:
    """Start an agent with the default configuration, let it settle, then watch it do nothing.

    Raises:
        Skipped: not root: the sources would not run.
    """
    if os.geteuid() != 0:
        raise Skipped("needs root, for without it the sources do not run")
    with tempfile.TemporaryDirectory(prefix="fsmend-") as directory, Stage(Path(directory)) as stage:
        stage.start_collector()
        stage.start_agent()
        stage.stop("agent")  # that was to compile the modules: an installed agent finds them compiled
        stage.start_agent()
        time.sleep(SETTLE_SECONDS)
        sense, link = children(stage.processes["agent"].pid)
        before = cpu_seconds(sense) + cpu_seconds(link)
        time.sleep(IDLE_SECONDS)
        used = cpu_seconds(sense) + cpu_seconds(link) - before
        return {
            "sense_rss_mib": rss_bytes(sense) / MIB,
            "link_rss_mib": rss_bytes(link) / MIB,
            "agent_idle_cpu_percent": 100 * used / IDLE_SECONDS,
        }


def children(pid: int) -> tuple[int, int]:
    """Return the process ids of sense and link below `fsmend-agent run`."""
    found = {}
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        arguments = Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
        found[b"sense" if b"sense" in arguments else b"link"] = int(child)
    return found[b"sense"], found[b"link"]


def rss_bytes(pid: int) -> int:
    """Return the resident set of a process, see proc(5)."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def cpu_seconds(pid: int) -> float:
    """Return the user and system time of a process, to the nanosecond: see proc(5), schedstat."""
    threads = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads) / 1e9
