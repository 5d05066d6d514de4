"""Receive filesystem errors from fanotify (FAN_FS_ERROR, Linux 5.16) and decode them.

A mark succeeds on filesystems that never report; which ones report follows from the kernel version, not from the
mark (seen on 6.18: XFS and btrfs accept it and stay silent).

Names are those of linux/fanotify.h, the layouts are checked in tests/kernel/test_abi.py. See fanotify(7).
"""

import struct
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from fsmend_agent.errors import DecodeError
from fsmend_agent.kernel import syscall

FAN_CLASS_NOTIF = 0x0
FAN_CLOEXEC = 0x1
FAN_NONBLOCK = 0x2
FAN_REPORT_FID = 0x200
FAN_MARK_ADD = 0x1
FAN_MARK_REMOVE = 0x2
FAN_MARK_FILESYSTEM = 0x100
FAN_Q_OVERFLOW = 0x4000
FAN_FS_ERROR = 0x8000
FANOTIFY_METADATA_VERSION = 3
FAN_EVENT_INFO_TYPE_FID = 1
FAN_EVENT_INFO_TYPE_ERROR = 5

FILEID_INVALID = 0xFF
"""Handle type of an error that belongs to the superblock and to no inode (linux/exportfs.h)."""

READ_BYTES = 64 * 1024
"""A good size for one read(2): about a thousand records; the kernel never splits one."""

_METADATA = struct.Struct("=IBxHQii")
_INFO = struct.Struct("=BxH")
_FID = struct.Struct("=8sIi")
_ERROR = struct.Struct("=iI")
_INFO_FID_BYTES = _INFO.size + _FID.size
# Metadata, FID record up to the handle, and error record, as every kernel so far has laid an event out.
_USUAL_HEAD = struct.Struct("=IBxHQiiBxH8sIi")
_USUAL_TAIL = struct.Struct("=BxHiI")
_USUAL_BYTES = _USUAL_HEAD.size + _USUAL_TAIL.size
_USUAL_VALUES = (FANOTIFY_METADATA_VERSION, _METADATA.size, FAN_FS_ERROR, FAN_EVENT_INFO_TYPE_FID)

_INO32 = struct.Struct("=II")
_INO64 = struct.Struct("=QI")
_BTRFS = struct.Struct("=QQI")
# Handle types that carry inode and generation (linux/exportfs.h, fs/xfs/xfs_export.h, fs/btrfs/export.h);
# the odd ones also name the parent, behind what is read here.
_INODE_LAYOUTS = {
    0x01: _INO32,
    0x02: _INO32,
    0x81: _INO64,
    0x82: _INO64,
    0x4D: _BTRFS,
    0x4E: _BTRFS,
    0x4F: _BTRFS,
}


class FsError(NamedTuple):
    """One FAN_FS_ERROR record. A tuple and no dataclass: it is three times as fast to make, and errors come in storms.

    Attributes:
        fsid: f_fsid as 16 hex digits in memory order, the same as `mounts.fsid`.
        handle_type: type of the file handle; 0xff for the superblock.
        handle: the handle's bytes; empty for the superblock.
        inode: inode number, or None for the superblock or an unknown type of handle.
        generation: inode generation, or None likewise.
        root: btrfs subvolume id; None elsewhere.
        error: errno, positive (its sign was inconsistent before Linux 7.0).
        error_count: errors merged into this record; the inodes of all but the first are unknown.
        pid: process that met the error first; 0 where the kernel does not tell (7.0 and later).
    """

    fsid: str
    handle_type: int
    handle: bytes
    inode: int | None
    generation: int | None
    root: int | None
    error: int
    error_count: int
    pid: int

    @property
    def is_superblock(self) -> bool:
        """Tell whether the error belongs to no inode."""
        return not self.handle or self.handle_type == FILEID_INVALID


class QueueOverflow(NamedTuple):
    """The kernel's queue was full, or it had no memory: an unknown number of errors was lost."""

    pid: int


def init() -> int:
    """Return a non-blocking group that reports file handles. Needs CAP_SYS_ADMIN."""
    # FAN_REPORT_FID alone: with DIR_FID or NAME the type of the FID record changes.
    return syscall.fanotify_init(FAN_CLASS_NOTIF | FAN_CLOEXEC | FAN_NONBLOCK | FAN_REPORT_FID, 0)


def mark_filesystem(group_fd: int, path: str | bytes) -> None:
    """Ask for the errors of the whole filesystem that `path` lies on.

    Raises:
        OSError: EINVAL before Linux 5.16; ENODEV or EXDEV for filesystems without an fsid or handles (proc, some FUSE).
    """
    syscall.fanotify_mark(group_fd, FAN_MARK_ADD | FAN_MARK_FILESYSTEM, FAN_FS_ERROR, path)


def unmark_filesystem(group_fd: int, path: str | bytes) -> None:
    """Take the mark of `path`'s filesystem away.

    Raises:
        OSError: ENOENT when it is not marked; an unmount has taken the mark with it.
    """
    syscall.fanotify_mark(group_fd, FAN_MARK_REMOVE | FAN_MARK_FILESYSTEM, FAN_FS_ERROR, path)


