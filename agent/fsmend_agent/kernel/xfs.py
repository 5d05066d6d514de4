"""Ask XFS for its geometry and health, and scrub one piece of metadata (ioctl_xfs_*(2), libxfs/xfs_fs.h).

Health is kept in core by every kernel since 5.2 and can be polled. Scrub is a build option: where it is missing the
kernel answers ENOTTY, see `scrub_support`. All calls take a descriptor of any file on the filesystem; health needs
no capability, bulkstat and scrub need CAP_SYS_ADMIN.
"""

import errno
import struct
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from fsmend_agent.errors import DecodeError
from fsmend_agent.kernel import syscall
from fsmend_agent.kernel._ffi import ffi
from fsmend_agent.kernel.xfs_health import ScrubFlag, ScrubType

XFS_IOC_SCRUB_METADATA = 0xC040583C
XFS_IOC_AG_GEOMETRY = 0xC080583D
XFS_IOC_SCRUBV_METADATA = 0xC0285840
XFS_IOC_RTGROUP_GEOMETRY = 0xC0805841
XFS_IOC_FSGEOMETRY = 0x8100587E
XFS_IOC_BULKSTAT = 0x8040587F
XFS_IOC_INUMBERS = 0x80405880

BULKSTAT_BATCH = 1024
"""Inodes of one bulkstat call: 192 KiB of buffer, some milliseconds in the kernel when the inodes are cached."""

_BULK_REQUEST = struct.Struct("=QIIII40x")
_BULKSTAT = struct.Struct("=Q56xI60xHHH58x")
_INUMBERS = struct.Struct("=QQ8x")
_CHUNK_INODES = 64
_BULK_ONE_GROUP = 1 << 0  # XFS_BULK_IREQ_AGNO


@dataclass(frozen=True, slots=True)
class Geometry:
    """What FSGEOMETRY tells about a filesystem. `sick` and `checked` are masks of HealthDomain.FS."""

    uuid: uuid.UUID
    block_bytes: int
    sector_bytes: int
    inode_bytes: int
    ag_count: int
    ag_blocks: int
    data_blocks: int
    log_blocks: int
    rt_blocks: int
    rt_extents: int
    rtgroup_count: int
    flags: int
    sick: int
    checked: int


@dataclass(frozen=True, slots=True)
class AgGeometry:
    """What AG_GEOMETRY tells about an allocation group. `sick` and `checked` are masks of HealthDomain.AG."""

    number: int
    blocks: int
    free_blocks: int
    inodes: int
    free_inodes: int
    sick: int
    checked: int


@dataclass(frozen=True, slots=True)
class RtGroupGeometry:
    """What RTGROUP_GEOMETRY tells about a realtime group. `sick` and `checked` are masks of HealthDomain.RTGROUP."""

    number: int
    blocks: int
    sick: int
    checked: int


@dataclass(frozen=True, slots=True)
class InodeHealth:
    """One inode of a bulkstat. `sick` and `checked` are masks of HealthDomain.INODE; `mode` is st_mode."""

    inode: int
    generation: int
    sick: int
    checked: int
    mode: int


class InodeChunk(NamedTuple):
    """A chunk of inodes as INUMBERS tells it: bit 0 of `mask` is inode `first`, set when in use, loadable or not."""

    first: int
    mask: int

    @property
    def inodes(self) -> list[int]:
        """Return their numbers."""
        return [self.first + bit for bit in range(_CHUNK_INODES) if self.mask >> bit & 1]


class ScrubSupport(Enum):
    """What a kernel can do about XFS metadata while it is mounted."""

    NONE = "none"
    CHECK = "check"
    REPAIR = "repair"


