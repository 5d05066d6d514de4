"""The description of one object of each kind, as lines. Pure: what it needs was fetched before."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from fsmend_collector.query.render.columns import action_name, event_place, place, state_of_agent
from fsmend_collector.query.render.escape import visible
from fsmend_collector.query.render.eventline import event_line
from fsmend_collector.query.render.incident import incident_lines
from fsmend_collector.query.render.plain import plain
from fsmend_collector.query.render.readings import (
    command_facts,
    evidence_lines,
    history_lines,
    result_lines,
    state_word,
)
from fsmend_collector.query.render.section import Fact, facts, grid, section
from fsmend_collector.query.render.values import age, errno_name, local_time, rfc3339, size, word
from fsmend_proto.v1 import event_pb2, incident_pb2, inventory_pb2, record_pb2
from fsmend_proto.v1 import query_pb2 as pb


@dataclass(slots=True)
class Related:
    """What belongs to the object described."""

    incidents: Sequence[incident_pb2.Incident] = ()
    commands: Sequence[pb.CommandView] = ()
    events: Sequence[pb.EventView] = ()
    filesystems: Sequence[pb.FilesystemView] = ()
    devices: Sequence[pb.DeviceView] = field(default=())


def describe_lines(found: pb.Object, related: Related, now_ns: int) -> list[str]:
    """Return the description of any object."""
    kind = found.WhichOneof("body") or "agent"
    return _DESCRIBE[kind](getattr(found, kind), related, now_ns)


def _incident(view: incident_pb2.Incident, related: Related, _: int) -> list[str]:
    return incident_lines(view, related.commands, related.events)


def _command(view: pb.CommandView, related: Related, _: int) -> list[str]:
    lines = [*facts(command_facts(view)), *section("History", history_lines(view)), *result_lines(view)]
    return lines + evidence_lines(view) + section("Events it caused", _events(related))


def _host(view: pb.HostView, related: Related, now_ns: int) -> list[str]:
    host = view.host
    head: list[Fact] = [
        ("Host", host.name or view.agent_id),
        ("Agent", f"{view.agent_id} {host.agent_version}"),
        ("State", f"{state_of_agent(view)}, last seen {age(view.last_seen_ns, now_ns)} ago"),
        ("Kernel", f"{host.kernel_release} {host.architecture}"),
        ("System", host.operating_system),
        ("Memory", size(host.memory_bytes) if host.memory_bytes else ""),
        ("Boot", host.boot_id),
        ("Machine", host.machine_id),
        ("Labels", ", ".join(f"{key}={host.labels[key]}" for key in sorted(host.labels))),
    ]
    lines = facts(head) + section("Capabilities", _capabilities(host.capabilities))
    lines += section("Filesystems", _filesystems(related)) + section("Devices", _devices(related))
    return lines + _around(related)


def _filesystem(view: pb.FilesystemView, related: Related, now_ns: int) -> list[str]:
    found, ref = view.filesystem, view.filesystem.ref
    head: list[Fact] = [
        ("Filesystem", ref.uuid or "without UUID"),
        ("Type", ref.type),
        ("Label", found.label),
        ("Host", f"{view.host_name} (agent {view.agent_id})"),
        ("Mounted at", ", ".join(visible(point) for point in found.mount_points) or ref.mount_point),
        ("Mode", "read-only" if found.read_only else "read-write"),
        ("Options", found.options),
        ("Size", f"{size(found.size_bytes)}, {size(found.free_bytes)} free"),
        ("Devices", ", ".join(f"{device.name} ({device.id})" for device in found.devices) or ref.device_name),
        ("Features", ", ".join(found.features)),
        ("Seen", f"{age(view.seen_ns, now_ns)} ago"),
    ]
    return facts(head) + section("Capabilities", _capabilities(found.capabilities)) + _around(related)


def _device(view: pb.DeviceView, related: Related, now_ns: int) -> list[str]:
    found, ref = view.device, view.device.ref
    head: list[Fact] = [
        ("Device", ref.name),
        ("Id", ref.id),
        ("Number", f"{ref.major}:{ref.minor}, disk sequence {ref.diskseq or 'unknown'}"),
        ("Host", f"{view.host_name} (agent {view.agent_id})"),
        ("Kind", " ".join(part for part in (found.kind, found.holder) if part)),
        ("Model", " ".join(part for part in (found.vendor, found.model) if part)),
        ("Firmware", found.firmware),
        ("Serial", found.serial),
        ("WWID", found.wwid),
        ("Transport", found.transport),
        ("Size", f"{size(found.size_bytes)}{', rotational' if found.rotational else ''}"),
        ("State", found.state + (" read-only" if found.read_only else "")),
        ("Adapter", found.host_adapter),
        ("Path", found.topology_path),
        ("Backing file", found.backing),
        ("Built from", ", ".join(found.below)),
        ("Seen", f"{age(view.seen_ns, now_ns)} ago"),
    ]
    return facts(head) + _around(related)


def _agent(view: pb.AgentView, related: Related, now_ns: int) -> list[str]:
    head: list[Fact] = [
        ("Agent", view.agent_id),
        ("Host", view.host_name),
        ("State", f"{state_of_agent(view)}, last seen {age(view.last_seen_ns, now_ns)} ago"),
        ("Quarantine", view.quarantine_reason),
        ("Version", view.agent_version),
        ("Enrolled", local_time(view.enrolled_ns)),
        ("Certificate", f"good until {local_time(view.certificate_not_after_ns)}"),
        ("Spool epoch", view.epoch),
        ("Durable through", view.durable_through),
        ("Gaps", view.gaps),
        ("Clock", f"{view.clock_offset_ns / 1e6:+.1f} ms (collector minus host)"),
        ("Boot", view.boot_id),
    ]
    return facts(head) + _around(related)


def _event(view: pb.EventView, _: Related, __: int) -> list[str]:
    event = view.event
    unit, inode = event.filesystem, event.inode
    sectors = f"{event.sectors.start} + {event.sectors.count}" if event.HasField("sectors") else ""
    head: list[Fact] = [
        ("Event", f"{view.id} (sequence {view.sequence})"),
        ("Kind", word(event_pb2.EventKind.DESCRIPTOR, event.kind)),
        ("Severity", word(event_pb2.Severity.DESCRIPTOR, event.severity)),
        ("Message", event.message),
        ("Host", f"{view.host_name} (agent {view.agent_id})"),
        ("Source", event.source),
        ("Happened", rfc3339(event.clocks.wall_ns)),
        ("Last", rfc3339(event.last.wall_ns)),
        ("Received", rfc3339(view.received_ns)),
        ("Count", f"{event.count}{', more inodes than the one named' if event.others_unknown else ''}"),
        ("Errno", errno_name(event.errno)),
        ("Where", event_place(event)),
        ("Filesystem", " ".join(part for part in (unit.type, unit.uuid) if part)),
        ("Device", " ".join(part for part in (event.device.name or unit.device_name, event.device.id) if part)),
        ("Inode", f"{inode.ino} generation {inode.generation}" if inode.ino else ""),
        ("Path", inode.path),
        ("Sectors", sectors),
        ("Incident", view.incident_id),
        ("Command", event.command_id),
        ("Signature", event.signature),
    ]
    detail = event.WhichOneof("detail")
    return facts(head) + (section(detail, _nested(plain(getattr(event, detail)))) if detail else [])


def _nested(values: dict[str, Any]) -> list[str]:
    lines: list[str] = []
    for name, value in values.items():
        if isinstance(value, dict):
            inner = _nested(value)
            lines += [f"{visible(name)}:", *(f"  {line}" for line in inner)] if inner else []
        else:
            lines += facts([(name, ", ".join(str(one) for one in value) if isinstance(value, list) else value)])
    return lines


def _gap(view: pb.GapView, _: Related, __: int) -> list[str]:
    gap = view.gap
    by_kind = ", ".join(f"{kind} {gap.lost_by_kind[kind]}" for kind in sorted(gap.lost_by_kind))
    head: list[Fact] = [
        ("Gap", view.id),
        ("Host", f"{view.host_name} (agent {view.agent_id})"),
        ("Reason", word(record_pb2.GapReason.DESCRIPTOR, gap.reason)),
        ("Lost", f"{gap.lost}{'' if gap.lost_is_exact else ' or more'}{f' ({by_kind})' if by_kind else ''}"),
        ("Sequences", f"{gap.from_sequence} to {gap.to_sequence}" if gap.from_sequence else ""),
        ("Source", gap.source),
        ("Filesystem", place(gap.filesystem)),
        ("Happened", rfc3339(gap.clocks.wall_ns)),
        ("Received", rfc3339(view.received_ns)),
        ("Message", gap.message),
    ]
    return facts(head)


def _token(view: pb.TokenView, _: Related, __: int) -> list[str]:
    head: list[Fact] = [
        ("Token", view.id),
        ("Host", view.host_name or "any"),
        ("Created", f"{local_time(view.created_ns)} by {view.created_by}"),
        ("Good until", local_time(view.not_after_ns)),
        ("Used", f"{local_time(view.used_ns)} by {view.used_by}" if view.used_ns else "no"),
    ]
    return facts(head)


def _audit(view: pb.AuditView, _: Related, __: int) -> list[str]:
    head: list[Fact] = [
        ("Audit", view.id),
        ("Time", local_time(view.at_ns)),
        ("By", view.actor),
        ("Action", view.action),
        ("Object", f"{view.object_kind} {view.object_id}".strip()),
        ("Detail", view.detail),
    ]
    return facts(head)


def _capabilities(found: Sequence[inventory_pb2.Capability]) -> list[str]:
    rows = [[one.name, "yes" if one.available else "no", one.reason or "-"] for one in found]
    return grid(("CAPABILITY", "HERE", "WHY"), rows)


def _around(related: Related) -> list[str]:
    incidents = [
        [one.id, word(event_pb2.Severity.DESCRIPTOR, one.severity), one.code, _state(one), one.summary]
        for one in related.incidents
    ]
    commands = [[one.command.id, action_name(one.command), state_word(one.state)] for one in related.commands]
    lines = section("Incidents", grid(("ID", "SEVERITY", "CODE", "STATE", "SUMMARY"), incidents))
    lines += section("Commands", grid(("ID", "ACTION", "STATE"), commands))
    return lines + section("Newest events", _events(related))


def _state(incident: incident_pb2.Incident) -> str:
    return word(incident_pb2.IncidentState.DESCRIPTOR, incident.state)


def _events(related: Related) -> list[str]:
    return [event_line(event, wide=True) for event in related.events]


def _filesystems(related: Related) -> list[str]:
    rows: list[list[str | bytes]] = [
        [view.filesystem.ref.uuid, view.filesystem.ref.type, view.filesystem.ref.mount_point, str(view.incidents_open)]
        for view in related.filesystems
    ]
    return grid(("UUID", "TYPE", "MOUNT", "INC"), rows)


def _devices(related: Related) -> list[str]:
    rows = [
        [view.device.ref.name, view.device.ref.id, view.device.kind, view.device.model, str(view.incidents_open)]
        for view in related.devices
    ]
    return grid(("NAME", "ID", "KIND", "MODEL", "INC"), rows)


_DESCRIBE: dict[str, Callable[[Any, Related, int], list[str]]] = {
    "incident": _incident,
    "command": _command,
    "host": _host,
    "filesystem": _filesystem,
    "device": _device,
    "agent": _agent,
    "event": _event,
    "gap": _gap,
    "token": _token,
    "audit": _audit,
}
