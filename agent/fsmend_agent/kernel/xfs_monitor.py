"""Watch one XFS mount through its health monitor (Linux 7.0) and decode its events.

Numbers and layouts are those of fs/xfs/libxfs/xfs_fs.h of Linux 7.2, where it was run; 6.18 answers ENOTTY.
Only one monitor a mount is possible: EEXIST means that xfs_healer(8) has it, and then the mount is left to it.
"""

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum, IntFlag

from fsmend_agent.errors import DecodeError
from fsmend_agent.kernel import syscall
from fsmend_agent.kernel._ffi import ffi

XFS_IOC_HEALTH_MONITOR = 0x40205844
XFS_IOC_HEALTH_FD_ON_MONITORED_FS = 0x40085845
XFS_HEALTH_MONITOR_VERBOSE = 1
XFS_HEALTH_MONITOR_FMT_V0 = 0

EVENT_BYTES = 64
"""Read in multiples of it."""

_EVENT = struct.Struct("=IIQ32s16x")


class Domain(IntEnum):
    """What an event is about: XFS_HEALTH_MONITOR_DOMAIN_*."""

    MOUNT = 0
    FS = 1
    AG = 2
    INODE = 3
    RTGROUP = 4
    DATADEV = 5
    RTDEV = 6
    LOGDEV = 7
    FILERANGE = 8


class EventType(IntEnum):
    """What happened: XFS_HEALTH_MONITOR_TYPE_*."""

    RUNNING = 0
    LOST = 1
    UNMOUNT = 2
    SICK = 3
    CORRUPT = 4
    HEALTHY = 5
    SHUTDOWN = 6
    MEDIA_ERROR = 7
    BUFREAD = 8
    BUFWRITE = 9
    DIOREAD = 10
    DIOWRITE = 11
    DATALOST = 12


class ShutdownReason(IntFlag):
    """Why a filesystem shut down: XFS_HEALTH_SHUTDOWN_*."""

    META_IO_ERROR = 1 << 0
    LOG_IO_ERROR = 1 << 1
    FORCE_UMOUNT = 1 << 2
    CORRUPT_INCORE = 1 << 3
    CORRUPT_ONDISK = 1 << 4
    DEVICE_REMOVED = 1 << 5


@dataclass(frozen=True, slots=True)
class MonitorEvent:
    """One event; only the fields of its domain are set.

    Attributes:
        domain: what it is about.
        type: what happened.
        time_ns: wall clock of the kernel.
        lost: events lost (MOUNT, LOST).
        shutdown: mask of ShutdownReason (MOUNT, SHUTDOWN).
        mask: health bits (FS, AG, RTGROUP, INODE).
        group: number of the allocation or realtime group.
        inode: inode number (INODE, FILERANGE).
        generation: inode generation, likewise.
        sector: first sector of 512 bytes (DATADEV, RTDEV, LOGDEV).
        sectors: how many.
        position_bytes: where in the file (FILERANGE).
        length_bytes: how much of it.
        error: errno, positive (FILERANGE).
    """

    domain: Domain
    type: EventType
    time_ns: int
    lost: int = 0
    shutdown: int = 0
    mask: int = 0
    group: int = 0
    inode: int = 0
    generation: int = 0
    sector: int = 0
    sectors: int = 0
    position_bytes: int = 0
    length_bytes: int = 0
    error: int = 0


_SHUTDOWN = (struct.Struct("=I"), ("shutdown",))
_LOST = (struct.Struct("=Q"), ("lost",))
_GROUP = (struct.Struct("=II"), ("mask", "group"))
_MEDIA = (struct.Struct("=QQ"), ("sector", "sectors"))
_FILERANGE = (struct.Struct("=QQQII"), ("position_bytes", "length_bytes", "inode", "generation", "error"))
_NOTHING = (struct.Struct(""), ())
# The member of the union that belongs to a domain, and the fields of MonitorEvent that it fills.
_UNION: dict[Domain, tuple[struct.Struct, tuple[str, ...]]] = {
    Domain.FS: (struct.Struct("=I"), ("mask",)),
    Domain.AG: _GROUP,
    Domain.INODE: (struct.Struct("=IIQ"), ("mask", "generation", "inode")),
    Domain.RTGROUP: _GROUP,
    Domain.DATADEV: _MEDIA,
    Domain.RTDEV: _MEDIA,
    Domain.LOGDEV: _MEDIA,
    Domain.FILERANGE: _FILERANGE,
}
_MOUNT_UNION: dict[EventType, tuple[struct.Struct, tuple[str, ...]]] = {
    EventType.LOST: _LOST,
    EventType.SHUTDOWN: _SHUTDOWN,
}


def open_monitor(root_fd: int, *, verbose: bool = True, path: str | bytes | None = None) -> int:
    """Return a new non-blocking descriptor of a mount's health events. Needs CAP_SYS_ADMIN in the first user namespace.

    Args:
        root_fd: the filesystem's root directory.
        verbose: also tell what became healthy again.
        path: for the error message.

    Raises:
        OSError: ENOTTY before Linux 7.0; EEXIST when another process, such as xfs_healer, watches this mount.
    """
    flags = XFS_HEALTH_MONITOR_VERBOSE if verbose else 0
    argument = ffi.new("struct xfs_health_monitor *", {"flags": flags, "format": XFS_HEALTH_MONITOR_FMT_V0})
    fd = syscall.ioctl(root_fd, XFS_IOC_HEALTH_MONITOR, ffi.buffer(argument), path)
    os.set_blocking(fd, False)
    return fd


def is_on_monitored(monitor_fd: int, fd: int) -> None:
    """Make sure that `fd` lies on the filesystem that the monitor watches; call it before a repair.

    Raises:
        OSError: ESTALE when it is another one, or the same one mounted again.
    """
    argument = ffi.new("struct xfs_health_file_on_monitored_fs *", {"fd": fd})
    syscall.ioctl(monitor_fd, XFS_IOC_HEALTH_FD_ON_MONITORED_FS, ffi.buffer(argument))


def decode_monitor_events(data: bytes) -> Iterator[MonitorEvent]:
    """Yield the events that one read from a health monitor holds.

    Raises:
        DecodeError: after the good ones, with the bytes of events of unknown domain or type and of a truncated one.
    """
    whole = len(data) - len(data) % EVENT_BYTES
    bad = b""
    for offset in range(0, whole, EVENT_BYTES):
        domain, event_type, time_ns, union = _EVENT.unpack_from(data, offset)
        try:
            layout, names = _layout(Domain(domain), EventType(event_type))
        except ValueError:
            bad += data[offset : offset + EVENT_BYTES]
        else:
            details = dict(zip(names, layout.unpack_from(union), strict=True))
            yield MonitorEvent(domain=Domain(domain), type=EventType(event_type), time_ns=time_ns, **details)
    bad += data[whole:]
    if bad:
        raise DecodeError("XFS health events of unknown kind or length", bad)


def _layout(domain: Domain, event_type: EventType) -> tuple[struct.Struct, tuple[str, ...]]:
    """Return how the union of such an event is laid out and what its parts are called."""
    if domain is Domain.MOUNT:
        return _MOUNT_UNION.get(event_type, _NOTHING)
    return _UNION[domain]
