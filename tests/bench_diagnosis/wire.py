"""2,000 simulated agents against one collector, a rack loses power: when is the incident in `fsmend get incidents -w`?

Everything is real but the hosts: a collector process, mutual TLS, enrolment, the link protocol, the command line. The
time is taken from the moment when the collector received the k-th host's first event to the moment when the line comes
out of the command that was running before.
"""

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fsmend_collector.simulate.fleet import FleetShape, make_fleet
from fsmend_collector.simulate.scenarios import scenarios
from fsmend_collector.simulate.wire.drive import WireRun, Wish, simulate
from fsmend_collector.simulate.wire.started import StartedCollector
from fsmend_collector.simulate.world import SECOND

AGENTS = int(os.environ.get("AGENTS", "2000"))
WAIT_SECONDS = 30.0


@dataclass
class Watcher:
    """A real `fsmend get incidents -w`, and when each of its lines came."""

    lines: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    process: "subprocess.Popen[str] | None" = None
    reader: threading.Thread | None = None
    collector_mib: float = 0.0

    def start(self, started: StartedCollector | None) -> None:
        assert started is not None
        self.collector_mib = resident_mib(started.pid)
        command = [str(Path(sys.executable).parent / "fsmend"), "--contexts-file", str(started.contexts_file)]
        command += ["get", "incidents", "-w", "-o", "jsonl"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.reader = threading.Thread(target=self._read)
        self.reader.start()

    def _read(self) -> None:
        for line in self.process.stdout:
            self.lines.append((time.time_ns(), json.loads(line)))

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(10)
            self.reader.join(10)
            self.process.stdout.close()

    def first(self, dimension: str, value: str) -> int:
        """Return when a shared cause was first shown; 0: never."""
        shown = [
            when
            for when, one in self.lines
            if one["cause"]["dimension"] == dimension and one["cause"]["value"] == value and one["statistics"]
        ]
        return min(shown, default=0)


def resident_mib(pid: int) -> float:
    """Return the resident set of a process."""
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(fields["VmRSS"].split()[0]) / 1_024


class Quiet:
    """Tell a log of the stages, and nothing else."""

    def stage(self, name: str, total: int) -> None:
        sys.stderr.write(f"bench-diagnosis: wire: {name} {total}\n")

    def done(self, steps: int) -> None:
        """Stay quiet."""


@dataclass(frozen=True)
class Outcome:
    run: WireRun
    k: int
    detect_seconds: float
    collector_mib: float


def rack_power(agents: int, seed: int = 1, name: str = "rack_power") -> Outcome:
    """Play the scenario; the time is infinite when the incident never came."""
    world = scenarios()[name].world(make_fleet(FleetShape(hosts=agents), seed), seed)
    watcher = Watcher()
    try:
        run = asyncio.run(simulate(world, Wish(wait_seconds=WAIT_SECONDS), Quiet(), watcher.start))
    finally:
        watcher.stop()
    cause, resolution = world.causes[0], run.judge.resolved()[0]
    assert resolution.from_chance is not None
    k = resolution.from_chance.count
    arrived_ns, shown_ns = run.judge.kth_arrival(cause, k), watcher.first(cause.dimension, cause.value)
    seconds = (shown_ns - arrived_ns) / SECOND if arrived_ns and shown_ns else float("inf")
    return Outcome(run, k, seconds, watcher.collector_mib)


def measure() -> dict[str, float]:
    done = rack_power(AGENTS)
    return {
        "wire_agents": AGENTS,
        "wire_detect_seconds": done.detect_seconds,
        "wire_detect_k": done.k,
        "wire_enrol_per_second": done.run.enrolled / done.run.enrol_seconds,
        "wire_collector_mib": done.collector_mib,
        "wire_simulator_mib": resident_mib(os.getpid()),
        "wire_connect_seconds": done.run.connect_seconds,
    }
