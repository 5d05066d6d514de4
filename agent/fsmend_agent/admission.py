"""Decide whether a command may run: pure checks over what the host knows at this moment.

Nothing a command says about itself is believed: its class is the agent's own, its target must be found here under the
same identity, its time is counted on clocks that it cannot set.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn, Protocol
from uuid import UUID

from fsmend_agent import signature
from fsmend_agent.errors import ActionRefused
from fsmend_agent.policy import Policy, Rule
from fsmend_proto.v1 import command_pb2 as pb

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from fsmend_agent.actions import Action
    from fsmend_agent.filesystems import MountedFilesystem

COMMAND_LIMIT_BYTES = 64 * 1024
ID_LIMIT = 128
SECOND_NS = 10**9
SIGNED_AHEAD_NS = 7 * 24 * 3600 * SECOND_NS
LONGEST_WAIT_NS = 7 * 24 * 3600 * SECOND_NS


class Filesystems(Protocol):
    """What admission asks of the table of mounted filesystems."""

    def with_uuid(self, uuid: str) -> "tuple[MountedFilesystem, ...]":
        """Return every filesystem with this UUID."""
        ...

    def by_mount_point(self, mount_point: bytes) -> "MountedFilesystem | None":
        """Return the filesystem that is mounted there."""
        ...


@dataclass(frozen=True, slots=True)
class Situation:
    """The host at the moment of a decision.

    Attributes:
        wall_ns: the host's wall clock.
        boot_ns: its boot clock.
        boot_id: of this boot.
        offset_ns: collector's wall clock minus the host's; None: not known.
        uncertainty_ns: of the offset.
        host_name: as the kernel has it.
        policy: the host's own.
        filesystems: what is mounted.
        device_ids: the identities of a filesystem's devices.
        busy: (major, minor) of the filesystems on which an action runs or waits, with that command's id.
    """

    wall_ns: int
    boot_ns: int
    boot_id: str
    offset_ns: int | None
    uncertainty_ns: int
    host_name: str
    policy: Policy
    filesystems: Filesystems
    device_ids: "Callable[[MountedFilesystem], Collection[str]]"
    busy: Mapping[tuple[int, int], str]


@dataclass(frozen=True, slots=True)
class Admitted:
    """A command that may run, unless the last look at its target says otherwise.

    Attributes:
        command: as it came.
        action: the class that runs it.
        action_class: the agent's own opinion of it.
        filesystem: its target; None for an action on the host.
        signers: public keys by name when its signature must be verified first; None when it needs none.
        start_before_boot_ns: it must have begun by then.
        keep_until_ns: until when its signature could be believed again, on the host's wall clock; 0: unsigned.
    """

    command: pb.Command
    action: "type[Action]"
    action_class: int
    filesystem: "MountedFilesystem | None"
    signers: Mapping[str, bytes] | None
    start_before_boot_ns: int
    keep_until_ns: int


def admit(command: pb.Command, actions: "Mapping[str, type[Action]]", now: Situation) -> Admitted:
    """Check everything that needs no look at the disk. Duplicates are the journal's affair.

    Raises:
        ActionRefused: with the first reason found.
    """
    action = _action(command, actions)
    action_class = action.classify(command)
    if command.action_class not in {pb.ACTION_CLASS_UNSPECIFIED, action_class}:
        names = pb.ActionClass.Name(action_class), _class_name(command.action_class)
        _refuse(pb.REFUSAL_CODE_MALFORMED, f"{action.name} is {names[0]} on this host, the command calls it {names[1]}")
    start_before = start_limit(command, now)
    if command.target.boot_id not in {"", now.boot_id}:
        _refuse(pb.REFUSAL_CODE_TARGET_CHANGED, "the host was booted again since the command was made")
    if command.target.host_name not in {"", now.host_name}:
        _refuse(pb.REFUSAL_CODE_WRONG_TARGET, f"it is for {command.target.host_name}, this is {now.host_name}")
    filesystem = find_target(command.target, now) if action.needs_filesystem or _names_target(command) else None
    rule = now.policy.rule(action.name, action_class, filesystem)
    if rule is Rule.DENY:
        reason = now.policy.broken or f"{action.name} is denied here"
        _refuse(pb.REFUSAL_CODE_POLICY_DENIES, f"the policy of this host: {reason}")
    if rule is Rule.REQUIRE_SIGNATURE:
        check_signed(command, now)
    if filesystem is not None and (other := now.busy.get((filesystem.major, filesystem.minor))) is not None:
        _refuse(pb.REFUSAL_CODE_BUSY, f"command {other} has this filesystem")
    signed = rule is Rule.REQUIRE_SIGNATURE
    return Admitted(
        command=command,
        action=action,
        action_class=action_class,
        filesystem=filesystem,
        signers=now.policy.signers if signed else None,
        start_before_boot_ns=start_before,
        # The offset may be off by as much as signed commands tolerate, so remember it for that much longer.
        keep_until_ns=signature.believed_until_ns(command) if signed else 0,
    )


def well_formed_id(command_id: str) -> bool:
    """Tell whether an id may be journalled and reported."""
    return 0 < len(command_id) <= ID_LIMIT and command_id.isprintable()


def _action(command: pb.Command, actions: "Mapping[str, type[Action]]") -> "type[Action]":
    """Return the class for the command's action."""
    if not well_formed_id(command.id):
        _refuse(pb.REFUSAL_CODE_MALFORMED, f"a command's id has 1 to {ID_LIMIT} printable characters")
    if command.ByteSize() > COMMAND_LIMIT_BYTES:
        _refuse(pb.REFUSAL_CODE_MALFORMED, f"the command is larger than {COMMAND_LIMIT_BYTES} bytes")
    name = command.WhichOneof("action")
    if name is None:
        _refuse(pb.REFUSAL_CODE_MALFORMED, "the command has no action that this agent knows")
    if name not in actions:
        _refuse(pb.REFUSAL_CODE_NOT_SUPPORTED, f"this agent has no action {name}")
    # What a newer collector asks for besides would be left out without a word, and something else done than was meant.
    if _has_unknown_fields(getattr(command, name)) or _has_unknown_fields(command.target):
        _refuse(pb.REFUSAL_CODE_NOT_SUPPORTED, f"{name} has fields that this agent does not know: it is too old for it")
    return actions[name]


