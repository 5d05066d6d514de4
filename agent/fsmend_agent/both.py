"""`fsmend-agent run`: sense and link as two children, for a try without systemd.

One that ends by itself is started again; a signal ends both, link first, so that sense can still write what it holds.
"""

import asyncio
import logging
import signal
import sys
from pathlib import Path

log = logging.getLogger(__name__)

SMALL = ("-OO", "-X", "no_debug_ranges")
"""What the interpreter leaves out of memory: docstrings, and the columns of tracebacks."""

RESTART_SECONDS = 1.0
STOP_SECONDS = 20.0
"""More than a running repair is given to stop, and then what is left is written."""


async def run_both(config: Path, captured: Path | None = None) -> int:
    """Run both until SIGTERM or SIGINT; return the exit status.

    Args:
        config: the configuration file, given to both.
        captured: for sense, see `fsmend_agent.replay`.
    """
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    replay = ("--replay", str(captured)) if captured else ()
    sense = asyncio.create_task(_keep("sense", "--config", str(config), *replay))
    link = asyncio.create_task(_keep("link", "--config", str(config)))
    await stopped.wait()
    for task in (link, sense):
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    return 0


async def _keep(*arguments: str) -> None:
    """Run one child again and again; end it when cancelled."""
    while True:
        child = await asyncio.create_subprocess_exec(sys.executable, *SMALL, "-m", "fsmend_agent", *arguments)
        try:
            status = await child.wait()
        except asyncio.CancelledError:
            await _end(child)
            raise
        log.warning("%s ended with status %d and is started again", arguments[0], status)
        await asyncio.sleep(RESTART_SECONDS)


async def _end(child: asyncio.subprocess.Process) -> None:
    child.terminate()
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await child.wait()
    except TimeoutError:
        child.kill()
        await child.wait()
