"""What a row of each kind shows: the columns of `get`, and what `-o wide` adds. AGE is always last."""

from typing import Any

from fsmend_collector.query.render.table import Column
from fsmend_collector.query.render.values import age, errno_name, rfc3339, size, until, word
from fsmend_proto.v1 import command_pb2, event_pb2, incident_pb2, record_pb2

_COLOURS = {
    **dict.fromkeys(("critical", "error", "failed", "silent", "quarantined", "unknown", "err", "timed_out"), "red"),
    **dict.fromkeys(("warning", "warn", "repairing", "refused", "ro", "expired"), "yellow"),
    **dict.fromkeys(("succeeded", "resolved", "connected", "ok", "healed", "clean"), "green"),
    **dict.fromkeys(("running", "accepted", "sent", "queued"), "cyan"),
}


def colour(text: str) -> str | None:
    """Return the colour of a state or severity."""
    return _COLOURS.get(text)


def action_name(command: command_pb2.Command) -> str:
    """Return the action's field name, `-` for one this version lacks."""
    return command.WhichOneof("action") or "-"


def percent(update: command_pb2.CommandUpdate) -> str:
    """Return progress as whole percent, empty when none was reported."""
    return f"{update.progress.percent:.0f}%" if update.HasField("progress") else ""


def state_of_agent(view: Any) -> str:
    """Return connected, silent or quarantined."""
    if getattr(view, "quarantined", False):
        return "quarantined"
    return "connected" if view.connected else "silent"


def place(view: Any) -> str | bytes:
    """Return where a unit or reference is: mount point, else device, else UUID."""
    return view.mount_point or getattr(view, "device_name", "") or getattr(view, "uuid", "") or _identity(view)


def _identity(view: Any) -> str:
    return str(getattr(view, "filesystem_uuid", "") or getattr(view, "device_id", ""))


def event_place(event: event_pb2.Event) -> str | bytes:
    """Return what an event is about, short."""
    filesystem = event.filesystem
    return filesystem.mount_point or event.device.name or filesystem.device_name or filesystem.uuid


def _target(command: command_pb2.Command) -> str:
    target = command.target
    return target.mount_point or target.filesystem_uuid[:8] or target.device_id


def _used(view: Any) -> str:
    found = view.filesystem
    return f"{100 * (found.size_bytes - found.free_bytes) / found.size_bytes:.0f}%" if found.size_bytes else "-"


def _token_state(view: Any, now_ns: int) -> str:
    if view.used_ns:
        return "used"
    return "expired" if view.not_after_ns <= now_ns else "unused"


def _labels(labels: Any) -> str:
    return ",".join(f"{key}={labels[key]}" for key in sorted(labels))


def _able(capabilities: Any) -> str:
    return ",".join(sorted({item.name for item in capabilities if item.available}))


_HOST = Column("HOST", lambda v, _: v.host_name or v.agent_id, minimum=8)
_INCIDENTS = Column("INC", lambda v, _: str(v.incidents_open), right=True)
_AGENT = Column("AGENT", lambda v, _: v.agent_id)


def _age(field: str) -> Column:
    return Column("AGE", lambda v, now: age(getattr(v, field), now))


def _severity(kind: str) -> Column:
    def value(view: Any, _: int) -> str:
        return word(event_pb2.Severity.DESCRIPTOR, (view.event if kind == "event" else view).severity)

    return Column("SEVERITY", value, colour=colour)


