"""What diagnosis hands out: an incident as it is now, and what changed it; and the way back from a stored one."""

from dataclasses import dataclass
from datetime import UTC, datetime

from fsmend_collector.diagnosis.codes import CLASSES, CODES, Family
from fsmend_collector.diagnosis.config import DiagnosisConfig
from fsmend_collector.diagnosis.fault import Fault, incident_id
from fsmend_collector.diagnosis.joining import FaultKey
from fsmend_collector.diagnosis.view import IncidentView
from fsmend_proto.v1 import event_pb2, incident_pb2

_GENERATIONS_TRIED = 10_000
DEVID_DIMENSION = "btrfs_devid"
"""Dimension of the suspects that name the faulty devices of a btrfs filesystem by their number."""

_State = incident_pb2.IncidentState


@dataclass(frozen=True, slots=True)
class IncidentChange:
    """One incident after one step.

    Attributes:
        view: of the incident; two changes of one incident in one step may have one that says the same.
        what: opened, evidence, changed (its code or severity), repair ordered, repairing, repair finished, resolved,
            reopened, muted, unmuted or merged.
        evidence_ids: events that belong to this step and not to an earlier change; the incident keeps a bounded list.
    """

    view: IncidentView
    what: str
    evidence_ids: tuple[str, ...] = ()

    @property
    def incident(self) -> incident_pb2.Incident:
        """Return the whole of it as it is now; store it under its id, replacing what was there."""
        return self.view.incident


def shown(raw: bytes | str) -> str:
    """Return what came from a host as text that is safe to show: what is no printable character is escaped."""
    text = raw if isinstance(raw, str) else raw.decode("utf-8", "backslashreplace")
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def incident_of(fault: Fault, beneath: Fault | None, consequences: list[Fault]) -> incident_pb2.Incident:
    """Return the incident that a fault is now.

    Args:
        fault: it has crossed its rate.
        beneath: the active fault of the device below a filesystem, if there is one.
        consequences: faults that this one explains; their units become members.
    """
    proven = fault.proven()
    tally = fault.tally
    unit = _unit(fault)
    incident = incident_pb2.Incident(
        id=fault.id,
        code=fault.code.code,
        severity=fault.severity,
        state=fault.state,
        unit=unit,
        cause=_cause(fault, beneath),
        suspects=[incident_pb2.Cause(dimension=DEVID_DIMENSION, value=str(devid)) for devid in sorted(tally.devids)],
        members=_members(fault, consequences),
        onset_ns=tally.onset_ns,
        opened_ns=fault.opened_ns,
        updated_ns=fault.updated_ns,
        occurrences=tally.occurrences,
        locations=fault.places.count(),
        evidence=tally.evidence,
        evidence_count=tally.evidence_count,
        summary=shown(_summary(fault, beneath, unit)),
        recommendation=fault.code.action,
        muted_until_ns=fault.muted_until_ns,
        sources=sorted(tally.sources),
        timeline=fault.timeline.entries(),
        places=fault.place_rows(),
        errnos=sorted(tally.errnos),
        others_unknown=fault.others_unknown,
    )
    if proven is not None:
        incident.resolved_ns, incident.resolution = proven
    elif fault.merged_into:
        incident.merged_into = fault.merged_into
    return incident


def _unit(fault: Fault) -> incident_pb2.Unit:
    """Name what is broken: the filesystem or device, and the other of the two where there is exactly one."""
    tally, family = fault.tally, fault.key.family
    unit = incident_pb2.Unit(agent_id=fault.key.agent_id, host_name=tally.named("host_name"))
    if family not in {Family.INTEGRITY.value, Family.DEVICE.value}:
        return unit
    if family == Family.INTEGRITY.value:
        unit.filesystem_uuid = "" if fault.key.provisional else fault.key.value
        unit.device_id = _worst_device(fault)
    else:
        unit.filesystem_uuid = min(tally.filesystems, default="")
        unit.device_id = "" if fault.key.provisional else fault.key.value
    unit.filesystem_type = tally.filesystems.get(unit.filesystem_uuid, "") or tally.named("filesystem_type")
    unit.device_name = (
        tally.devices.get(unit.device_id, "") or tally.named("device_name") or tally.named("filesystem_device")
    )
    unit.mount_point = tally.mount_point
    return unit


def names_of(fault: Fault, beneath: Fault | None, consequences: list[Fault]) -> list[str]:
    """List the units that the incident of a fault names, its own first: those that a shared cause may explain."""
    if fault.key.family == Family.SILENCE.value:
        return [fault.key.agent_id]
    tally, value = fault.tally, fault.key.value
    integrity = fault.key.family == Family.INTEGRITY.value
    device = _worst_device(fault) if integrity else "" if fault.key.provisional else value
    filesystem = min(tally.filesystems, default="") if not integrity else "" if fault.key.provisional else value
    own = [device, filesystem, beneath.key.value if beneath is not None else value]
    faults = (fault, *consequences)
    devices = {name for one in faults for name in one.tally.devices}
    filesystems = {name for one in faults for name in one.tally.filesystems}
    return [name for name in (*own, *sorted(devices), *sorted(filesystems)) if name]


def _worst_device(fault: Fault) -> str:
    """Return the device with the most errors of its own; the smallest id among equals."""
    devices = fault.tally.devices
    return min(devices, key=lambda device: (-fault.tally.device_errors.get(device, 0), device), default="")


