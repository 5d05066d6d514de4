"""Turn a file handle from a fanotify record into a path."""

import errno
import os
import struct

from fsmend_agent.kernel import syscall

DELETED_SUFFIX = b" (deleted)"
"""What the kernel appends to the path of an unlinked file. A living file may have such a name too, so it is kept."""

BTRFS_WITHOUT_PARENT = 0x4D
_BTRFS = struct.Struct("=QQI")

# The handle is of no use any more, or the inode is too broken to open: both are ordinary answers about a corrupt file.
_NO_PATH = frozenset({errno.ESTALE, errno.EIO, errno.EUCLEAN, errno.EBADMSG, errno.ENOENT, errno.EOPNOTSUPP})


def of_btrfs(inode: int, root: int) -> tuple[int, bytes]:
    """Return type and bytes of a handle for an inode whose generation is unknown.

    Args:
        inode: its number.
        root: id of its subvolume.

    See struct btrfs_fid and btrfs_get_dentry in fs/btrfs/export.c: a generation of 0 fits any.
    """
    return BTRFS_WITHOUT_PARENT, _BTRFS.pack(inode, root, 0)


def resolve(mount_fd: int, handle_type: int, handle: bytes) -> bytes | None:
    """Return the path of a handle as this process sees it, or None when the inode cannot be opened.

    The bytes are the kernel's: not decoded, nothing stripped, with `DELETED_SUFFIX` for an unlinked file. A file
    whose directory entry is not in the cache has no known name: its path is then the mount point alone.

    Args:
        mount_fd: any descriptor on the same filesystem; the path is relative to the mount that it was opened through.
        handle_type: as in the FID record.
        handle: as in the FID record.

    Raises:
        OSError: EPERM without CAP_DAC_READ_SEARCH, EBADF.

    See open_by_handle_at(2) and proc(5), /proc/PID/fd.
    """
    if not handle:
        return None
    try:
        fd = syscall.open_by_handle_at(mount_fd, handle_type, handle, syscall.O_PATH | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in _NO_PATH:
            return None
        raise
    try:
        return os.readlink(b"/proc/self/fd/%d" % fd)  # noqa: PTH115  pathlib has no bytes
    finally:
        os.close(fd)
