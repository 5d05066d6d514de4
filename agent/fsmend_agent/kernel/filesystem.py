"""Ask and tell a mounted filesystem of any kind: its UUID, and that it shall shut down (linux/fs.h)."""

import uuid

from fsmend_agent.kernel import syscall
from fsmend_agent.kernel._ffi import ffi

FS_IOC_GETFSUUID = 0x80111500
FS_IOC_SHUTDOWN = 0x8004587D
"""ext4, XFS, f2fs: stop all writing now. It contains damage and never repairs; only an unmount ends it."""

SHUTDOWN_DEFAULT = 0
SHUTDOWN_LOG_FLUSH = 1
SHUTDOWN_NO_LOG_FLUSH = 2


def fs_uuid(fd: int, path: str | bytes | None = None) -> uuid.UUID | None:
    """Return the UUID of the filesystem that `fd` lies on (Linux 6.9); None when it has none of 16 bytes.

    Raises:
        OSError: ENOTTY when the kernel or the filesystem does not tell (btrfs on 6.18: use `btrfs.fs_info`).
    """
    argument = ffi.new("struct fsuuid2 *")
    syscall.ioctl(fd, FS_IOC_GETFSUUID, ffi.buffer(argument), path)
    return uuid.UUID(bytes=bytes(argument.uuid)) if argument.len == 16 else None


def shutdown(fd: int, mode: int, path: str | bytes | None = None) -> None:
    """Shut the filesystem down with one of the SHUTDOWN_ modes. Needs CAP_SYS_ADMIN."""
    syscall.ioctl(fd, FS_IOC_SHUTDOWN, bytearray(mode.to_bytes(4, "little")), path)
