"""Read the error counters that ext4 keeps in its superblock (/sys/fs/ext4/DEVICE).

See Documentation/ABI/testing/sysfs-fs-ext4.

They survive remounts, so they also tell of errors from before the agent started. Data writeback failures do not
count there (seen on 6.18).
"""

from dataclasses import dataclass
from pathlib import Path

SYSFS = Path("/sys/fs/ext4")

ERROR_CODES = {
    1: "UNKNOWN",
    2: "EIO",
    3: "ENOMEM",
    4: "EFSBADCRC",
    5: "EFSCORRUPTED",
    6: "ENOSPC",
    7: "ENOKEY",
    8: "EROFS",
    9: "EFBIG",
    10: "EEXIST",
    11: "ERANGE",
    12: "EOVERFLOW",
    13: "EBUSY",
    14: "ENOTDIR",
    15: "ENOTEMPTY",
    16: "ESHUTDOWN",
    17: "EFAULT",
}
"""ext4's own enumeration of errors, EXT4_ERR_* of fs/ext4/ext4.h; not errno."""


@dataclass(frozen=True, slots=True)
class ErrorPlace:
    """Where and when one of the two remembered errors happened.

    Attributes:
        time_seconds: wall clock since 1970.
        inode: 0 when the error belonged to none.
        block: filesystem block, 0 likewise.
        function: kernel function that met it.
        line: line in the kernel's source.
        code: name from ERROR_CODES, `code18` for a newer one, empty when the kernel is too old to tell (before 5.8).
    """

    time_seconds: int
    inode: int
    block: int
    function: str
    line: int
    code: str


@dataclass(frozen=True, slots=True)
class ErrorCounters:
    """What ext4 remembers of its errors. A count of None means that this kernel has no such file."""

    errors_count: int | None
    warning_count: int | None
    msg_count: int | None
    first_error: ErrorPlace | None
    last_error: ErrorPlace | None


def error_counters(device: str, sysfs: Path = SYSFS) -> ErrorCounters:
    """Return the counters of the ext4 filesystem on a device.

    Args:
        device: its name in /sys/fs/ext4: sda1, dm-0.
        sysfs: where to look.

    Raises:
        FileNotFoundError: no ext4 filesystem is mounted from that device.
    """
    folder = sysfs / device
    if not folder.is_dir():
        raise FileNotFoundError(2, "no mounted ext4 filesystem", str(folder))
    return ErrorCounters(
        errors_count=_number(folder / "errors_count"),
        warning_count=_number(folder / "warning_count"),
        msg_count=_number(folder / "msg_count"),
        first_error=_place(folder, "first_error_"),
        last_error=_place(folder, "last_error_"),
    )


def _place(folder: Path, prefix: str) -> ErrorPlace | None:
    """Return the first or the last error, or None when there was none."""
    time_seconds = _number(folder / f"{prefix}time")
    if not time_seconds:
        return None
    code = _number(folder / f"{prefix}errcode") or 0
    return ErrorPlace(
        time_seconds=time_seconds,
        inode=_number(folder / f"{prefix}ino") or 0,
        block=_number(folder / f"{prefix}block") or 0,
        function=_text(folder / f"{prefix}func") or "",
        line=_number(folder / f"{prefix}line") or 0,
        code=ERROR_CODES.get(code, f"code{code}") if code else "",
    )


def _text(path: Path) -> str | None:
    """Return a file's text, or None when it is absent; an unmount may take it away at any time."""
    try:
        return path.read_bytes().rstrip(b"\n\0").decode("utf-8", "backslashreplace")
    except OSError:
        return None


def _number(path: Path) -> int | None:
    """Return a file's number, or None when it is absent or holds none."""
    text = _text(path)
    return int(text) if text and text.isdecimal() else None
