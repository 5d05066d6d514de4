"""What diagnosis hands out: an incident as it is now, and what changed it; and the way back from a stored one."""

from datetime import UTC, datetime
from typing import NamedTuple

from fsmend_collector.diagnosis.codes import CLASSES, CODES, Family, Proof
from fsmend_collector.diagnosis.config import DiagnosisConfig
from fsmend_collector.diagnosis.fault import Fault, incident_id
from fsmend_collector.diagnosis.joining import FaultKey
from fsmend_collector.diagnosis.view import IncidentView
from fsmend_proto.v1 import event_pb2, incident_pb2

_GENERATIONS_TRIED = 10_000
DEVID_DIMENSION = "btrfs_devid"
"""Dimension of the suspects that name the faulty devices of a btrfs filesystem by their number."""

_State = incident_pb2.IncidentState
_INTEGRITY, _DEVICE, _SOURCE = Family.INTEGRITY.value, Family.DEVICE.value, Family.SOURCE.value
_TELEMETRY, _SILENCE = Family.TELEMETRY.value, Family.SILENCE.value
_UNITS = frozenset({_INTEGRITY, _DEVICE})
_CAUSES = {_INTEGRITY: "filesystem", _DEVICE: "device", _SOURCE: "source"}
_CORRUPT = frozenset({"fs_metadata", "fs_data"})
_SETTLED = "settled"  # by a word, or since the host has left: closes every class of error
_PROOFS = {proof.name.lower(): proof for proof in Proof}


class IncidentChange(NamedTuple):
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
    tally, row, count = fault.tally, fault.code, fault.tally.occurrences
    # Made in place: what is made first and put in then is copied.
    incident = incident_pb2.Incident(
        id=fault.id,
        code=row.code,
        severity=fault.severity,
        state=fault.state,
        onset_ns=tally.onset_ns,
        opened_ns=fault.opened_ns,
        updated_ns=fault.updated_ns,
        occurrences=count,
        locations=fault.places.count(),
        evidence=tally.evidence,
        evidence_count=tally.evidence_count,
        recommendation=row.action,
        muted_until_ns=fault.muted_until_ns,
        sources=sorted(tally.sources),
        others_unknown=fault.others_unknown,
    )
    unit = incident.unit
    _write_unit(unit, fault)
    incident.cause.dimension, incident.cause.value = _cause(fault, beneath)
    for devid in sorted(tally.devids):
        incident.suspects.add(dimension=DEVID_DIMENSION, value=str(devid))
    _write_members(incident, fault, consequences)
    incident.summary = shown(_summary(fault, beneath, unit, count))
    fault.timeline.write(incident)
    fault.write_places(incident)
    if tally.errnos:
        incident.errnos.extend(sorted(tally.errnos))
    for name, first_ns, latest_ns, is_open in sorted(fault.classes()):
        incident.classes.add(name=name, first_ns=first_ns, latest_ns=latest_ns, open=is_open)
    for proof, wall_ns, text in fault.proofs():
        incident.proofs.add(name=proof.name.lower(), wall_ns=wall_ns, text=text)
    if fault.settled[0]:
        incident.proofs.add(name=_SETTLED, wall_ns=fault.settled[0], text=fault.settled[1])
    for name, wall_ns, host_ns, sick, was_sick in fault.scopes():
        incident.parts.add(name=name, wall_ns=wall_ns, host_ns=host_ns, sick=sick, was_sick=was_sick)
    proven = fault.proven()
    if proven is not None:
        incident.resolved_ns, incident.resolution = proven
        return incident
    incident.since_ns = fault.since_ns()
    if fault.merged_into:
        incident.merged_into = fault.merged_into
    return incident


def _write_unit(unit: incident_pb2.Unit, fault: Fault) -> None:
    """Name what is broken: the filesystem or device, and the other of the two where there is exactly one."""
    tally, family = fault.tally, fault.key.family
    unit.agent_id, unit.host_name = fault.key.agent_id, tally.host_name
    if family not in _UNITS:
        return
    device, filesystem = own_names(fault)
    unit.filesystem_uuid, unit.device_id, unit.mount_point = filesystem, device, tally.mount_point
    unit.filesystem_type = tally.filesystems.get(filesystem, "") or tally.named("filesystem_type")
    unit.device_name = tally.devices.get(device, "") or tally.named("device_name") or tally.named("filesystem_device")


def own_names(fault: Fault) -> tuple[str, str]:
    """Name the device and the filesystem that a fault is of; empty where there is none or it is not known."""
    if fault.key.family == _SILENCE:
        return fault.key.agent_id, ""
    known = "" if fault.provisional else fault.key.value
    if fault.key.family == _INTEGRITY:
        return _worst_device(fault), known
    return known, min(fault.tally.filesystems, default="")


def other_names(fault: Fault, beneath: Fault | None, consequences: list[Fault]) -> list[str]:
    """List the units that the incident of a fault names beside its own, some of them again."""
    if fault.key.family == _SILENCE:
        return []
    devices, filesystems = _involved(fault, consequences)
    cause = beneath.key.value if beneath is not None else fault.key.value
    return [cause, *sorted(devices), *sorted(filesystems)]


def _involved(fault: Fault, consequences: list[Fault]) -> tuple[dict[str, str], dict[str, str]]:
    """Return names by device and types by filesystem, of a fault and of those that it explains."""
    devices, filesystems = fault.tally.devices, fault.tally.filesystems
    for one in consequences:
        devices, filesystems = devices | one.tally.devices, filesystems | one.tally.filesystems
    return devices, filesystems


def _worst_device(fault: Fault) -> str:
    """Return the device with the most errors of its own; the smallest id among equals."""
    devices = fault.tally.devices
    return min(devices, key=lambda device: (-fault.tally.device_errors.get(device, 0), device), default="")