COLUMNS: dict[str, tuple[Column, ...]] = {
    "host": (
        Column("NAME", lambda v, _: v.host.name or v.agent_id, minimum=12),
        Column("STATE", lambda v, _: state_of_agent(v), colour=colour),
        Column("KERNEL", lambda v, _: v.host.kernel_release, minimum=8),
        Column("DEV", lambda v, _: str(v.devices), right=True),
        Column("FS", lambda v, _: str(v.filesystems), right=True),
        _INCIDENTS,
        _age("last_seen_ns"),
    ),
    "device": (
        Column("NAME", lambda v, _: v.device.ref.name, minimum=6),
        _HOST,
        Column("KIND", lambda v, _: v.device.kind, minimum=4),
        Column("MODEL", lambda v, _: v.device.model, minimum=6),
        Column("SIZE", lambda v, _: size(v.device.size_bytes), right=True),
        Column("STATE", lambda v, _: v.device.state, minimum=5),
        _INCIDENTS,
        _age("seen_ns"),
    ),
    "filesystem": (
        Column("UUID", lambda v, _: v.filesystem.ref.uuid, minimum=8, identity=True),
        _HOST,
        Column("MOUNT", lambda v, _: v.filesystem.ref.mount_point, minimum=8, keep_end=True),
        Column("TYPE", lambda v, _: v.filesystem.ref.type, minimum=4),
        Column("SIZE", lambda v, _: size(v.filesystem.size_bytes), right=True),
        Column("USE", lambda v, _: _used(v), right=True),
        Column("MODE", lambda v, _: "ro" if v.filesystem.read_only else "rw", colour=colour),
        _INCIDENTS,
        _age("seen_ns"),
    ),
    "event": (
        Column("ID", lambda v, _: v.id),
        _severity("event"),
        _HOST,
        Column("WHERE", lambda v, _: event_place(v.event), minimum=8, keep_end=True),
        Column("MESSAGE", lambda v, _: v.event.message, minimum=12),
        _age("received_ns"),
    ),
    "incident": (
        Column("ID", lambda v, _: v.id, minimum=8, identity=True),
        _severity("incident"),
        Column("CODE", lambda v, _: v.code, minimum=12),
        Column("STATE", lambda v, _: word(incident_pb2.IncidentState.DESCRIPTOR, v.state), colour=colour),
        Column("HOST", lambda v, _: v.unit.host_name or v.unit.agent_id, minimum=8),
        Column("WHERE", lambda v, _: place(v.unit), minimum=8, keep_end=True),
        Column("COUNT", lambda v, _: str(v.occurrences), right=True),
        _age("opened_ns"),
    ),
    "command": (
        Column("ID", lambda v, _: v.command.id, minimum=8, identity=True),
        Column("ACTION", lambda v, _: action_name(v.command), minimum=8),
        _HOST,
        Column("TARGET", lambda v, _: _target(v.command), minimum=8, keep_end=True),
        Column("STATE", lambda v, _: word(command_pb2.CommandState.DESCRIPTOR, v.state), colour=colour),
        Column("DONE", lambda v, _: percent(v.last_update), right=True),
        _age("created_ns"),
    ),
    "agent": (
        Column("ID", lambda v, _: v.agent_id, minimum=8, identity=True),
        _HOST,
        Column("STATE", lambda v, _: state_of_agent(v), colour=colour),
        Column("VERSION", lambda v, _: v.agent_version, minimum=7),
        Column("THROUGH", lambda v, _: str(v.durable_through), right=True),
        Column("GAPS", lambda v, _: str(v.gaps), right=True),
        Column("CERT", lambda v, now: until(v.certificate_not_after_ns, now), colour=colour),
        _age("last_seen_ns"),
    ),
    "gap": (
        Column("ID", lambda v, _: v.id),
        _HOST,
        Column("REASON", lambda v, _: word(record_pb2.GapReason.DESCRIPTOR, v.gap.reason)),
        Column("SOURCE", lambda v, _: v.gap.source, minimum=6),
        Column("LOST", lambda v, _: _lost(v.gap), right=True),
        _age("received_ns"),
    ),
    "token": (
        Column("ID", lambda v, _: v.id, minimum=8, identity=True),
        Column("STATE", _token_state, colour=colour),
        Column("HOST", lambda v, _: v.host_name or "any", minimum=8),
        Column("EXPIRES", lambda v, now: until(v.not_after_ns, now)),
        Column("BY", lambda v, _: v.created_by, minimum=6),
        Column("USED-BY", lambda v, _: v.used_by, minimum=8),
        _age("created_ns"),
    ),
    "audit": (
        Column("BY", lambda v, _: v.actor, minimum=9),
        Column("ACTION", lambda v, _: v.action, minimum=8),
        Column("OBJECT", lambda v, _: v.object_id or v.object_kind, minimum=8),
        Column("DETAIL", lambda v, _: v.detail, minimum=8),
        _age("at_ns"),
    ),
}

