"""Read sysfs attributes, any of which may be missing: drivers differ, and a device may vanish between two reads."""

import os
from pathlib import Path

SYSFS = Path("/sys")


def read_text(path: Path) -> str:
    """Return the attribute without its line end and padding; empty when it cannot be read."""
    return read_bytes(path).decode("utf-8", "backslashreplace").strip(" \t\r\n\0")


def read_bytes(path: Path) -> bytes:
    """Return the attribute's bytes; empty when it cannot be read.

    An attribute that exists may still answer EIO, ENODEV, ENXIO or EACCES; all of them mean "unknown" here.
    """
    try:
        return path.read_bytes()
    except (OSError, ValueError):  # ValueError: a NUL in the path
        return b""


def read_int(path: Path) -> int:
    """Return the attribute as a number; 0 when it cannot be read or is none."""
    text = read_text(path)
    try:
        return int(text)
    except ValueError:
        return 0


def link_name(path: Path) -> str:
    """Return the last part of what the link points to; empty when there is no such link."""
    try:
        return Path(os.readlink(path)).name  # noqa: PTH115  Path.readlink would build a second object
    except (OSError, ValueError):
        return ""


def names(path: Path) -> tuple[str, ...]:
    """Return the sorted names in a folder; none when it cannot be read."""
    try:
        return tuple(sorted(os.listdir(path)))  # noqa: PTH208  only the names are of use
    except (OSError, ValueError):
        return ()


def device_number(name: str, root: Path = SYSFS) -> tuple[int, int] | None:
    """Return (major, minor) of a block device by its kernel name; None when there is no such device."""
    major, _, minor = read_text(root / "class/block" / name / "dev").partition(":")
    return (int(major), int(minor)) if major.isdecimal() and minor.isdecimal() else None


def device_name(major: int, minor: int, root: Path = SYSFS) -> str:
    """Return the kernel name of a block device by its number; empty when there is no such device."""
    return link_name(root / f"dev/block/{major}:{minor}")