def decode(data: bytes) -> Iterator[FsError | QueueOverflow]:
    """Yield the records that one read from a fanotify descriptor holds.

    Every record that can be decoded is yielded, also those behind a bad one, as long as the lengths tell where the
    next one begins.

    Args:
        data: what read(2) returned; the kernel never splits an event.

    Raises:
        DecodeError: after the good records, with the bad ones' bytes and whatever followed an impossible length.

    See fanotify(7), "Reading fanotify events".
    """
    offset, end, bad, reason = 0, len(data), b"", ""
    while offset < end:
        if usual := _decode_usual(data, offset, end):
            length, record = usual
            yield record
            offset += length
            continue
        if end - offset < _METADATA.size:
            raise DecodeError("truncated fanotify metadata", bad + data[offset:])
        length, version, metadata_length, mask, _fd, pid = _METADATA.unpack_from(data, offset)
        if version != FANOTIFY_METADATA_VERSION:
            raise DecodeError(f"fanotify metadata version {version}", bad + data[offset:])
        if length < _METADATA.size or length > end - offset:
            raise DecodeError(f"fanotify event length {length}", bad + data[offset:])
        try:
            yield _decode_event(data, offset, length, metadata_length, mask, pid)
        except DecodeError as error:
            bad, reason = bad + error.raw, error.reason
        offset += length
    if bad:
        raise DecodeError(reason, bad)


def _decode_usual(data: bytes, offset: int, end: int) -> tuple[int, FsError] | None:
    """Return length and record of an event in the usual layout, or None: then the general walk decides.

    A third faster than the general walk, which gives the same answer; in a storm nothing else is read.
    """
    if end - offset < _USUAL_BYTES:
        return None
    length, version, metadata_length, mask, _fd, pid, info_type, info_length, fsid, handle_bytes, handle_type = (
        _USUAL_HEAD.unpack_from(data, offset)
    )
    tail = offset + _METADATA.size + info_length
    if (
        (version, metadata_length, mask, info_type) != _USUAL_VALUES
        or tail + _USUAL_TAIL.size != offset + length
        or offset + length > end
        or handle_bytes > info_length - _INFO_FID_BYTES
    ):
        return None
    error_type, error_length, error, error_count = _USUAL_TAIL.unpack_from(data, tail)
    if error_type != FAN_EVENT_INFO_TYPE_ERROR or error_length != _USUAL_TAIL.size:
        return None
    start = offset + _USUAL_HEAD.size
    handle = data[start : start + handle_bytes]
    inode, generation, root = decode_handle(handle_type, handle)
    return length, FsError(_hex(fsid), handle_type, handle, inode, generation, root, abs(error), error_count, pid)


def _decode_event(
    data: bytes, start: int, length: int, metadata_length: int, mask: int, pid: int
) -> FsError | QueueOverflow:
    """Return the record of the event of `length` bytes at `start`."""
    if mask & FAN_Q_OVERFLOW:
        return QueueOverflow(pid)
    end, offset = start + length, start + metadata_length
    fid = error = None
    while offset < end:
        if end - offset < _INFO.size:
            raise DecodeError("truncated fanotify info header", data[start:end])
        info_type, info_length = _INFO.unpack_from(data, offset)
        if info_length < _INFO.size or info_length > end - offset:
            raise DecodeError(f"fanotify info length {info_length}", data[start:end])
        if info_type == FAN_EVENT_INFO_TYPE_FID and info_length >= _INFO_FID_BYTES:
            fid = fsid, handle_bytes, handle_type = _FID.unpack_from(data, offset + _INFO.size)
            handle = data[offset + _INFO_FID_BYTES : offset + min(_INFO_FID_BYTES + handle_bytes, info_length)]
        elif info_type == FAN_EVENT_INFO_TYPE_ERROR and info_length >= _INFO.size + _ERROR.size:
            error = _ERROR.unpack_from(data, offset + _INFO.size)
        offset += info_length
    if fid is None or error is None or not mask & FAN_FS_ERROR or metadata_length < _METADATA.size:
        raise DecodeError(f"fanotify event of mask {mask:#x} without FID or error record", data[start:end])
    if len(handle) < handle_bytes:
        raise DecodeError(f"fanotify handle of {handle_bytes} bytes", data[start:end])
    inode, generation, root = decode_handle(handle_type, handle)
    return FsError(_hex(fsid), handle_type, handle, inode, generation, root, abs(error[0]), error[1], pid)


def decode_handle(handle_type: int, handle: bytes) -> tuple[int | None, int | None, int | None]:
    """Return inode, generation and btrfs root of a file handle; None for what its type does not tell."""
    layout = _INODE_LAYOUTS.get(handle_type)
    if layout is None or len(handle) < layout.size:
        return None, None, None
    if layout is _BTRFS:
        inode, root, generation = layout.unpack_from(handle)
        return inode, generation, root
    inode, generation = layout.unpack_from(handle)
    return inode, generation, None


@lru_cache(maxsize=256)
def _hex(fsid: bytes) -> str:
    """Return eight bytes as hex; a storm has the same few again and again."""
    return fsid.hex()
