"""From an operator's request to a complete command: which filesystem, which host. Reads the store only."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select

from fsmend_collector.commands import TIME_TO_LIVE_SECONDS, class_of, is_uuid
from fsmend_collector.errors import CommandRefused
from fsmend_collector.store.reads import filesystems_meant
from fsmend_collector.store.schema import agents as agents_table
from fsmend_collector.store.scope import agents_of_host
from fsmend_proto.v1 import command_pb2
from fsmend_proto.v1 import query_pb2 as pb

_SECOND_NS = 1_000_000_000
_CLOCKS_DIFFER_NS = 60 * _SECOND_NS  # between replicas of the collector

# An action whose name ends with one of these is for that type only.
_TYPES = frozenset({"btrfs", "xfs", "ext4"})


class UnclearOrder(CommandRefused):
    """Say what in the request is unknown or ambiguous; the second line says what to do."""


@dataclass(frozen=True, slots=True)
class Order:
    """A complete command and where it goes."""

    command: command_pb2.Command
    agent_id: str
    host_name: str


def resolve_order(connection: Connection, request: pb.RunRepairRequest, ordered_by: str, now_ns: int) -> Order:
    """Find the target and fill in what the operator did not say.

    A command with a signature is taken as it is, when it is still what would be made of it. One that names a signer and
    has no signature yet is completed to be signed: with name and boot of the host that it is for.

    Raises:
        UnclearOrder: the action, host or filesystem is unknown or not unique.
        CommandRefused: the inventory says that it cannot work there, or what was signed fits no longer.
    """
    action = request.command.WhichOneof("action") or ""
    if not class_of(request.command):
        raise UnclearOrder("this collector does not know the action\ncompare `fsmend version --collector`")
    found = _target(connection, request)
    ref = found.filesystem.ref
    wanted = action.rpartition("_")[2]
    if wanted in _TYPES and ref.type != wanted:
        raise CommandRefused(f"{action} is for {wanted}; {ref.uuid} on {found.host_name} is {ref.type}")
    _refuse_incapable(found, action)
    command = command_pb2.Command()
    command.CopyFrom(request.command)
    command.id = str(uuid.uuid4())
    command.action_class = class_of(command)
    command.target.filesystem_uuid, command.target.filesystem_type = ref.uuid, ref.type
    command.target.device_id = _device(found, command.target.device_id)
    command.not_after_wall_ns = now_ns + TIME_TO_LIVE_SECONDS * _SECOND_NS
    command.time_to_live_seconds = TIME_TO_LIVE_SECONDS
    command.ordered_by = ordered_by
    command.approved_by = ""
    if command.signer or command.signature:
        command.target.host_name, command.target.boot_id = found.host_name, _boot_id(connection, found)
    if command.signature:
        _check_signed(request.command, command, now_ns)
        command = request.command
    return Order(command, found.agent_id, found.host_name)


def _boot_id(connection: Connection, found: pb.FilesystemView) -> str:
    chosen = select(agents_table.c.boot_id).where(agents_table.c.agent_id == found.agent_id)
    boot_id = connection.execute(chosen).scalar()
    if not boot_id:
        raise CommandRefused(f"{found.host_name} has not told which boot it is in, so nothing can be signed for it")
    return str(boot_id)


def _check_signed(signed: command_pb2.Command, complete: command_pb2.Command, now_ns: int) -> None:
    """Compare what was signed, to which nothing can be added, with what would be sent.

    Raises:
        CommandRefused: it has no id, is another operator's, or is not for this target, this boot or this time.
    """
    ahead_ns = signed.not_after_wall_ns - now_ns
    problems = {
        "it has no id": not is_uuid(signed.id),
        "another operator ordered it": signed.ordered_by != complete.ordered_by or bool(signed.approved_by),
        "the target or its boot is another now": signed.target != complete.target,
        "its class is not the action's": signed.action_class != complete.action_class,
        "its time is over or too far ahead": not 0 < ahead_ns <= TIME_TO_LIVE_SECONDS * _SECOND_NS + _CLOCKS_DIFFER_NS
        or signed.time_to_live_seconds != complete.time_to_live_seconds,
    }
    found = [problem for problem, holds in problems.items() if holds]
    if found:
        raise CommandRefused(f"what was signed does not hold: {', '.join(found)}; sign it anew")


def _target(connection: Connection, request: pb.RunRepairRequest) -> pb.FilesystemView:
    """Return the one filesystem that UUID, prefix, mount point and host mean together."""
    target = request.command.target
    agents = None
    if request.host:
        agents = agents_of_host(connection, request.host)
        if not agents:
            raise UnclearOrder(f"there is no host {request.host!r}\n`fsmend get hosts` lists them")
    if not target.filesystem_uuid and not (target.mount_point and request.host):
        raise UnclearOrder("the request names no filesystem\npass --fs UUID or --fs HOST:/MOUNT")
    found = filesystems_meant(connection, target.filesystem_uuid, agents)
    if target.mount_point:
        found = [one for one in found if target.mount_point in _mount_points(one)]
    exact = [one for one in found if one.filesystem.ref.uuid == target.filesystem_uuid]
    return _only(exact or found, target.filesystem_uuid or f"{request.host}:{target.mount_point}")


def _mount_points(view: pb.FilesystemView) -> set[str]:
    points = {view.filesystem.ref.mount_point, *view.filesystem.mount_points}
    return {point.decode("utf-8", "replace") for point in points if point}


def _only(found: Sequence[pb.FilesystemView], name: str) -> pb.FilesystemView:
    if not found:
        raise UnclearOrder(f"there is no filesystem {name!r} mounted now\n`fsmend get filesystems` lists them")
    uuids = sorted({one.filesystem.ref.uuid for one in found})
    if len(uuids) > 1:
        raise UnclearOrder(f"{name!r} is not unique: {', '.join(uuids[:5])}\nwrite more of the UUID")
    if len(found) > 1:
        hosts = ", ".join(sorted({f"{one.host_name} ({one.agent_id})" for one in found})[:5])
        raise UnclearOrder(f"filesystem {uuids[0]} is on several hosts: {hosts}\nadd --host HOST")
    return found[0]


def _refuse_incapable(found: pb.FilesystemView, action: str) -> None:
    for capability in found.filesystem.capabilities:
        if capability.name == f"action.{action}" and not capability.available:
            raise CommandRefused(f"{action} cannot run on {found.host_name}: {capability.reason}")


def _device(found: pb.FilesystemView, name: str) -> str:
    """Return the identity of a device of the filesystem, given identity or kernel name."""
    if not name:
        return ""
    for ref in found.filesystem.devices:
        if name in {ref.id, ref.name}:
            return ref.id
    known = ", ".join(f"{ref.name} ({ref.id})" for ref in found.filesystem.devices) or "none that is known"
    raise UnclearOrder(f"{name!r} is no device of filesystem {found.filesystem.ref.uuid}\nit has: {known}")
