"""Ask btrfs for its devices and their error counters, and scrub one device (linux/btrfs.h).

All calls take a descriptor of any file on the filesystem. Scrub and `logical_inodes` need CAP_SYS_ADMIN.
"""

import errno
import struct
import uuid
from dataclasses import dataclass

from fsmend_agent.kernel import syscall
from fsmend_agent.kernel._ffi import ffi

BTRFS_IOC_SCRUB = 0xC400941B
BTRFS_IOC_SCRUB_CANCEL = 0x941C
BTRFS_IOC_SCRUB_PROGRESS = 0xC400941D
BTRFS_IOC_DEV_INFO = 0xD000941E
BTRFS_IOC_FS_INFO = 0x8400941F
BTRFS_IOC_LOGICAL_INO = 0xC0389424
BTRFS_IOC_GET_DEV_STATS = 0xC4089434
BTRFS_SCRUB_READONLY = 1
BTRFS_DEV_STATS_RESET = 1
_U64_MAX = (1 << 64) - 1
_DATA_CONTAINER = struct.Struct("=IIII")
_INODE_REFERENCE = struct.Struct("=QQQ")
_LOGICAL_INO_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class DeviceStats:
    """Error counters of one device, kept on disk until reset."""

    device_id: int
    write_errors: int
    read_errors: int
    flush_errors: int
    corruption_errors: int
    generation_errors: int


@dataclass(frozen=True, slots=True)
class ScrubProgress:
    """How far a scrub of one device came and what it met.

    `last_physical` is the byte to resume from. Linux 6.18 counts in `corrected_errors` what a good copy exists of, also
    in a read-only scrub that writes nothing; so only a later scrub proves a repair.
    """

    data_extents_scrubbed: int
    tree_extents_scrubbed: int
    data_bytes_scrubbed: int
    tree_bytes_scrubbed: int
    read_errors: int
    csum_errors: int
    verify_errors: int
    no_csum: int
    csum_discards: int
    super_errors: int
    malloc_errors: int
    uncorrectable_errors: int
    corrected_errors: int
    last_physical: int
    unverified_errors: int


@dataclass(frozen=True, slots=True)
class DeviceInfo:
    """One device of a filesystem. `path` is b"" for a device that is missing."""

    device_id: int
    uuid: uuid.UUID
    bytes_used: int
    total_bytes: int
    path: bytes


@dataclass(frozen=True, slots=True)
class FsInfo:
    """One filesystem; device ids run from 1 (0 while one is being replaced) to `max_id`, with holes."""

    uuid: uuid.UUID
    num_devices: int
    max_id: int
    node_bytes: int
    sector_bytes: int


@dataclass(frozen=True, slots=True)
class InodeReference:
    """One file that uses a logical address: inode, offset in it, and the subvolume's root id."""

    inode: int
    offset_bytes: int
    root: int


@dataclass(frozen=True, slots=True)
class LogicalInodes:
    """The files that use a logical address; `missed` more did not fit into the answer."""

    references: tuple[InodeReference, ...]
    missed: int


class ScrubStopped(OSError):  # noqa: N818  cancelled or failed: an OSError with what was done until then
    """A scrub ended before the end of its range; `progress` says how far it came."""

    progress: ScrubProgress


def device_stats(fd: int, device_id: int, *, reset: bool = False, path: str | bytes | None = None) -> DeviceStats:
    """Return the error counters of one device, and with `reset` set them to zero (needs CAP_SYS_ADMIN).

    Raises:
        OSError: ENODEV when there is no such device.
    """
    flags = BTRFS_DEV_STATS_RESET if reset else 0
    argument = ffi.new("struct btrfs_ioctl_get_dev_stats *", {"devid": device_id, "nr_items": 5, "flags": flags})
    syscall.ioctl(fd, BTRFS_IOC_GET_DEV_STATS, ffi.buffer(argument), path)
    return DeviceStats(device_id, *(int(value) for value in argument.values))


