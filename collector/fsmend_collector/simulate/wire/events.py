"""The event that the agent of a simulated host would send for a finding. Pure."""

from fsmend_collector.diagnosis.evidence import Evidence
from fsmend_proto.v1 import event_pb2

_WORDS = {
    event_pb2.EVENT_KIND_DEVICE_GONE: "device offlined",
    event_pb2.EVENT_KIND_DEVICE_MEDIUM_ERROR: "critical medium error",
    event_pb2.EVENT_KIND_DEVICE_IO_ERROR: "I/O error",
    event_pb2.EVENT_KIND_DEVICE_LINK_ERROR: "interface CRC error, link reset",
    event_pb2.EVENT_KIND_DEVICE_HEALTH: "SMART overall health: failed",
    event_pb2.EVENT_KIND_FS_METADATA_CORRUPTION: "metadata corruption detected",
    event_pb2.EVENT_KIND_FS_IO_ERROR: "metadata I/O error",
    event_pb2.EVENT_KIND_UNDECODED: "bytes that could not be decoded",
}


def event_of(evidence: Evidence, clocks: event_pb2.Clocks) -> event_pb2.Event:
    """Return an event from which diagnosis takes this finding again; `clocks` say when it happened."""
    what = _WORDS.get(evidence.kind, "error")
    event = event_pb2.Event(
        kind=evidence.kind,
        severity=evidence.severity,
        source=evidence.source,
        clocks=clocks,
        count=evidence.count,
        errno=evidence.errno,
        message=f"simulated: {evidence.device_name or evidence.filesystem_device or 'host'}: {what}",
        signature=f"{what} {evidence.device_name or evidence.filesystem_uuid}",
    )
    if evidence.device_id:
        event.device.CopyFrom(event_pb2.DeviceRef(id=evidence.device_id, name=evidence.device_name))
    if evidence.filesystem_uuid:
        event.filesystem.uuid = evidence.filesystem_uuid
        event.filesystem.type = evidence.filesystem_type
        event.filesystem.device_name = evidence.filesystem_device
    if evidence.ino:
        event.inode.ino = evidence.ino
    if evidence.sector is not None:
        event.sectors.start, event.sectors.count = evidence.sector, evidence.sector_count
    _add_detail(event, evidence)
    return event


def _add_detail(event: event_pb2.Event, evidence: Evidence) -> None:
    """Add what is specific to the interface that would have told it; an event has one detail at most."""
    if evidence.reading is not None:
        event.ext4_counters.errors_count = evidence.reading
        event.ext4_counters.new_errors = evidence.count
        event.ext4_counters.before_agent = evidence.before_agent
    elif evidence.passed is not None:
        event.smart.passed = evidence.passed
    elif evidence.kind == event_pb2.EVENT_KIND_UNDECODED:
        event.undecoded.interface = "simulated"
        event.undecoded.reason = "a record of a newer kernel"
    elif evidence.function:
        event.kernel_log.text = event.message.encode()
        event.kernel_log.function, event.kernel_log.line = evidence.function, evidence.line