def geometry(fd: int, path: str | bytes | None = None) -> Geometry:
    """Return the filesystem's geometry and its own health.

    Raises:
        OSError: ENOTTY when `fd` is not on XFS.
    """
    result = ffi.new("struct xfs_fsop_geom *")
    syscall.ioctl(fd, XFS_IOC_FSGEOMETRY, ffi.buffer(result), path)
    return Geometry(
        uuid=uuid.UUID(bytes=bytes(result.uuid)),
        block_bytes=result.blocksize,
        sector_bytes=result.sectsize,
        inode_bytes=result.inodesize,
        ag_count=result.agcount,
        ag_blocks=result.agblocks,
        data_blocks=result.datablocks,
        log_blocks=result.logblocks,
        rt_blocks=result.rtblocks,
        rt_extents=result.rtextents,
        # Zero before Linux 6.13, which had no realtime groups and a reserved field here.
        rtgroup_count=result.rgcount,
        flags=result.flags,
        sick=result.sick,
        checked=result.checked,
    )


def ag_geometry(fd: int, number: int, path: str | bytes | None = None) -> AgGeometry:
    """Return geometry and health of allocation group `number`.

    Raises:
        OSError: EINVAL when there is no such group.
    """
    result = ffi.new("struct xfs_ag_geometry *", {"ag_number": number})
    syscall.ioctl(fd, XFS_IOC_AG_GEOMETRY, ffi.buffer(result), path)
    return AgGeometry(
        number=result.ag_number,
        blocks=result.ag_length,
        free_blocks=result.ag_freeblks,
        inodes=result.ag_icount,
        free_inodes=result.ag_ifree,
        sick=result.ag_sick,
        checked=result.ag_checked,
    )


def rtgroup_geometry(fd: int, number: int, path: str | bytes | None = None) -> RtGroupGeometry:
    """Return geometry and health of realtime group `number` (Linux 6.13).

    Raises:
        OSError: EINVAL when there is no such group, ENOTTY on older kernels.
    """
    result = ffi.new("struct xfs_rtgroup_geometry *", {"rg_number": number})
    syscall.ioctl(fd, XFS_IOC_RTGROUP_GEOMETRY, ffi.buffer(result), path)
    return RtGroupGeometry(result.rg_number, result.rg_length, result.rg_sick, result.rg_checked)


def bulkstat_batch(
    fd: int, start_inode: int = 0, count: int = BULKSTAT_BATCH, path: str | bytes | None = None, *, flags: int = 0
) -> tuple[list[InodeHealth], int]:
    """Return the next inodes in use from `start_inode` on, at most `count`, and where the next batch starts.

    With XFS_BULK_IREQ_SPECIAL in `flags`, `start_inode` names a special inode instead.

    An empty list means the end. Before an inode that does not load a batch ends, and one that begins there fails.
    Blocks while inodes are read from disk: call it in a thread. Needs CAP_SYS_ADMIN.

    Raises:
        OSError: EUCLEAN or EBADMSG when the first inode, or its group's inode btree, does not read (measured on 6.18).
    """
    buffer = bytearray(_BULK_REQUEST.size + count * _BULKSTAT.size)
    _BULK_REQUEST.pack_into(buffer, 0, start_inode, flags, count, 0, 0)
    syscall.ioctl(fd, XFS_IOC_BULKSTAT, buffer, path)
    return decode_bulkstat(bytes(buffer))


def decode_bulkstat(data: bytes) -> tuple[list[InodeHealth], int]:
    """Return the inodes of a bulkstat buffer and the inode to start the next call with.

    Raises:
        DecodeError: the header promises more inodes than there are bytes.
    """
    records, next_inode = _bulk_records(_BULKSTAT, data, "bulkstat")
    return [InodeHealth(*record) for record in records], next_inode


def bulkstat(
    fd: int, start_inode: int = 0, batch: int = BULKSTAT_BATCH, path: str | bytes | None = None
) -> Iterator[InodeHealth]:
    """Yield every inode in use from `start_inode` on; one blocking call for every `batch` inodes."""
    while True:
        inodes, start_inode = bulkstat_batch(fd, start_inode, batch, path)
        if not inodes:
            return
        yield from inodes


