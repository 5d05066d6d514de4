"""The life of a command as the collector sees it. Pure."""

from fsmend_proto.v1 import command_pb2

QUEUED = command_pb2.COMMAND_STATE_QUEUED
SENT = command_pb2.COMMAND_STATE_SENT
ACCEPTED = command_pb2.COMMAND_STATE_ACCEPTED
RUNNING = command_pb2.COMMAND_STATE_RUNNING
CANCELLED = command_pb2.COMMAND_STATE_CANCELLED
EXPIRED = command_pb2.COMMAND_STATE_EXPIRED

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
OPEN_STATES = (QUEUED, SENT, ACCEPTED, RUNNING)


def may_follow(present: int, reported: int) -> bool:
    """Say whether a command in state `present` may move to `reported`.

    Forward only; `RUNNING` may repeat, with new progress; a final state never changes.
    """
    if present in FINAL_STATES:
        return False
    if reported in FINAL_STATES:
        return True
    return reported in OPEN_STATES and (reported > present or reported == present == RUNNING)
