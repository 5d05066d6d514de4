"""The life of a command as the collector sees it. Pure."""

import uuid

from fsmend_collector.errors import CommandRefused
from fsmend_proto.v1 import command_pb2

QUEUED = command_pb2.COMMAND_STATE_QUEUED
SENT = command_pb2.COMMAND_STATE_SENT
ACCEPTED = command_pb2.COMMAND_STATE_ACCEPTED
RUNNING = command_pb2.COMMAND_STATE_RUNNING
CANCELLED = command_pb2.COMMAND_STATE_CANCELLED
EXPIRED = command_pb2.COMMAND_STATE_EXPIRED

BY_POLICY, BY_CALENDAR = "policy", "calendar"
ORDERED_BY_ITSELF = (BY_POLICY, BY_CALENDAR)
"""Who orders when nobody does: these commands give way when automatic repairs are stopped."""

FINAL_STATES = frozenset(
    {
        command_pb2.COMMAND_STATE_SUCCEEDED,
        command_pb2.COMMAND_STATE_FAILED,
        command_pb2.COMMAND_STATE_REFUSED,
        command_pb2.COMMAND_STATE_TIMED_OUT,
        CANCELLED,
        EXPIRED,
        command_pb2.COMMAND_STATE_UNKNOWN,
    }
)
NEWS_NS = 24 * 3_600 * 1_000_000_000
"""An agent that works tells how far it is every few seconds; of what it told nothing for so long nobody knows."""
OPEN_STATES = (QUEUED, SENT, ACCEPTED, RUNNING)
UNKNOWN = command_pb2.COMMAND_STATE_UNKNOWN


def may_follow(present: int, reported: int) -> bool:
    """Say whether a command in state `present` may move to `reported`.

    Forward only; `RUNNING` may repeat, with new progress; a final state never changes.
    """
    if present in FINAL_STATES:
        return False
    if reported in FINAL_STATES:
        return True
    return reported in OPEN_STATES and (reported > present or reported == present == RUNNING)


def is_given_up(state: int, last_update: bytes | None) -> bool:
    """Say whether the collector itself ended a command because nothing was heard of it; its agent knows better."""
    return state == UNKNOWN and command_pb2.CommandUpdate.FromString(last_update or b"").state != UNKNOWN


ACTION_CLASSES = {
    "collect_evidence": command_pb2.ACTION_CLASS_OBSERVE,
    "scrub_xfs": command_pb2.ACTION_CLASS_CHECK,
    "repair_xfs": command_pb2.ACTION_CLASS_REPAIR,
    "remount_read_only": command_pb2.ACTION_CLASS_CONTAIN,
}
MAX_TEXT_LENGTH = 4_096
TIME_TO_LIVE_SECONDS = 900
"""So soon an order must begin where nothing else is said; an operator signs for no longer."""


def is_uuid(text: str) -> bool:
    """Say whether a text is a UUID as this project writes one."""
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False


def class_of(command: command_pb2.Command) -> "command_pb2.ActionClass.ValueType":
    """Return the class that a command's action has; a btrfs scrub that only reads is a check."""
    action = command.WhichOneof("action") or ""
    if action == "scrub_btrfs":
        read_only = command.scrub_btrfs.read_only
        return command_pb2.ACTION_CLASS_CHECK if read_only else command_pb2.ACTION_CLASS_REPAIR
    return ACTION_CLASSES.get(action, command_pb2.ACTION_CLASS_UNSPECIFIED)


def check_command(command: command_pb2.Command, now_ns: int) -> None:
    """Check what can be checked without the host.

    Raises:
        CommandRefused: an action, a target or time is missing, or the class is not the action's.
    """
    action = command.WhichOneof("action")
    problem = ""
    if action is None:
        problem = "the command has no action"
    elif command.action_class != class_of(command):
        wanted = command_pb2.ActionClass.Name(class_of(command))
        problem = f"action {action} is of class {wanted}"
    elif not command.target.filesystem_uuid and not command.target.device_id and action != "collect_evidence":
        problem = f"action {action} needs a target: a filesystem UUID or a device"
    elif not now_ns < command.not_after_wall_ns < 1 << 63:
        problem = "the command has expired already"
    elif any("\0" in text or len(text) > MAX_TEXT_LENGTH for text in _texts(command)):
        problem = "a text of the command is too long or holds a NUL"
    if problem:
        raise CommandRefused(problem)


def _texts(command: command_pb2.Command) -> tuple[str, ...]:
    target = command.target
    return (
        command.id,
        command.incident_id,
        command.ordered_by,
        command.reason,
        target.filesystem_uuid,
        target.device_id,
        target.boot_id,
    )