def _members(fault: Fault, consequences: list[Fault]) -> list[incident_pb2.Unit]:
    """List the devices and filesystems involved, in a stable order."""
    devices: dict[str, str] = {}
    filesystems: dict[str, str] = {}
    for one in (fault, *consequences):
        devices |= one.tally.devices
        filesystems |= one.tally.filesystems
    agent_id, host_name = fault.key.agent_id, fault.tally.named("host_name")
    rows = [
        incident_pb2.Unit(
            agent_id=agent_id, host_name=host_name, filesystem_uuid=uuid, filesystem_type=filesystems[uuid]
        )
        for uuid in sorted(filesystems)
    ]
    return rows + [
        incident_pb2.Unit(agent_id=agent_id, host_name=host_name, device_id=device, device_name=devices[device])
        for device in sorted(devices)
    ]


def _cause(fault: Fault, beneath: Fault | None) -> incident_pb2.Cause:
    """Name the most likely cause: the device when it has errors of its own, otherwise the unit."""
    if beneath is not None:
        return incident_pb2.Cause(dimension="device", value=beneath.key.value)
    match Family(fault.key.family):
        case Family.INTEGRITY:
            return incident_pb2.Cause(dimension="filesystem", value=fault.key.value)
        case Family.DEVICE:
            return incident_pb2.Cause(dimension="device", value=fault.key.value)
        case Family.SOURCE:
            return incident_pb2.Cause(dimension="source", value=fault.key.value)
        case _:
            return incident_pb2.Cause(dimension="host", value=fault.tally.named("host_name") or fault.key.agent_id)


def _summary(fault: Fault, beneath: Fault | None, unit: incident_pb2.Unit) -> str:
    kind = f"{unit.filesystem_type} filesystem" if unit.filesystem_type else "filesystem"
    where = shown(unit.mount_point) or unit.filesystem_uuid or unit.device_name or fault.key.value
    count, places = fault.tally.occurrences, fault.places.count()
    noun = "record" if fault.key.family == Family.TELEMETRY.value else "error"
    counts = f"{count} {noun}{'' if count == 1 else 's'}"
    if places:
        counts += f" at {places} place{'' if places == 1 else 's'}"
    text = fault.code.summary.format(
        host=unit.host_name or unit.agent_id,
        unit=fault.key.value if fault.key.family == Family.SOURCE.value else f"{kind} {where}",
        device=unit.device_name or fault.key.value,
        counts=counts,
    )
    if not fault.tally.live:
        since = datetime.fromtimestamp(fault.tally.onset_ns // 1_000_000_000, tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return f"{text}, from before the agent watched, since {since}"
    corrupt = {"fs_metadata", "fs_data"} & set(fault.latest)
    if corrupt and fault.key.family == Family.INTEGRITY.value and not fault.tally.devids:
        text += "; the device below fails too" if beneath else "; no error of the device below was seen"
    lost = {"fs_shutdown": "it has shut down", "fs_read_only": "it is read-only now"}
    return "; ".join([text, *(lost[name] for name in sorted(lost) if name in fault.latest and corrupt)])


def key_of(incident: incident_pb2.Incident) -> FaultKey | None:
    """Return the key of a stored incident's fault; None when its code is not one of ours."""
    row = CODES.get(incident.code)
    if row is None:
        return None
    unit, value = incident.unit, ""
    if row.family in {Family.INTEGRITY, Family.DEVICE, Family.SOURCE}:
        own = unit.filesystem_uuid if row.family is Family.INTEGRITY else unit.device_id
        value = own or incident.cause.value
    return FaultKey(row.family.value, unit.agent_id, value)


def generation_of(incident: incident_pb2.Incident, key: FaultKey) -> int | None:
    """Return which of the unit's incidents this is; None when the id is not one of ours."""
    numbers = range(_GENERATIONS_TRIED)
    return next((number for number in numbers if incident_id(key, number) == incident.id), None)


def fault_of(incident: incident_pb2.Incident, key: FaultKey, generation: int, config: DiagnosisConfig) -> Fault:
    """Take a stored incident back as the fault it was; the counts of single sources begin anew on top of its count."""
    fault = Fault(key, generation, config)
    fault.opened_ns, fault.updated_ns = incident.opened_ns, incident.updated_ns
    latest_ns = max(fault.timeline.restore(list(incident.timeline)), incident.onset_ns)
    fault.latest = {next(name for name, row in CLASSES.items() if row.code == incident.code): latest_ns}
    tally, unit = fault.tally, incident.unit
    tally.restore_evidence(list(incident.evidence), incident.evidence_count, incident.onset_ns)
    tally.base, tally.latest_ns = incident.occurrences, latest_ns
    tally.sources, tally.errnos = frozenset(incident.sources), frozenset(incident.errnos)
    tally.live = incident.severity > event_pb2.SEVERITY_WARNING or CODES[incident.code].severity == incident.severity
    tally.severity = incident.severity
    for field in ("host_name", "filesystem_type", "device_name"):
        tally.name(field, getattr(unit, field), incident.onset_ns)
    tally.take_mount_point(unit.mount_point, incident.onset_ns)
    for member in incident.members:
        if member.filesystem_uuid:
            tally.filesystems[member.filesystem_uuid] = member.filesystem_type
        if member.device_id:
            tally.devices[member.device_id] = member.device_name
    tally.devids = {int(one.value): 1 for one in incident.suspects if one.dimension == DEVID_DIMENSION}
    fault.others_ns = latest_ns if incident.others_unknown else 0
    for place in incident.places:
        fault.restore_place(place, incident.onset_ns)
    if incident.resolved_ns:
        fault.settled = (incident.resolved_ns, incident.resolution)
    if incident.state == _State.INCIDENT_STATE_REPAIRING:
        ordered = [entry.command_id for entry in incident.timeline if entry.what == "repairing"]
        fault.running = frozenset(ordered[-1:])
    fault.muted_until_ns = incident.muted_until_ns
    fault.mute(incident.muted_until_ns)
    return fault
