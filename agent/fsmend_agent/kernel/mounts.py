"""Read the mount table, notice its changes, and name filesystems as fanotify does (proc(5), /proc/PID/mountinfo)."""

import re
import select
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fsmend_agent.errors import DecodeError
from fsmend_agent.kernel import syscall

MOUNTINFO = Path("/proc/self/mountinfo")
_OCTAL = re.compile(rb"\\([0-3][0-7]{2})")
_FIELDS_BEFORE_TAGS = 6


@dataclass(frozen=True, slots=True)
class Mount:
    """One line of mountinfo.

    Attributes:
        mount_id: unique among living mounts, reused later.
        parent_id: mount that it lies on.
        major: of the device; 0 for btrfs, whose devices are not in the mount table.
        minor: of the device, or an anonymous number.
        root: directory of the filesystem that is the root of this mount; the subvolume on btrfs.
        mount_point: where this process sees it.
        fs_type: such as ext4, or fuse.sshfs.
        source: what was mounted, such as /dev/sda1.
        options: of the mount.
        super_options: of the filesystem.
        read_only: whether writes are refused, by the mount or by the filesystem.
    """

    mount_id: int
    parent_id: int
    major: int
    minor: int
    root: bytes
    mount_point: bytes
    fs_type: str
    source: bytes
    options: tuple[bytes, ...]
    super_options: tuple[bytes, ...]
    read_only: bool


def decode(data: bytes) -> Iterator[Mount]:
    """Yield the mounts of a mountinfo file.

    Raises:
        DecodeError: after the good lines, with the lines that are no mount.
    """
    bad = b""
    for line in data.split(b"\n"):
        if not line:
            continue
        try:
            mount = _decode_line(line)
        except (ValueError, IndexError):
            bad += line + b"\n"
        else:
            yield mount
    if bad:
        raise DecodeError("mountinfo lines", bad)


def _decode_line(line: bytes) -> Mount:
    """Return the mount of one line; ValueError or IndexError when it is none."""
    fields = line.split(b" ")
    # Optional fields such as shared:1 stand between; " - " ends them. Blanks inside names are escaped.
    separator = fields.index(b"-", _FIELDS_BEFORE_TAGS)
    fs_type, source, super_text = fields[separator + 1 : separator + 4]
    major, minor = fields[2].split(b":")
    options = tuple(unescape(option) for option in fields[5].split(b","))
    super_options = tuple(unescape(option) for option in super_text.split(b","))
    return Mount(
        mount_id=int(fields[0]),
        parent_id=int(fields[1]),
        major=int(major),
        minor=int(minor),
        root=unescape(fields[3]),
        mount_point=unescape(fields[4]),
        fs_type=unescape(fs_type).decode("utf-8", "backslashreplace"),
        source=unescape(source),
        options=options,
        super_options=super_options,
        read_only=b"ro" in options or b"ro" in super_options,
    )


def unescape(text: bytes) -> bytes:
    r"""Return a name of the mount table as it is: the kernel writes blank, tab, newline, # and \ as \ooo."""
    return _OCTAL.sub(lambda match: bytes([int(match[1], 8)]), text) if b"\\" in text else text


def read(path: Path = MOUNTINFO) -> list[Mount]:
    """Return the mounts that this process sees, in the order in which they were made.

    Raises:
        DecodeError: a line is no mount.
    """
    return list(decode(path.read_bytes()))


def fsid(path: str | bytes) -> str:
    """Return f_fsid of the filesystem at `path` as 16 hex digits, the same as in a fanotify record.

    ext4 makes it from the UUID, btrfs from UUID and subvolume, XFS from the *device number*, which is reused after a
    remount; so remember what it meant when the mark was made. See statfs(2).
    """
    return syscall.statfs_fsid(path).hex()


class MountTableWatcher:
    """Tell when the mount table changed: by `fileno` with asyncio's add_reader, or by `changed`; not both.

    The kernel reports a change as a priority event (POLLPRI), for which asyncio has no callback. An epoll descriptor
    that waits for it becomes readable itself when it comes, and that is what `fileno` gives.

    **Every wake-up is a change, even when the table reads the same**: a filesystem that was unmounted and mounted again
    may get the same mount id, but its fanotify mark is gone. The kernel takes a change as seen once it was polled, so
    there is nothing to read or to acknowledge; a change before add_reader is not reported, so read the table after it.
    """

    def __init__(self, path: Path = MOUNTINFO) -> None:
        self._table = path.open("rb", buffering=0)
        self._epoll = select.epoll()
        self._epoll.register(self._table, select.EPOLLPRI)

    def fileno(self) -> int:
        """Return a descriptor that polls as readable once for every change."""
        return self._epoll.fileno()

    def changed(self, timeout_seconds: float = 0) -> bool:
        """Tell whether the table changed since it was last polled; wait for it so long."""
        return bool(self._epoll.poll(timeout_seconds))

    def close(self) -> None:
        """Stop watching."""
        self._epoll.close()
        self._table.close()
