"""A throw-away collector: a real process with its own directory, authority and ports on loopback."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncGenerator
from pathlib import Path

from fsmend_collector.simulate.wire.errors import SimulationRefused
from fsmend_collector.simulate.wire.operator import Access

_PROGRAM = (sys.executable, "-m", "fsmend_collector.cli")
_LEASHED = (sys.executable, "-m", "fsmend_collector.simulate.wire.leashed")
_OPERATOR_FILES = ("simulate.crt", "simulate.key", "authority.crt")
_READY_SECONDS = 30.0
_STOP_SECONDS = 20.0
_LINES_SHOWN = 10


class StartedCollector:
    """The process and its files.

    Attributes:
        contexts_file: with which `fsmend` asks it.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.config = directory / "collector.toml"
        self.contexts_file = directory / "contexts.yaml"
        self._process: asyncio.subprocess.Process | None = None

    @property
    def log(self) -> Path:
        """Return the file that it writes its messages to."""
        return self.directory / "collector.log"

    @property
    def access(self) -> Access:
        """Return how its operator reaches it."""
        ports = json.loads((self.directory / "ports.json").read_text(encoding="ascii"))
        certificate, key, authority = (self.directory / name for name in _OPERATOR_FILES)
        return Access.of(f"127.0.0.1:{ports[0]}", certificate, key, authority)

    @property
    def pid(self) -> int:
        """Return its process id, 0 when it does not run."""
        return self._process.pid if self._process else 0

    async def start(self) -> None:
        """Make what is missing, start the process and wait until both ports answer.

        Raises:
            SimulationRefused: it could not be started; the end of its log says why.
        """
        if not self.config.exists():
            await self._initialise()
        with self.log.open("ab") as log:
            arguments = (*_LEASHED, str(os.getpid()), "run", "--config", str(self.config))
            self._process = await asyncio.create_subprocess_exec(
                *arguments, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        ports = json.loads((self.directory / "ports.json").read_text(encoding="ascii"))
        try:
            async with asyncio.timeout(_READY_SECONDS):
                while not all(_answers(port) for port in ports):
                    if self._process.returncode is not None:
                        break
                    await asyncio.sleep(0.05)
        except TimeoutError:
            pass
        else:
            if self._process.returncode is None:
                return
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LINES_SHOWN:]
        await self.stop()
        raise SimulationRefused("\n".join(["the collector did not start; its log ends with", *lines]))

    async def _initialise(self) -> None:
        """Write the configuration, and let `init` make the authority and the operator."""
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        ports = [_free_port(), _free_port()]
        (self.directory / "ports.json").write_text(json.dumps(ports), encoding="ascii")
        self.config.write_text(
            f"state_directory = {json.dumps(str((self.directory / 'collector').absolute()))}\n"
            f'listen_address = "127.0.0.1:{ports[0]}"\n'
            f'enrol_listen_address = "127.0.0.1:{ports[1]}"\n'
            'advertise = ["127.0.0.1", "localhost"]\n',
            encoding="utf-8",
        )
        options = ("--config", str(self.config), "--operator", "simulate", "--contexts-file", str(self.contexts_file))
        done = await asyncio.create_subprocess_exec(
            *_PROGRAM, "init", *options, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
        )
        _, problems = await done.communicate()
        if done.returncode:
            raise SimulationRefused(f"the collector could not be set up: {problems.decode(errors='replace').strip()}")

    async def stop(self) -> None:
        """End the process: ask, then make it."""
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                await process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()

    async def restart(self) -> None:
        """End it and start it again, on what it stored."""
        await self.stop()
        await self.start()


@contextlib.asynccontextmanager
async def started_collector(directory: Path | None) -> AsyncGenerator[StartedCollector]:
    """Run a collector for a while; with a directory what it stored stays there, otherwise nothing does."""
    where = directory or Path(tempfile.mkdtemp(prefix="fsmend-simulate-"))
    collector = StartedCollector(where)
    try:
        await collector.start()
        yield collector
    finally:
        await collector.stop()
        if directory is None:
            shutil.rmtree(where, ignore_errors=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False