def inumbers_batch(fd: int, group: int, start_inode: int, count: int) -> tuple[list[InodeChunk], int]:
    """Return a group's next chunks of inodes from `start_inode` on, at most `count`, and where the next call starts.

    An empty list means the end. The first chunk may hold `start_inode` and begin before it. Blocks. CAP_SYS_ADMIN.

    Raises:
        OSError: EUCLEAN and the like when the inode btree does not read.
    """
    buffer = bytearray(_BULK_REQUEST.size + count * _INUMBERS.size)
    _BULK_REQUEST.pack_into(buffer, 0, start_inode, _BULK_ONE_GROUP, count, 0, group)
    syscall.ioctl(fd, XFS_IOC_INUMBERS, buffer)
    return decode_inumbers(bytes(buffer))


def decode_inumbers(data: bytes) -> tuple[list[InodeChunk], int]:
    """Return the chunks of an inumbers buffer and the inode to start the next call with.

    Raises:
        DecodeError: the header promises more chunks than there are bytes.
    """
    records, next_inode = _bulk_records(_INUMBERS, data, "inumbers")
    return [InodeChunk(*record) for record in records], next_inode


def _bulk_records(layout: struct.Struct, data: bytes, what: str) -> tuple[Iterator[tuple[int, ...]], int]:
    """Return the records of the buffer of a bulk request (struct xfs_bulk_ireq), and where the next call starts."""
    if len(data) < _BULK_REQUEST.size:
        raise DecodeError(f"truncated {what} header", data)
    next_inode, _flags, _in_count, out_count, _agno = _BULK_REQUEST.unpack_from(data)
    end = _BULK_REQUEST.size + out_count * layout.size
    if end > len(data):
        raise DecodeError(f"{what} of {out_count} records", data)
    return layout.iter_unpack(data[_BULK_REQUEST.size : end]), next_inode


def scrub(
    fd: int,
    scrub_type: ScrubType,
    *,
    repair: bool = False,
    force_rebuild: bool = False,
    inode: int = 0,
    generation: int = 0,
    group: int = 0,
    path: str | bytes | None = None,
) -> ScrubFlag:
    """Check one piece of metadata, and with `repair` mend it; return the outcome flags. Blocks. Needs CAP_SYS_ADMIN.

    Args:
        fd: a file on the filesystem.
        scrub_type: what to check.
        repair: mend it when it is corrupt. It is mended only when CORRUPT and XCORRUPT are clear in the answer.
        force_rebuild: with `repair`, rebuild even what looks right.
        inode: for the inode types (0: the file of `fd`), and a MetaPath for METAPATH.
        generation: of `inode`.
        group: number of the allocation or realtime group, for their types.
        path: for the error message.

    Raises:
        OSError: ENOTTY: scrub is not built in. EOPNOTSUPP: this type cannot be repaired here (a btree without reverse
            mapping). ENOENT: this filesystem has no such metadata. EBUSY, EROFS, ENOSPC, EUCLEAN, ESHUTDOWN.
    """
    flags = (ScrubFlag.REPAIR if repair else 0) | (ScrubFlag.FORCE_REBUILD if force_rebuild else 0)
    request = {"sm_type": scrub_type, "sm_flags": flags, "sm_ino": inode, "sm_gen": generation, "sm_agno": group}
    argument = ffi.new("struct xfs_scrub_metadata *", request)
    syscall.ioctl(fd, XFS_IOC_SCRUB_METADATA, ffi.buffer(argument), path)
    return ScrubFlag(argument.sm_flags & ~(ScrubFlag.REPAIR | ScrubFlag.FORCE_REBUILD))


def scrub_support(fd: int, path: str | bytes | None = None) -> ScrubSupport:
    """Return what this kernel's scrub can do; changes nothing.

    Raises:
        OSError: what the kernel answered besides "not built in".
    """
    for repair, answer in ((True, ScrubSupport.REPAIR), (False, ScrubSupport.CHECK)):
        try:
            scrub(fd, ScrubType.PROBE, repair=repair, path=path)
        except OSError as error:
            if error.errno not in {errno.ENOTTY, errno.EOPNOTSUPP, errno.EROFS}:
                raise
        else:
            return answer
    return ScrubSupport.NONE
