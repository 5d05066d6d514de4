"""Say when a polling source is to look: at its interval, and soon after another source saw an error."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fsmend_agent.filesystems import FilesystemTable, MountedFilesystem

SETTLE_SECONDS = 0.2
"""Counters follow the error by a moment: ext4 copies them in a work item after the trace event (seen on 6.18)."""

PAUSE_SECONDS = 1.0
"""Least time between two looks that were asked for, so that a storm costs one look a second."""

MAX_POKED = 256


class Polling:
    """The turns of a polling source.

    Args:
        interval_seconds: between two looks at everything.
    """

    def __init__(self, interval_seconds: float) -> None:
        self._interval_seconds = interval_seconds
        self._poked: set[str] = set()
        self._wake = asyncio.Event()
        self._is_urgent = False

    def poke(self, uuid: str, *, is_urgent: bool = False) -> None:
        """Ask for a look at one filesystem soon, or with `is_urgent` at once."""
        if uuid and len(self._poked) < MAX_POKED:
            self._poked.add(uuid)
            self._is_urgent = self._is_urgent or is_urgent
            self._wake.set()

    async def filesystems(self, table: "FilesystemTable", fs_type: str) -> "AsyncGenerator[MountedFilesystem]":
        """Yield each filesystem of a type when it is to be looked at, a new one at once. Endless; to be closed."""

        def changed(added: "frozenset[MountedFilesystem]", _removed: "frozenset[MountedFilesystem]") -> None:
            for filesystem in added:
                if filesystem.type == fs_type:
                    # What the first look finds passes for older than the watch: the sooner the better.
                    self.poke(filesystem.uuid, is_urgent=True)

        unsubscribe = table.subscribe(changed)
        try:
            async for uuids in self.turns():
                for filesystem in list(table):
                    if filesystem.type == fs_type and (uuids is None or filesystem.uuid in uuids):
                        yield filesystem
        finally:
            unsubscribe()

    async def turns(self) -> AsyncIterator[frozenset[str] | None]:
        """Yield when to look: the UUIDs to look at, or None for everything. Endless."""
        loop = asyncio.get_running_loop()
        next_round = loop.time()
        while True:
            if loop.time() >= next_round:
                next_round = loop.time() + self._interval_seconds
                self._take()
                yield None
            try:
                async with asyncio.timeout_at(next_round):
                    await self._wake.wait()
            except TimeoutError:
                continue
            if self._is_urgent:
                yield self._take()
                continue
            await asyncio.sleep(SETTLE_SECONDS)
            yield self._take()
            await asyncio.sleep(PAUSE_SECONDS - SETTLE_SECONDS)

    def _take(self) -> frozenset[str]:
        poked = frozenset(self._poked)
        self._poked.clear()
        self._wake.clear()
        self._is_urgent = False
        return poked
