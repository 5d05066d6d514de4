"""Moved: which commands were moved since diagnosis last looked, each move once.

A row is stamped before it waits for the writer, so an older stamp may become visible after a newer one; and the clock
may be set back. So once a second a look begins a minute before the last one, and what was seen is remembered.
"""

import time
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection

from fsmend_collector.commands import FINAL_STATES
from fsmend_collector.diagnose.reading import commands_since

OVERLAP_NS = 60_000_000_000
REMEMBERED_NS = 86_400_000_000_000
LOOK_BACK_SECONDS = 1.0


class MovedCommands:
    """The commands as they were seen last."""

    def __init__(self) -> None:
        self._through_ns = 0
        self._seen: dict[str, tuple[int, int]] = {}  # id → state, stamp
        self._looked_back_seconds = -LOOK_BACK_SECONDS

    def start(self, connection: Connection, now_ns: int) -> None:
        """Take all that is stored for seen."""
        self._through_ns = now_ns
        rows = commands_since(connection, now_ns - OVERLAP_NS)
        self._seen = {row.id: (row.state, row.updated_ns) for row in rows}

    def news(self, connection: Connection, now_ns: int) -> Iterator[Any]:
        """Yield the rows of commands whose state is another one than when they were seen last."""
        since_ns = self._through_ns = min(self._through_ns, now_ns)
        if time.monotonic() - self._looked_back_seconds >= LOOK_BACK_SECONDS:
            self._looked_back_seconds = time.monotonic()
            since_ns -= OVERLAP_NS
            self._forget(since_ns - REMEMBERED_NS)
        for row in commands_since(connection, since_ns):
            seen = self._seen.get(row.id)
            self._seen[row.id] = row.state, row.updated_ns
            self._through_ns = max(self._through_ns, row.updated_ns)
            if seen is None or seen[0] != row.state:
                yield row

    def _forget(self, before_ns: int) -> None:
        """Forget the commands that ended so long ago that they will not be read again, though the clock be set back."""
        over = [name for name, (state, at_ns) in self._seen.items() if state in FINAL_STATES and at_ns < before_ns]
        for name in over:
            del self._seen[name]