def _write_members(incident: incident_pb2.Incident, fault: Fault, consequences: list[Fault]) -> None:
    """List the devices and filesystems involved, in a stable order."""
    devices, filesystems = _involved(fault, consequences)
    agent_id, host_name = fault.key.agent_id, fault.tally.host_name
    for uuid in sorted(filesystems):
        kind = filesystems[uuid]
        incident.members.add(agent_id=agent_id, host_name=host_name, filesystem_uuid=uuid, filesystem_type=kind)
    for device in sorted(devices):
        name = devices[device]
        incident.members.add(agent_id=agent_id, host_name=host_name, device_id=device, device_name=name)


def _cause(fault: Fault, beneath: Fault | None) -> tuple[str, str]:
    """Name the most likely cause, dimension and value: the device when it fails by itself, otherwise the unit."""
    if beneath is not None:
        return "device", beneath.key.value
    family, agent_id, value = fault.key
    if family in _CAUSES:
        return _CAUSES[family], value
    return "host", fault.tally.host_name or agent_id


def _summary(fault: Fault, beneath: Fault | None, unit: incident_pb2.Unit, count: int) -> str:
    family, _, value = fault.key
    kind = f"{unit.filesystem_type} filesystem" if unit.filesystem_type else "filesystem"
    where = shown(unit.mount_point) or unit.filesystem_uuid or unit.device_name or value
    places = fault.places.count()
    noun = "record" if family == _TELEMETRY else "error"
    counts = f"{count} {noun}{'' if count == 1 else 's'}"
    if places:
        counts += f" at {places} place{'' if places == 1 else 's'}"
    text = fault.code.summary.format(
        host=unit.host_name or unit.agent_id,
        unit=value if family == _SOURCE else f"{kind} {where}",
        device=unit.device_name or value,
        counts=counts,
    )
    if not fault.tally.live:
        since = datetime.fromtimestamp(fault.tally.onset_ns // 1_000_000_000, tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return f"{text}, from before the agent watched, since {since}"
    corrupt = _CORRUPT & fault.latest.keys()
    if corrupt and family == _INTEGRITY and not fault.tally.devids:
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


def _classes(incident: incident_pb2.Incident, latest_ns: int) -> list[tuple[str, int, int]]:
    """Return the classes of error of a stored incident: name, time of the first and of the latest."""
    rows = [(one.name, one.first_ns, one.latest_ns) for one in incident.classes if one.name in CLASSES]
    if rows:
        return rows
    name = next(name for name, row in CLASSES.items() if row.code == incident.code)  # no more was kept, once
    return [(name, incident.onset_ns, latest_ns)]


def _restore_story(fault: Fault, incident: incident_pb2.Incident) -> int:
    """Take back the timeline and the classes of error; return the time of the latest error."""
    told_ns = fault.timeline.restore(list(incident.timeline))
    latest_ns = max([told_ns, incident.onset_ns, *(one.latest_ns for one in incident.classes)])
    fault.restore_classes(_classes(incident, latest_ns), incident.since_ns)
    return latest_ns


def _restore_proofs(fault: Fault, incident: incident_pb2.Incident) -> None:
    """Take back what was proven well, and by what."""
    for one in incident.proofs:
        if one.name == _SETTLED:
            fault.settled = (one.wall_ns, one.text)
        elif one.name in _PROOFS:
            fault.prove(_PROOFS[one.name], one.wall_ns, one.text)
    for part in incident.parts:
        fault.keep_scope(part.name, (part.wall_ns, part.host_ns), sick=part.sick, was_sick=part.was_sick)
    if incident.resolved_ns and fault.proven() is None:  # closed by a collector that kept no proofs
        fault.settled = (incident.resolved_ns, incident.resolution)


def fault_of(incident: incident_pb2.Incident, key: FaultKey, generation: int, config: DiagnosisConfig) -> Fault:
    """Take a stored incident back as the fault it was; the counts of single sources begin anew on top of its count."""
    fault = Fault(key, generation, config)
    fault.opened_ns, fault.updated_ns = incident.opened_ns, incident.updated_ns
    latest_ns = _restore_story(fault, incident)
    tally, unit = fault.tally, incident.unit
    tally.restore_evidence(list(incident.evidence), incident.evidence_count, incident.onset_ns)
    tally.base, tally.latest_ns = incident.occurrences, latest_ns
    tally.base_sources, tally.errnos = frozenset(incident.sources), frozenset(incident.errnos)
    tally.live = incident.severity > event_pb2.SEVERITY_WARNING or CODES[incident.code].severity == incident.severity
    tally.severity = incident.severity
    tally.take_host(unit.host_name, incident.onset_ns)
    for field in ("filesystem_type", "device_name"):
        tally.name(field, getattr(unit, field), incident.onset_ns)
    tally.take_mount_point(unit.mount_point, incident.onset_ns)
    for member in incident.members:
        if member.filesystem_uuid:
            tally.filesystems[member.filesystem_uuid] = member.filesystem_type
        if member.device_id:
            tally.take_device(member.device_id, member.device_name)
    tally.devids = {int(one.value): 1 for one in incident.suspects if one.dimension == DEVID_DIMENSION}
    fault.others_ns = latest_ns if incident.others_unknown else 0
    for place in incident.places:
        fault.restore_place(place, incident.onset_ns)
    _restore_proofs(fault, incident)
    if incident.state == _State.INCIDENT_STATE_REPAIRING:
        ordered = [entry.command_id for entry in incident.timeline if entry.what == "repairing"]
        fault.running = frozenset(ordered[-1:])
    fault.muted_until_ns = incident.muted_until_ns
    fault.mute(incident.muted_until_ns)
    return fault
