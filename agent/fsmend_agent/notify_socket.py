"""Tell systemd how we are: the protocol of sd_notify(3), without its library."""

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable


class Notifier:
    """Send to the socket that systemd named in the environment, or to nobody."""

    def __init__(self, environment: "os._Environ[str] | dict[str, str] | None" = None) -> None:
        environment = os.environ if environment is None else environment
        address = environment.get("NOTIFY_SOCKET", "")
        # A leading @ stands for the abstract namespace, see unix(7).
        self._address = "\0" + address[1:] if address.startswith("@") else address
        watchdog_us = environment.get("WATCHDOG_USEC", "0")
        ours = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self.watchdog_seconds = int(watchdog_us) / 1_000_000 if ours and watchdog_us.isdecimal() else 0.0

    def send(self, *assignments: str) -> bool:
        """Send assignments such as READY=1 and STATUS=…; tell whether anybody took them."""
        if not self._address:
            return False
        with (
            contextlib.suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out,
        ):
            out.setblocking(False)
            out.sendto("\n".join(assignments).encode(), self._address)
            return True
        return False

    def ready(self, status: str = "") -> bool:
        """Say that start-up is over."""
        return self.send("READY=1", f"STATUS={status}")

    def status(self, status: str) -> bool:
        """Say in one line what goes on."""
        return self.send(f"STATUS={status}")

    def stopping(self) -> bool:
        """Say that the process is about to end."""
        return self.send("STOPPING=1")

    async def feed(self, moves_on: Callable[[], bool] = lambda: True) -> None:
        """Send WATCHDOG=1 twice in each period, as long as `moves_on` says so; return at once when nobody watches."""
        while self.watchdog_seconds > 0:
            if moves_on():
                self.send("WATCHDOG=1")
            await asyncio.sleep(self.watchdog_seconds / 2)
