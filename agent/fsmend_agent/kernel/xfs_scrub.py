"""Scrub several pieces of one XFS object in one call, and find the root directory (libxfs/xfs_fs.h).

SCRUBV_METADATA is in Linux 6.10 and newer; before, and without scrub, it answers ENOTTY.
"""

import errno
import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from fsmend_agent.kernel import syscall, xfs
from fsmend_agent.kernel._ffi import ffi
from fsmend_agent.kernel.xfs_health import ScrubFlag, ScrubType

VECTORS_MAX = 64
"""Of one call; the kernel (6.12) takes as many as fit in a page, which is more than there are types."""

_BULK_SPECIAL, _BULK_SPECIAL_ROOT = 1 << 1, 1
_FILEID_INO64_GEN = 0x81
_HANDLE = struct.Struct("=QI")
_IN_FLAGS = ScrubFlag.REPAIR | ScrubFlag.FORCE_REBUILD


@dataclass(frozen=True, slots=True)
class Answer:
    """What one scrub came to: `flags` are the outcome's, `errno` is positive, 0 when the call went through."""

    scrub_type: ScrubType
    flags: ScrubFlag
    errno: int


def scrub_vector(
    fd: int,
    scrub_types: Sequence[ScrubType],
    *,
    repair: bool = False,
    inode: int = 0,
    generation: int = 0,
    group: int = 0,
    rest_us: int = 0,
) -> list[Answer]:
    """Check, or with `repair` mend, several pieces of one inode, one group or the filesystem. Blocks. CAP_SYS_ADMIN.

    Args:
        fd: a file on the filesystem.
        scrub_types: at most VECTORS_MAX.
        repair: mend what is corrupt.
        inode: for the inode types.
        generation: of `inode`.
        group: for the group types.
        rest_us: the kernel's pause between two pieces, microseconds, at most 65,535.

    Raises:
        OSError: ENOTTY: this kernel has no vectors. What fails for one piece is in its answer.
    """
    flags = int(ScrubFlag.REPAIR) if repair else 0
    vectors = ffi.new("struct xfs_scrub_vec[]", [{"sv_type": one, "sv_flags": flags} for one in scrub_types])
    head = ffi.new(
        "struct xfs_scrub_vec_head *",
        {
            "svh_ino": inode,
            "svh_gen": generation,
            "svh_agno": group,
            "svh_rest_us": min(rest_us, 0xFFFF),
            "svh_nr": len(scrub_types),
            "svh_vectors": int(ffi.cast("uintptr_t", vectors)),
        },
    )
    syscall.ioctl(fd, xfs.XFS_IOC_SCRUBV_METADATA, ffi.buffer(head))
    return [Answer(ScrubType(one.sv_type), ScrubFlag(one.sv_flags & ~_IN_FLAGS), -one.sv_ret) for one in vectors]


def scrub_one(
    fd: int, scrub_type: ScrubType, *, repair: bool = False, inode: int = 0, generation: int = 0, group: int = 0
) -> Answer:
    """Do the same for one piece, on any kernel with scrub: an error is an answer too."""
    try:
        flags = xfs.scrub(fd, scrub_type, repair=repair, inode=inode, generation=generation, group=group)
    except OSError as error:
        return Answer(scrub_type, ScrubFlag(0), error.errno or errno.EIO)
    return Answer(scrub_type, flags, 0)


def bulkstat_root(fd: int) -> xfs.InodeHealth:
    """Return the root directory's inode, whatever directory `fd` is (Linux 5.3, XFS_BULK_IREQ_SPECIAL_ROOT).

    Raises:
        OSError: EUCLEAN and the like when it does not load.
    """
    inodes, _next = xfs.bulkstat_batch(fd, _BULK_SPECIAL_ROOT, 1, flags=_BULK_SPECIAL)
    if not inodes:
        raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), "root directory")
    return inodes[0]


def open_root(fd: int) -> int:
    """Return a descriptor of the root directory; the caller closes it. Needs CAP_DAC_READ_SEARCH.

    Raises:
        OSError: it does not open.
    """
    root = bulkstat_root(fd)
    handle = _HANDLE.pack(root.inode, root.generation)
    return syscall.open_by_handle_at(fd, _FILEID_INO64_GEN, handle, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
