"""Tell systemd how the service is doing, as sd_notify(3) says."""

import os
import socket


def notify(*states: str) -> bool:
    """Send states (READY=1, WATCHDOG=1, STOPPING=1, STATUS=…) to systemd; false when nobody listens.

    A manager that does not read its socket must not stop the collector, so a failure is only returned.
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    name = f"\0{address[1:]}" if address.startswith("@") else address
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        sender.setblocking(False)
        try:
            sender.sendto("\n".join(states).encode(), name)
        except OSError:
            return False
    return True


def watchdog_seconds() -> float:
    """Return how often systemd expects WATCHDOG=1, 0 when it does not."""
    microseconds = os.environ.get("WATCHDOG_USEC", "")
    mine = os.environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
    return int(microseconds) / 1e6 if mine and microseconds.isascii() and microseconds.isdigit() else 0.0