def _has_unknown_fields(message: "Message") -> bool:
    """Tell whether a message, or one inside it, has fields that this version does not know."""
    copy = type(message)()
    copy.CopyFrom(message)
    copy.DiscardUnknownFields()  # type: ignore[no-untyped-call,unused-ignore]
    return copy.ByteSize() != message.ByteSize()


def start_limit(command: pb.Command, now: Situation) -> int:
    """Return until when, on the boot clock, the command may begin.

    Raises:
        ActionRefused: that is over, or cannot be known.
    """
    limits = [now.boot_ns + LONGEST_WAIT_NS]
    if command.time_to_live_seconds:
        limits.append(now.boot_ns + command.time_to_live_seconds * SECOND_NS)
    if command.not_after_wall_ns and now.offset_ns is not None:
        # In doubt it is over: a late repair may meet another filesystem than the one that was meant.
        collector_ns = now.wall_ns + now.offset_ns + now.uncertainty_ns
        limits.append(now.boot_ns + command.not_after_wall_ns - collector_ns)
    elif command.not_after_wall_ns and not command.time_to_live_seconds:
        _refuse(pb.REFUSAL_CODE_CLOCK_UNKNOWN, "it only expires on the collector's clock, which is not known here yet")
    elif not command.time_to_live_seconds:
        _refuse(pb.REFUSAL_CODE_MALFORMED, "the command never expires")
    if min(limits) < now.boot_ns:
        _refuse(pb.REFUSAL_CODE_EXPIRED, f"expired {(now.boot_ns - min(limits)) / SECOND_NS:.1f} s ago")
    return min(limits)


def _names_target(command: pb.Command) -> bool:
    """Tell whether the command names a filesystem, in whatever way."""
    target = command.target
    return bool(target.filesystem_uuid or target.filesystem_type or target.device_id or target.mount_point)


