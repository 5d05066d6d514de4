"""Who else works on this filesystem's metadata: a running xfs_scrub(8), and xfs_healer(8)."""

import os
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path

PROC = Path("/proc")
SCRUB, HEALER = "xfs_scrub", "xfs_healer"


def working_on(device: int, mount_points: Collection[bytes], proc: Path = PROC) -> Iterator[str]:
    """Yield the names of the programs of the two that work on a filesystem.

    Args:
        device: st_dev of the filesystem; a program that holds a file of it open works on it.
        mount_points: of the filesystem; a program that was given one of them works on it.
        proc: where processes are looked for.
    """
    for entry in proc.iterdir():
        if not entry.name.isdigit():
            continue
        with suppress(OSError):
            name = (entry / "comm").read_text(encoding="utf-8", errors="replace").strip()
            if name in {SCRUB, HEALER} and (_was_given(entry, mount_points) or _holds(entry, device)):
                yield name


def _was_given(entry: Path, mount_points: Collection[bytes]) -> bool:
    """Say whether one of the mount points is an argument of the process."""
    arguments = (entry / "cmdline").read_bytes().split(b"\0")
    return any(argument in mount_points for argument in arguments[1:] if argument)


def _holds(entry: Path, device: int) -> bool:
    """Say whether the process has a file of the device open."""
    for descriptor in (entry / "fd").iterdir():
        with suppress(OSError):
            if os.stat(descriptor).st_dev == device:  # noqa: PTH116  the link is followed
                return True
    return False