def scrub(
    fd: int,
    device_id: int,
    *,
    read_only: bool = False,
    start: int = 0,
    end: int = _U64_MAX,
    path: str | bytes | None = None,
) -> ScrubProgress:
    """Scrub one device from byte `start` to `end` and return what it met. **Blocks until it is done**: use a thread.

    Without `read_only` it mends what a good copy exists of. One scrub a device at a time; any other thread may watch
    it with `scrub_progress` and stop all of the filesystem's scrubs with `scrub_cancel`.

    Raises:
        ScrubStopped: ECANCELED after `scrub_cancel`, or an error such as EIO: it carries the progress made.
        OSError: EINPROGRESS when the device is being scrubbed, ENODEV, EROFS.
    """
    flags = BTRFS_SCRUB_READONLY if read_only else 0
    argument = ffi.new(
        "struct btrfs_ioctl_scrub_args *", {"devid": device_id, "start": start, "end": end, "flags": flags}
    )
    try:
        syscall.ioctl(fd, BTRFS_IOC_SCRUB, ffi.buffer(argument), path)
    except OSError as error:
        # The kernel copies the progress out on an error too, so that a scrub can be resumed.
        if error.errno not in {errno.ECANCELED, errno.EIO, errno.ENOMEM}:
            raise
        stopped = ScrubStopped(error.errno, error.strerror, error.filename)
        stopped.progress = _progress(bytes(ffi.buffer(argument)))
        raise stopped from error
    return _progress(bytes(ffi.buffer(argument)))


def scrub_progress(fd: int, device_id: int, path: str | bytes | None = None) -> ScrubProgress | None:
    """Return how far the running scrub of a device is, or None when none runs."""
    argument = ffi.new("struct btrfs_ioctl_scrub_args *", {"devid": device_id})
    try:
        syscall.ioctl(fd, BTRFS_IOC_SCRUB_PROGRESS, ffi.buffer(argument), path)
    except OSError as error:
        if error.errno == errno.ENOTCONN:
            return None
        raise
    return _progress(bytes(ffi.buffer(argument)))


def scrub_cancel(fd: int, path: str | bytes | None = None) -> bool:
    """Stop every scrub of the filesystem and wait until they stopped; False when none ran."""
    try:
        syscall.ioctl(fd, BTRFS_IOC_SCRUB_CANCEL, None, path)
    except OSError as error:
        if error.errno == errno.ENOTCONN:
            return False
        raise
    return True


def device_info(fd: int, device_id: int, path: str | bytes | None = None) -> DeviceInfo:
    """Return one device of the filesystem.

    Raises:
        OSError: ENODEV when there is no such device.
    """
    argument = ffi.new("struct btrfs_ioctl_dev_info_args *", {"devid": device_id})
    syscall.ioctl(fd, BTRFS_IOC_DEV_INFO, ffi.buffer(argument), path)
    name = bytes(argument.path).split(b"\0", 1)[0]
    return DeviceInfo(
        argument.devid, uuid.UUID(bytes=bytes(argument.uuid)), argument.bytes_used, argument.total_bytes, name
    )


def fs_info(fd: int, path: str | bytes | None = None) -> FsInfo:
    """Return the filesystem's identity and how many devices it has.

    Raises:
        OSError: ENOTTY when `fd` is not on btrfs.
    """
    result = ffi.new("struct btrfs_ioctl_fs_info_args *")
    syscall.ioctl(fd, BTRFS_IOC_FS_INFO, ffi.buffer(result), path)
    return FsInfo(
        uuid.UUID(bytes=bytes(result.fsid)), result.num_devices, result.max_id, result.nodesize, result.sectorsize
    )


def devices(fd: int, path: str | bytes | None = None) -> list[DeviceInfo]:
    """Return every device of the filesystem, in the order of their ids."""
    found = []
    for device_id in range(fs_info(fd, path).max_id + 1):
        try:
            found.append(device_info(fd, device_id, path))
        except OSError as error:
            if error.errno != errno.ENODEV:
                raise
    return found


def logical_inodes(fd: int, logical: int, path: str | bytes | None = None) -> LogicalInodes:
    """Return the files that use the data at a logical address, such as one that a scrub could not correct.

    Raises:
        OSError: ENOENT when nothing uses it.
    """
    answer = ffi.new("__u64[]", _LOGICAL_INO_BYTES // 8)
    request = {"logical": logical, "size": _LOGICAL_INO_BYTES, "inodes": int(ffi.cast("uintptr_t", answer))}
    argument = ffi.new("struct btrfs_ioctl_logical_ino_args *", request)
    syscall.ioctl(fd, BTRFS_IOC_LOGICAL_INO, ffi.buffer(argument), path)
    data = bytes(ffi.buffer(answer))
    _left, _missing, count, missed = _DATA_CONTAINER.unpack_from(data)
    end = _DATA_CONTAINER.size + count // 3 * _INODE_REFERENCE.size
    references = _INODE_REFERENCE.iter_unpack(data[_DATA_CONTAINER.size : end])
    return LogicalInodes(tuple(InodeReference(*reference) for reference in references), missed // 3)


def _progress(argument: bytes) -> ScrubProgress:
    """Return the progress part of a struct btrfs_ioctl_scrub_args."""
    return ScrubProgress(
        *struct.unpack_from("=15Q", argument, ffi.offsetof("struct btrfs_ioctl_scrub_args", "progress"))
    )
