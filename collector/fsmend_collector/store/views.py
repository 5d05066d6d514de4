"""From rows to the views that operators see. Pure: what a row does not hold was read before."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row

from fsmend_proto.v1 import command_pb2, incident_pb2, inventory_pb2, record_pb2
from fsmend_proto.v1 import query_pb2 as pb

# An agent that has been quiet for so long is silent, whatever the store says about its connection.
SILENT_AFTER_NS = 90_000_000_000
# States of incidents that ask for attention.
OPEN_INCIDENTS = (incident_pb2.INCIDENT_STATE_OPEN, incident_pb2.INCIDENT_STATE_REPAIRING)


@dataclass(frozen=True, slots=True)
class AgentName:
    """What names an agent in every view."""

    agent_id: str
    host_name: str


def is_connected(row: Row[Any], now_ns: int) -> bool:
    """Say whether an `agents` row is of an agent that is connected and alive."""
    return bool(row.connected_ns and not row.disconnected_ns and now_ns - row.last_seen_ns < SILENT_AFTER_NS)


def agent_view(row: Row[Any], now_ns: int) -> pb.AgentView:
    """Convert a row of `agents`."""
    return pb.AgentView(
        agent_id=row.agent_id,
        host_name=row.host_name,
        connected=is_connected(row, now_ns),
        last_seen_ns=row.last_seen_ns,
        enrolled_ns=row.enrolled_ns,
        agent_version=row.agent_version,
        epoch=row.epoch,
        durable_through=row.durable_through,
        boot_id=row.boot_id,
        certificate_not_after_ns=row.certificate_not_after_ns,
        quarantined=row.quarantined,
        quarantine_reason=row.quarantine_reason or ("revoked" if row.revoked_ns else ""),
        clock_offset_ns=row.clock_offset_ns,
        gaps=row.gaps,
    )


def host_view(
    row: Row[Any], counts: Mapping[str, tuple[int, int]], incidents: Mapping[str, int], now_ns: int
) -> pb.HostView:
    """Convert a row of `hosts` joined with its agent; `counts` has devices and filesystems by agent id."""
    devices, filesystems = counts.get(row.agent_id, (0, 0))
    return pb.HostView(
        agent_id=row.agent_id,
        host=inventory_pb2.Host.FromString(row.host),
        connected=is_connected(row, now_ns),
        last_seen_ns=row.last_seen_ns,
        devices=devices,
        filesystems=filesystems,
        incidents_open=incidents.get(row.agent_id, 0),
    )


def device_view(row: Row[Any], incidents: Mapping[tuple[str, str], int]) -> pb.DeviceView:
    """Convert a row of `devices` joined with its agent's host name."""
    return pb.DeviceView(
        agent_id=row.agent_id,
        host_name=row.host_name,
        device=inventory_pb2.Device.FromString(row.device),
        incidents_open=incidents.get((row.agent_id, row.device_id), 0),
        seen_ns=row.seen_ns,
    )


def filesystem_view(row: Row[Any], incidents: Mapping[tuple[str, str], int]) -> pb.FilesystemView:
    """Convert a row of `filesystems` joined with its agent's host name."""
    return pb.FilesystemView(
        agent_id=row.agent_id,
        host_name=row.host_name,
        filesystem=inventory_pb2.Filesystem.FromString(row.filesystem),
        incidents_open=incidents.get((row.agent_id, row.filesystem_uuid), 0) if row.filesystem_uuid else 0,
        seen_ns=row.seen_ns,
    )


def event_view(row: Row[Any], names: Mapping[int, AgentName], incidents: Mapping[int, str]) -> pb.EventView:
    """Convert a row of `events`."""
    name = names.get(row.agent, AgentName("", ""))
    return pb.EventView(
        id=str(row.id),
        agent_id=name.agent_id,
        host_name=name.host_name,
        sequence=row.sequence,
        received_ns=row.received_ns,
        event=record_pb2.Record.FromString(row.record).event,
        incident_id=incidents.get(row.id, ""),
    )


def gap_view(row: Row[Any], names: Mapping[int, AgentName]) -> pb.GapView:
    """Convert a row of `gaps`."""
    name = names.get(row.agent, AgentName("", ""))
    return pb.GapView(
        id=str(row.id),
        agent_id=name.agent_id,
        host_name=name.host_name,
        received_ns=row.received_ns,
        gap=record_pb2.Record.FromString(row.record).gap,
    )


def incident_view(row: Row[Any], *, detail: bool) -> incident_pb2.Incident:
    """Convert a row of `incidents`; without `detail` the long lists are left out."""
    incident = incident_pb2.Incident.FromString(row.incident)
    if not detail:
        for field in ("evidence", "timeline", "places", "members", "proofs", "parts"):
            incident.ClearField(field)
    return incident


def token_view(row: Row[Any]) -> pb.TokenView:
    """Convert a row of `tokens`."""
    return pb.TokenView(
        id=row.id,
        created_ns=row.created_ns,
        not_after_ns=row.not_after_ns,
        used_ns=row.used_ns,
        used_by=row.used_by,
        created_by=row.created_by,
        host_name=row.host_name,
    )


def audit_view(row: Row[Any]) -> pb.AuditView:
    """Convert a row of `audit`."""
    return pb.AuditView(
        id=str(row.id),
        at_ns=row.at_ns,
        actor=row.actor,
        action=row.action,
        object_kind=row.object_kind,
        object_id=row.object_id,
        detail=row.detail,
    )


def command_view(row: Row[Any], host_name: str, history: Sequence[Row[Any]] | None = None) -> pb.CommandView:
    """Convert a row of `commands`; `history` are its `command_updates`, None leaves evidence and history out."""
    view = pb.CommandView(
        command=command_pb2.Command.FromString(row.command),
        agent_id=row.agent_id,
        host_name=host_name,
        state=row.state,
        created_ns=row.created_ns,
        updated_ns=row.updated_ns,
    )
    if row.last_update is not None:
        view.last_update.MergeFromString(row.last_update)
    if history is None:
        _drop_evidence(view.last_update)
    else:
        updates = [record_pb2.Record.FromString(update.record).command_update for update in history]
        view.history.extend(fold(updates))
    return view


def fold(updates: Sequence[command_pb2.CommandUpdate]) -> list[command_pb2.CommandUpdate]:
    """Leave out the progress steps between the first and the last of a run; results are in `last_update` only."""
    kept: list[command_pb2.CommandUpdate] = []
    for update in updates:
        running = command_pb2.COMMAND_STATE_RUNNING
        if len(kept) > 1 and update.state == kept[-1].state == kept[-2].state == running:
            kept.pop()
        short = command_pb2.CommandUpdate()
        short.CopyFrom(update)
        _drop_evidence(short)
        kept.append(short)
    return kept


def _drop_evidence(update: command_pb2.CommandUpdate) -> None:
    if update.HasField("result"):
        update.result.ClearField("evidence")
