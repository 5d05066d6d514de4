"""Find which processes hold files of a filesystem open for writing (proc(5), /proc/PID/fdinfo). Bounded."""

import os
import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
SCAN_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Writer:
    """One open file. `path` is as the kernel shows it to us, control characters and all."""

    pid: int
    command: str
    path: str

    def __str__(self) -> str:
        """Return it for a message."""
        return f"{self.command}[{self.pid}] {self.path}"


@dataclass(frozen=True, slots=True)
class Writers:
    """What was found; `cut` when there may be more."""

    writers: tuple[Writer, ...]
    cut: bool


def find_writers(mount_ids: Collection[int], device: int, limit: int, proc: Path = PROC) -> Writers:
    """Return at most `limit` files open for writing.

    Shared writable mappings of a closed file, loop devices and swap files hold a filesystem too, and are not found.

    Args:
        mount_ids: of the filesystem's mounts in this mount namespace.
        device: its st_dev; finds files that were opened in other namespaces (not those of btrfs subvolumes).
        limit: how many to name.
        proc: where to look.
    """
    deadline = time.monotonic() + SCAN_SECONDS
    found: list[Writer] = []
    for writer in _writers(mount_ids, device, proc):
        if writer is not None:
            found.append(writer)
        if len(found) == limit or time.monotonic() > deadline:
            return Writers(tuple(found), cut=True)
    return Writers(tuple(found), cut=False)


def _writers(mount_ids: Collection[int], device: int, proc: Path) -> Iterator[Writer | None]:
    """Yield the writers, and None for everything else looked at, so that the caller can stop in time."""
    for pid in sorted(int(name) for name in os.listdir(proc) if name.isdecimal()):  # noqa: PTH208  names only
        folder = proc / str(pid)
        yield None
        # A process may end at any moment; then there is nothing to tell of it.
        with suppress(OSError):
            for number in os.listdir(folder / "fd"):  # noqa: PTH208  names only
                yield _writer(folder, pid, number, mount_ids, device)


def _writer(folder: Path, pid: int, number: str, mount_ids: Collection[int], device: int) -> Writer | None:
    """Return one open file when it is one of those sought."""
    try:
        fields = dict(line.split(":\t", 1) for line in (folder / "fdinfo" / number).read_text().splitlines()[:4])
        if int(fields["flags"], 8) & os.O_ACCMODE == os.O_RDONLY:
            return None
        link = folder / "fd" / number
        if int(fields.get("mnt_id", "-1")) not in mount_ids and link.stat().st_dev != device:
            return None
        command = (folder / "comm").read_bytes().decode("utf-8", "backslashreplace").strip()
        return Writer(pid, command, os.fsencode(os.readlink(link)).decode("utf-8", "backslashreplace"))  # noqa: PTH115
    except (OSError, ValueError, KeyError):
        return None
