"""Turn the records of XFS's health monitor into events; pure but for the state of what was told before."""

import errno
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from fsmend_agent.event import new_event
from fsmend_agent.kernel.xfs_health import HealthDomain
from fsmend_agent.kernel.xfs_monitor import Domain, EventType, MonitorEvent, ShutdownReason
from fsmend_agent.sources._xfs_poll import Change, Place, Poll
from fsmend_agent.sources.xfs_health import to_events
from fsmend_proto.v1 import event_pb2 as pb

if TYPE_CHECKING:
    from fsmend_agent.sources._units import Unit

SOURCE = "xfs_monitor"
_I32_MAX, _U32_MAX = 2**31 - 1, 2**32 - 1
_DOMAINS = {
    Domain.FS: HealthDomain.FS,
    Domain.AG: HealthDomain.AG,
    Domain.RTGROUP: HealthDomain.RTGROUP,
    Domain.INODE: HealthDomain.INODE,
}
_HEALTH_TYPES = frozenset({EventType.SICK, EventType.CORRUPT, EventType.HEALTHY})
_DEVICES = {Domain.DATADEV: "data device", Domain.RTDEV: "realtime device", Domain.LOGDEV: "log device"}
_FILE_TYPES = {
    EventType.BUFREAD: "buffered read",
    EventType.BUFWRITE: "buffered write",
    EventType.DIOREAD: "direct read",
    EventType.DIOWRITE: "direct write",
    EventType.DATALOST: "data lost",
    EventType.MEDIA_ERROR: "media error",
}


def to_monitor_events(record: MonitorEvent, poll: Poll, unit: "Unit", clocks: pb.Clocks) -> Iterator[pb.Event]:
    """Yield the events of one record; none for what was told before, and for RUNNING, LOST and UNMOUNT.

    Args:
        record: from the kernel.
        poll: what was told of this filesystem's health; changed here.
        unit: whose record it is.
        clocks: now; the record's own wall time replaces that of the event.
    """
    if record.type in _HEALTH_TYPES and record.domain in _DOMAINS:
        change = compared(record, poll)
        found = [] if change is None else list(to_events(change, unit, clocks))
        for event in found:
            event.signature = event.signature.replace("xfs_health", SOURCE, 1)
    elif record.type is EventType.SHUTDOWN:
        found = [_shutdown(record, clocks)]
    elif record.domain in _DEVICES:
        found = [_media(record, clocks)]
    elif record.domain is Domain.FILERANGE:
        found = [_file(record, clocks)]
    else:
        found = []
    for event in found:
        unit.put_into(event)
        event.source = SOURCE
        if record.time_ns:
            event.clocks.wall_ns = record.time_ns
        yield event


def compared(record: MonitorEvent, poll: Poll) -> Change | None:
    """Add a record to what is known; return what changed."""
    domain = _DOMAINS[record.domain]
    place = Place(domain, record.inode if domain is HealthDomain.INODE else record.group)
    known = poll.sick.get(place, 0)
    sick = known & ~record.mask if record.type is EventType.HEALTHY else known | record.mask
    change = poll.compare(place, sick, record.mask)
    return None if change is None else change._replace(generation=record.generation)


def _shutdown(record: MonitorEvent, clocks: pb.Clocks) -> pb.Event:
    reasons = [(one.name or "").lower() for one in ShutdownReason if one & record.shutdown]
    words = ", ".join(reasons) or f"{record.shutdown:#x}"
    event = new_event(
        SOURCE,
        pb.EVENT_KIND_FS_SHUTDOWN,
        pb.SEVERITY_CRITICAL,
        clocks,
        message=f"the filesystem shut down: {words}",
        signature=f"{SOURCE} shutdown {record.shutdown:x}",
    )
    _add_detail(event, record)
    event.xfs_monitor.mask = record.shutdown
    event.xfs_monitor.names.extend(reasons)
    return event


def _media(record: MonitorEvent, clocks: pb.Clocks) -> pb.Event:
    device = _DEVICES[record.domain]
    event = new_event(
        SOURCE,
        pb.EVENT_KIND_DEVICE_MEDIUM_ERROR,
        pb.SEVERITY_ERROR,
        clocks,
        message=f"media error on the {device}, {record.sectors} sectors from {record.sector}",
        signature=f"{SOURCE} media {record.domain.name} {record.sector}",
    )
    event.sectors.start, event.sectors.count = record.sector, record.sectors
    event.errno = errno.EIO
    _add_detail(event, record)
    return event


def _file(record: MonitorEvent, clocks: pb.Clocks) -> pb.Event:
    what = _FILE_TYPES.get(record.type, record.type.name.lower())
    number = min(record.error, _I32_MAX)
    name = errno.errorcode.get(number, f"errno {number}")
    event = new_event(
        SOURCE,
        pb.EVENT_KIND_FS_IO_ERROR,
        pb.SEVERITY_ERROR,
        clocks,
        message=f"{what} failed at byte {record.position_bytes}, {record.length_bytes} bytes: {os.strerror(number)}",
        signature=f"{SOURCE} {record.type.name} {name}",
    )
    event.errno = number
    event.inode.ino, event.inode.generation, event.inode.generation_known = record.inode, record.generation, True
    _add_detail(event, record)
    return event


def _add_detail(event: pb.Event, record: MonitorEvent) -> None:
    """Add what the kernel said, as it said it."""
    detail = event.xfs_monitor
    detail.domain, detail.type = record.domain, record.type
    detail.number = min(record.group, _U32_MAX)
    detail.position_bytes, detail.length_bytes = record.position_bytes, record.length_bytes