WIDE: dict[str, tuple[Column, ...]] = {
    "host": (
        _AGENT,
        Column("OS", lambda v, _: v.host.operating_system),
        Column("VERSION", lambda v, _: v.host.agent_version),
        Column("LABELS", lambda v, _: _labels(v.host.labels)),
        Column("CAPABILITIES", lambda v, _: _able(v.host.capabilities)),
    ),
    "device": (
        Column("ID", lambda v, _: v.device.ref.id),
        Column("FIRMWARE", lambda v, _: v.device.firmware),
        Column("SERIAL", lambda v, _: v.device.serial),
        Column("TRANSPORT", lambda v, _: v.device.transport),
        Column("PATH", lambda v, _: v.device.topology_path),
    ),
    "filesystem": (
        Column("DEVICES", lambda v, _: ",".join(ref.name for ref in v.filesystem.devices)),
        Column("FEATURES", lambda v, _: ",".join(v.filesystem.features)),
        Column("CAPABILITIES", lambda v, _: _able(v.filesystem.capabilities)),
    ),
    "event": (
        Column("KIND", lambda v, _: word(event_pb2.EventKind.DESCRIPTOR, v.event.kind)),
        Column("SOURCE", lambda v, _: v.event.source),
        Column("COUNT", lambda v, _: str(v.event.count), right=True),
        Column("ERRNO", lambda v, _: errno_name(v.event.errno).split(" ", maxsplit=1)[0]),
        Column("INODE", lambda v, _: str(v.event.inode.ino or "-"), right=True),
        Column("PATH", lambda v, _: v.event.inode.path),
        Column("INCIDENT", lambda v, _: v.incident_id),
        Column("TIME", lambda v, _: rfc3339(v.event.clocks.wall_ns) or "-"),
    ),
    "incident": (
        Column("SOURCES", lambda v, _: ",".join(v.sources)),
        Column("PLACES", lambda v, _: str(v.locations), right=True),
        Column("SUMMARY", lambda v, _: v.summary),
    ),
    "command": (
        Column("BY", lambda v, _: v.command.ordered_by),
        Column("INCIDENT", lambda v, _: v.command.incident_id),
        Column("UUID", lambda v, _: v.command.target.filesystem_uuid),
        Column("MESSAGE", lambda v, _: v.last_update.message),
    ),
    "agent": (
        Column("EPOCH", lambda v, _: v.epoch),
        Column("BOOT", lambda v, _: v.boot_id),
        Column("OFFSET", lambda v, _: f"{v.clock_offset_ns / 1e6:.0f}ms", right=True),
        Column("QUARANTINE", lambda v, _: v.quarantine_reason),
    ),
    "gap": (
        Column("FROM", lambda v, _: str(v.gap.from_sequence or "-"), right=True),
        Column("TO", lambda v, _: str(v.gap.to_sequence or "-"), right=True),
        Column("MESSAGE", lambda v, _: v.gap.message),
    ),
    "token": (),
    "audit": (
        Column("KIND", lambda v, _: v.object_kind),
        Column("ID", lambda v, _: v.id),
        Column("TIME", lambda v, _: rfc3339(v.at_ns) or "-"),
    ),
}


def _lost(gap: record_pb2.Gap) -> str:
    if not gap.lost:
        return "?"
    return str(gap.lost) if gap.lost_is_exact else f"{gap.lost}+"


def columns(kind: str, *, wide: bool) -> tuple[Column, ...]:
    """Return the columns of a kind, AGE last."""
    chosen = COLUMNS[kind]
    return (*chosen[:-1], *WIDE[kind], chosen[-1]) if wide else chosen
