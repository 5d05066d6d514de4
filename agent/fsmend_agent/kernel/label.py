"""Ask a mounted filesystem for its label (linux/fs.h)."""

from fsmend_agent.kernel import syscall

FS_IOC_GETFSLABEL = 0x81009431
FSLABEL_MAX = 256


def fs_label(fd: int, path: str | bytes | None = None) -> bytes:
    """Return the label of the filesystem that `fd` lies on; empty when it has none.

    Raises:
        OSError: ENOTTY when the filesystem does not tell (ext4 before 5.18, XFS before 4.18, btrfs before 4.16).
    """
    buffer = bytearray(FSLABEL_MAX)
    syscall.ioctl(fd, FS_IOC_GETFSLABEL, buffer, path)
    return bytes(buffer).split(b"\0", 1)[0]
