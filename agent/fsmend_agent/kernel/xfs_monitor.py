"""Watch one XFS mount through its health monitor (Linux 7.0) and decode its events.

Numbers and layouts are from the patches that landed in 7.0; the kernel this was run on (6.18) answers ENOTTY.
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
_U64 = struct.Struct("=Q")
_U32 = struct.Struct("=I")
_GROUP = struct.Struct("=II")
_INODE = struct.Struct("=IIQ")
_MEDIA = struct.Struct("=QQ")
_FILERANGE = struct.Struct("=QQQII")


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
        shutdown: reasons (MOUNT, SHUTDOWN).
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
    shutdown: ShutdownReason = ShutdownReason(0)
    mask: int = 0
    group: int = 0
    inode: int = 0
    generation: int = 0
    sector: int = 0
    sectors: int = 0
    position_bytes: int = 0
    length_bytes: int = 0
    error: int = 0


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
            known = Domain(domain), EventType(event_type), time_ns
        except ValueError:
            bad += data[offset : offset + EVENT_BYTES]
        else:
            yield MonitorEvent(*known, **_details(known[0], known[1], union))
    bad += data[whole:]
    if bad:
        raise DecodeError("XFS health events of unknown kind or length", bad)


def _details(domain: Domain, event_type: EventType, union: bytes) -> dict[str, int]:
    """Return the fields that a domain's member of the union holds."""
    if domain is Domain.MOUNT:
        if event_type is EventType.SHUTDOWN:
            return {"shutdown": ShutdownReason(_U32.unpack_from(union)[0])}
        return {"lost": _U64.unpack_from(union)[0]} if event_type is EventType.LOST else {}
    if domain is Domain.FS:
        return {"mask": _U32.unpack_from(union)[0]}
    if domain in {Domain.AG, Domain.RTGROUP}:
        return dict(zip(("mask", "group"), _GROUP.unpack_from(union), strict=True))
    if domain is Domain.INODE:
        return dict(zip(("mask", "generation", "inode"), _INODE.unpack_from(union), strict=True))
    if domain is Domain.FILERANGE:
        names = ("position_bytes", "length_bytes", "inode", "generation", "error")
        return dict(zip(names, _FILERANGE.unpack_from(union), strict=True))
    return dict(zip(("sector", "sectors"), _MEDIA.unpack_from(union), strict=True))