def find_target(target: pb.Target, now: Situation) -> "MountedFilesystem":
    """Return the one mounted filesystem that is meant.

    Raises:
        ActionRefused: NOT_MOUNTED, WRONG_TARGET, TARGET_CHANGED or MALFORMED.
    """
    uuid = _canonical_uuid(target.filesystem_uuid)
    found = now.filesystems.with_uuid(uuid)
    mount_point = target.mount_point.encode("utf-8", "surrogateescape")
    if not found:
        other = now.filesystems.by_mount_point(mount_point) if mount_point else None
        if other is not None:
            text = f"on {target.mount_point} is {other.uuid or 'a filesystem without UUID'} instead of {uuid}"
            _refuse(pb.REFUSAL_CODE_WRONG_TARGET, text)
        _refuse(pb.REFUSAL_CODE_NOT_MOUNTED, f"no filesystem with UUID {uuid} is mounted here")
    fitting = [one for one in found if not mount_point or mount_point in one.mount_points]
    if not fitting:
        _refuse(pb.REFUSAL_CODE_TARGET_CHANGED, f"filesystem {uuid} is not mounted on {target.mount_point}")
    fitting = [one for one in fitting if not target.filesystem_type or one.type == target.filesystem_type]
    if not fitting:
        _refuse(pb.REFUSAL_CODE_TARGET_CHANGED, f"filesystem {uuid} is {found[0].type}, not {target.filesystem_type}")
    fitting = [one for one in fitting if not target.device_id or target.device_id in now.device_ids(one)]
    if not fitting:
        _refuse(pb.REFUSAL_CODE_TARGET_CHANGED, f"filesystem {uuid} does not lie on device {target.device_id}")
    if len(fitting) > 1:
        places = b", ".join(one.mount_points[0] for one in fitting).decode("utf-8", "backslashreplace")
        _refuse(pb.REFUSAL_CODE_WRONG_TARGET, f"{uuid} is mounted from several devices ({places}): name one of them")
    return fitting[0]


def _canonical_uuid(text: str) -> str:
    """Return a UUID as the table has it."""
    try:
        return str(UUID(text))
    except ValueError:
        _refuse(pb.REFUSAL_CODE_MALFORMED, "the target is not named by a filesystem UUID")


def check_signed(command: pb.Command, now: Situation) -> None:
    """Check what a signed command must say, so that nobody can keep it and send it elsewhere or later.

    Raises:
        ActionRefused: SIGNATURE, CLOCK_UNKNOWN.
    """
    problem = signature.missing(command, now.policy.signers)
    if problem:
        _refuse(pb.REFUSAL_CODE_SIGNATURE, problem)
    # Clones of one image share their UUIDs. The boot id is this host's alone, and the name is what the operator knows.
    if not command.target.boot_id or not command.target.host_name:
        _refuse(pb.REFUSAL_CODE_SIGNATURE, "a signed command must name the host that it is for, and its boot id")
    if not command.not_after_wall_ns:
        _refuse(pb.REFUSAL_CODE_SIGNATURE, "a signed command must say when it expires (not_after_wall_ns)")
    # The offset comes from the link, which is not trusted: a clock set far back would revive an old command.
    if now.offset_ns is None or abs(now.offset_ns) > signature.OFFSET_NS:
        _refuse(pb.REFUSAL_CODE_CLOCK_UNKNOWN, "the clocks of host and collector are unknown or an hour apart")
    if command.not_after_wall_ns > now.wall_ns + now.offset_ns + SIGNED_AHEAD_NS:
        _refuse(pb.REFUSAL_CODE_SIGNATURE, "a signed command must expire within seven days")


def _class_name(number: int) -> str:
    """Return the name of an action class, or its number when it has none."""
    return pb.ActionClass.Name(number) if number in pb.ActionClass.values() else str(number)  # type: ignore[arg-type]


def _refuse(code: "pb.RefusalCode.ValueType", reason: str) -> NoReturn:
    """Raise the refusal."""
    raise ActionRefused(code, reason)
