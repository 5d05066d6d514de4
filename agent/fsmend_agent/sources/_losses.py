"""Report losses at a bounded rate: in a storm a kernel queue overflows many times a second."""

import asyncio
from collections.abc import Callable

from fsmend_proto.v1 import record_pb2

PAUSE_SECONDS = 1.0


class Losses:
    """Adds up the losses of one source and sends the first at once, the others at most once a second.

    Args:
        send: takes the Gap.
        make: makes a Gap for how many were lost at least, and whether that is exact. `lost` of 0 means unknown.
    """

    def __init__(self, send: Callable[[record_pb2.Gap], None], make: Callable[[int, bool], record_pb2.Gap]) -> None:
        self._send = send
        self._make = make
        self._lost = 0
        self._is_exact = True
        self._timer: asyncio.TimerHandle | None = None

    def add(self, lost: int, *, is_exact: bool) -> None:
        """Count a loss."""
        self._lost += lost
        self._is_exact = self._is_exact and is_exact
        if self._timer is None:
            self._report()
            self._timer = asyncio.get_running_loop().call_later(PAUSE_SECONDS, self._pause_over)

    def close(self) -> None:
        """Send what was added up."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._report()

    def _pause_over(self) -> None:
        self._timer = None
        if self._lost or not self._is_exact:
            self.add(0, is_exact=True)

    def _report(self) -> None:
        if self._lost or not self._is_exact:
            self._send(self._make(self._lost, self._is_exact))
        self._lost, self._is_exact = 0, True
