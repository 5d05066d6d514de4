"""Find the paths of broken inodes without letting a dying disk hold the event loop.

The mount point is opened for the moment of resolving only: an open descriptor, O_PATH or not, keeps the filesystem busy
and would make every umount fail with EBUSY (seen on 6.18).

To find the path of a directory the kernel may read that directory, and report its error again (XFS and fanotify on
Linux 7): what cannot be found is not asked for again soon, or each report would lead to the next.
"""

import asyncio
import os
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from fsmend_agent.kernel import handles, mounts
from fsmend_proto.v1 import event_pb2 as pb

if TYPE_CHECKING:
    from fsmend_agent.filesystems import MountedFilesystem

PATIENCE_SECONDS = 1.0
"""How long an event waits for its path. Reading an inode from a disk that retries can take minutes."""

BATCH = 64
MAX_WAITING = 256
"""Events that wait for a path; in a storm the others go without."""

KEEP_PATHS = 1024
"""Handles whose answer is given again: errors repeat on the same inodes. A renamed file keeps its old path here."""

FAILED_SECONDS = 300.0
"""How long a handle that has no path is not asked for again."""

_Key = tuple[str, bytes]


class Wanted(NamedTuple):
    """An event that lacks its path, and what to find it by."""

    event: pb.Event
    filesystem: "MountedFilesystem"
    handle_type: int
    handle: bytes

    @property
    def key(self) -> _Key:
        """Name the inode: events of the same one have the same path."""
        return self.filesystem.fsid, self.handle


class PathResolver:
    """Puts paths into events and sends them on, in order, with or without a path.

    Args:
        emit: takes the events, on the event loop's thread.
    """

    def __init__(self, emit: Callable[[pb.Event], None]) -> None:
        self._emit = emit
        self._waiting: deque[Wanted] = deque()
        self._known: OrderedDict[_Key, bytes] = OrderedDict()
        self._failed: OrderedDict[_Key, float] = OrderedDict()
        self._thread = ThreadPoolExecutor(1, "paths")
        self._running: asyncio.Future[list[bytes]] | None = None
        self._task: asyncio.Task[None] | None = None

    def add(self, wanted: Wanted) -> None:
        """Send `wanted.event` on, as soon as its path is known or cannot be."""
        if not self._is_to_be_asked(wanted) or len(self._waiting) >= MAX_WAITING or self._is_stuck():
            self._finish(wanted)
            return
        self._waiting.append(wanted)
        if self._task is None:
            self._task = asyncio.create_task(self._work())

    def forget(self) -> None:
        """Forget the paths: a filesystem was unmounted, and its fsid may come back with other inodes."""
        self._known.clear()
        self._failed.clear()

    def close(self) -> None:
        """Send what still waits, without paths."""
        if self._task is not None:
            self._task.cancel()
        while self._waiting:
            self._emit(self._waiting.popleft().event)
        self._thread.shutdown(wait=False)

    def _is_stuck(self) -> bool:
        """Tell whether the thread still hangs in a call that we gave up."""
        return self._task is None and self._running is not None and not self._running.done()

    async def _work(self) -> None:
        """Resolve what waits, batch by batch."""
        try:
            while self._waiting:
                # They stay in the queue meanwhile, so that `close` can still send them.
                batch = [self._waiting[number] for number in range(min(BATCH, len(self._waiting)))]
                asked = list({one.key: one for one in batch if self._is_to_be_asked(one)}.values())
                for wanted, path in zip(asked, await self._resolve(asked), strict=True):
                    self._note(wanted, path)
                for wanted in batch:
                    self._waiting.popleft()
                    self._finish(wanted)
                if self._running is not None and not self._running.done():
                    while self._waiting:
                        self._emit(self._waiting.popleft().event)
        finally:
            self._task = None

    async def _resolve(self, batch: list[Wanted]) -> list[bytes]:
        if not batch:
            return []
        self._running = asyncio.get_running_loop().run_in_executor(self._thread, resolve_all, batch)
        with suppress(TimeoutError, OSError):
            return await asyncio.wait_for(asyncio.shield(self._running), PATIENCE_SECONDS)
        return [b""] * len(batch)

    def _is_to_be_asked(self, wanted: Wanted) -> bool:
        """Say whether the kernel is to be asked for a path: it is not known, nor known to have failed just now.

        When more failed just now than can be remembered, no other one is asked for either.
        """
        if wanted.key in self._known:
            return False
        until = self._failed.get(wanted.key)
        if until is None:
            until = next(iter(self._failed.values())) if len(self._failed) >= KEEP_PATHS else 0.0
        return until <= asyncio.get_running_loop().time()

    def _note(self, wanted: Wanted, path: bytes) -> None:
        """Remember an answer, and that there was none."""
        self._failed.pop(wanted.key, None)
        if path:
            self._known[wanted.key] = path
        else:
            self._failed[wanted.key] = asyncio.get_running_loop().time() + FAILED_SECONDS
        for kept in (self._known, self._failed):
            if len(kept) > KEEP_PATHS:
                kept.popitem(last=False)

    def _finish(self, wanted: Wanted) -> None:
        wanted.event.inode.path = self._known.get(wanted.key, b"")
        self._emit(wanted.event)


def resolve_all(batch: list[Wanted]) -> list[bytes]:
    """Return the path of each, empty when unknown; each filesystem is opened once and closed again. Blocks."""
    paths = [b""] * len(batch)
    by_filesystem: dict[MountedFilesystem, list[int]] = {}
    for number, wanted in enumerate(batch):
        by_filesystem.setdefault(wanted.filesystem, []).append(number)
    for filesystem, numbers in by_filesystem.items():
        opened = open_mounted(filesystem)
        if opened is None:
            continue
        fd, mount_point = opened
        try:
            for number in numbers:
                with suppress(OSError):
                    found = handles.resolve(fd, batch[number].handle_type, batch[number].handle)
                    paths[number] = below(found, mount_point)
        finally:
            os.close(fd)
    return paths


def open_mounted(filesystem: "MountedFilesystem") -> tuple[int, bytes] | None:
    """Open a directory on a filesystem; None when no path leads to it (any more).

    The caller closes the descriptor at once. Blocks.
    """
    fsids = {filesystem.fsid, *filesystem.fsids}
    for mount_point in filesystem.mount_points:
        with suppress(OSError):
            fd = os.open(mount_point, os.O_RDONLY | os.O_DIRECTORY | os.O_NONBLOCK | os.O_CLOEXEC)
            # Another filesystem may be mounted on top, or this one gone and its place in the directory below visible.
            if mounts.fsid(b"/proc/self/fd/%d" % fd) in fsids:
                return fd, mount_point
            os.close(fd)
    return None


def below(path: bytes | None, mount_point: bytes) -> bytes:
    """Return a path relative to its mount point; empty when it is none, or is not below it.

    The kernel gives `/` for an inode that it could open but has no name for.
    """
    if not path or (path == b"/" and mount_point != b"/"):
        return b""
    if path == mount_point:
        return b"."
    prefix = mount_point if mount_point.endswith(b"/") else mount_point + b"/"
    return path.removeprefix(prefix) if path.startswith(prefix) else b""
