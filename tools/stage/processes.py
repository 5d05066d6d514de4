"""A collector and an agent of this checkout as real processes, enrolled over mutual TLS, in their own directory."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

READY_SECONDS = 30
STOP_SECONDS = 15
BIN = Path(sys.executable).parent
PYCACHE = Path(__file__).resolve().parents[2] / "build" / "pycache"


class StageError(RuntimeError):
    """A process of the stage did not do what it should; the message holds the end of its log."""


def free_port() -> int:
    """Ask the kernel for a port that is free on the loopback address now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def toml(table: dict[str, Any]) -> str:
    """Write a configuration: plain keys first, then one level of tables. JSON's scalars and lists are TOML's."""
    lines = [f"{key} = {json.dumps(value)}" for key, value in table.items() if not isinstance(value, dict)]
    for name, section in table.items():
        if isinstance(section, dict):
            lines += ["", f"[{name}]", *(f"{json.dumps(key)} = {json.dumps(value)}" for key, value in section.items())]
    return "\n".join(lines) + "\n"


class Stage(AbstractContextManager["Stage"]):
    """The processes, their files, and the CLI's answers.

    Args:
        directory: for everything that is written; made when absent.
        agent: keys of agent.toml that differ from the defaults.
        collector: keys of collector.toml that differ from the defaults.
        ports: of the link and of the enrolment service; None picks free ones.
    """

    def __init__(
        self,
        directory: Path,
        *,
        agent: dict[str, Any] | None = None,
        collector: dict[str, Any] | None = None,
        ports: tuple[int, int] | None = None,
    ) -> None:
        self.directory = directory
        self.port, self.enrol_port = ports or (free_port(), free_port())
        self.contexts = directory / "contexts.yaml"
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        directory.mkdir(parents=True, exist_ok=True)
        self.agent_config = directory / "agent.toml"
        self.collector_config = directory / "collector.toml"
        runtime = {"state_directory": str(directory / "agent"), "runtime_directory": str(directory / "run")}
        policy = {"policy": {"file": str(directory / "policy.toml")}}
        self.agent_config.write_text(toml({**runtime, **policy, **(agent or {})}))
        self.collector_config.write_text(
            toml(
                {
                    "state_directory": str(directory / "collector"),
                    "listen_address": f"127.0.0.1:{self.port}",
                    "enrol_listen_address": f"127.0.0.1:{self.enrol_port}",
                    "advertise": ["127.0.0.1", "localhost"],
                    **(collector or {}),
                }
            )
        )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop everything, the agent first."""
        for name in reversed(list(self.processes)):
            self.stop(name)

    def log(self, name: str) -> Path:
        """Return the file that a process writes its messages to."""
        return self.directory / f"{name}.log"

    def run(self, program: str, *arguments: str, stdin: str | None = None) -> str:
        """Run one of the programs to its end and return what it printed."""
        done = subprocess.run(
            [str(BIN / program), *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            env=self.environment,
        )
        if done.returncode != 0:
            raise StageError(f"{program} {arguments[0]}: {done.stderr.strip()}")
        return done.stdout

    @property
    def environment(self) -> dict[str, str]:
        """Return the environment in which the CLI finds this collector.

        Compiled modules are kept, as an installation keeps them: to compile anew costs time at each start, and memory
        that is never given back.
        """
        own = {"FSMEND_CONTEXTS": str(self.contexts), "PYTHONUNBUFFERED": "1", "PYTHONPYCACHEPREFIX": str(PYCACHE)}
        return {**os.environ, **own, "PYTHONDONTWRITEBYTECODE": ""}

    def fsmend(self, *arguments: str) -> Any:  # JSON has every shape
        """Ask the collector through the CLI; return the objects of its JSON answer."""
        document = json.loads(self.run("fsmend", *arguments, "-o", "json"))
        return document["items"] if isinstance(document, dict) and "items" in document else document

    def start(self, name: str, program: str, *arguments: str) -> None:
        """Start a process whose messages go to its log."""
        with self.log(name).open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [str(BIN / program), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.environment,
                start_new_session=True,
            )

    def stop(self, name: str, how: signal.Signals = signal.SIGTERM) -> None:
        """End a process and wait for it; kill it when it does not listen."""
        process = self.processes.pop(name, None)
        if process is None:
            return
        process.send_signal(how)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(STOP_SECONDS)

    def init_collector(self) -> None:
        """Make the authority and the operator's certificate, once."""
        if not self.contexts.exists():
            config = ("--config", str(self.collector_config))
            self.run("fsmend-collector", "init", *config, "--contexts-file", str(self.contexts))

    def start_collector(self) -> None:
        """Start the collector, and wait until it answers."""
        self.init_collector()
        self.start("collector", "fsmend-collector", "run", "--config", str(self.collector_config))
        self.wait_for("collector", lambda: self.answers(self.port) and self.answers(self.enrol_port))

    def enrol(self) -> None:
        """Trade a one-use token for the agent's certificate, unless it has one."""
        if (self.directory / "agent" / "identity" / "agent.crt").exists():
            return
        token = self.run("fsmend-collector", "token", "create", "--config", str(self.collector_config))
        self.run("fsmend-agent", "enrol", "--config", str(self.agent_config), "--token-file", "/dev/stdin", stdin=token)

    def start_agent(self, *arguments: str) -> None:
        """Start both processes of the agent, and wait until the collector sees it."""
        self.enrol()
        self.start("agent", "fsmend-agent", "run", "--config", str(self.agent_config), *arguments)
        self.wait_for("agent", self.connected)

    def start_sense(self) -> None:
        """Start sense alone; it is ready when its socket is there."""
        seam = self.directory / "run" / "seam.sock"
        seam.unlink(missing_ok=True)
        self.start("sense", "fsmend-agent", "sense", "--config", str(self.agent_config))
        self.wait_for("sense", seam.exists)

    def start_link(self) -> None:
        """Start link alone."""
        self.start("link", "fsmend-agent", "link", "--config", str(self.agent_config))

    def connected(self) -> bool:
        """Tell whether the collector sees the agent."""
        return any(agent.get("connected") for agent in self.fsmend("get", "agents"))

    def wait_for(self, name: str, condition: Any, seconds: float = READY_SECONDS) -> None:
        """Wait until `condition()` holds; raise with the end of the process's log when it ends first or time is up."""
        deadline = time.monotonic() + seconds
        while not condition():
            process = self.processes.get(name)
            ended = process is not None and process.poll() is not None
            if ended or time.monotonic() > deadline:
                tail = "\n".join(self.log(name).read_text(errors="replace").splitlines()[-20:])
                raise StageError(f"{name} {'ended' if ended else 'is not ready'}; its log ends with\n{tail}")
            time.sleep(0.05)

    @staticmethod
    def answers(port: int) -> bool:
        """Tell whether something listens on a port of the loopback address."""
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
        return False
