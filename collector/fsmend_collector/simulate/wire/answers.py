"""How a simulated agent answers orders: as a real one would whose host has nothing to repair. It never does anything.

Pure.
"""

from collections.abc import Iterator

from fsmend_proto.v1 import command_pb2, event_pb2, link_pb2

_ACCEPTED = command_pb2.COMMAND_STATE_ACCEPTED
_RUNNING = command_pb2.COMMAND_STATE_RUNNING
_SUCCEEDED = command_pb2.COMMAND_STATE_SUCCEEDED
_REFUSED = command_pb2.COMMAND_STATE_REFUSED
_CANCELLED = command_pb2.COMMAND_STATE_CANCELLED
_WHY = "a simulated host: nothing was done"


def answers(message: link_pb2.ConnectResponse, clocks: event_pb2.Clocks) -> Iterator[command_pb2.CommandUpdate]:
    """Yield the reports on a Command, or on a Cancel of a command that never came."""
    if message.HasField("cancel"):
        yield _update(message.cancel.command_id, _CANCELLED, clocks, "cancelled before it came")
        return
    command = message.command
    result = _result(command)
    if result is None:
        refusal = command_pb2.REFUSAL_CODE_NOT_SUPPORTED
        yield _update(command.id, _REFUSED, clocks, f"{_WHY}: it cannot {command.WhichOneof('action')}", refusal)
        return
    yield _update(command.id, _ACCEPTED, clocks, _WHY)
    if not command.dry_run:
        yield _update(command.id, _RUNNING, clocks, _WHY)
    done = _update(command.id, _SUCCEEDED, clocks, _WHY)
    done.result.CopyFrom(result)
    yield done


def _result(command: command_pb2.Command) -> command_pb2.CommandResult | None:
    """Return a plausible result; None for what such a host refuses."""
    reading = command_pb2.CommandResult(verdict=command_pb2.VERDICT_CLEAN, duration_ns=1_000_000, summary=_WHY)
    match command.WhichOneof("action"):
        case "collect_evidence":
            reading.verdict = command_pb2.VERDICT_NOT_APPLICABLE
            reading.evidence.add(name="kernel_log", content=b"simulated: no kernel, no log\n")
        case "scrub_xfs":
            if not command.scrub_xfs.items:
                reading.xfs_scrubs.add(name="the whole filesystem", calls=1)
            for item in command.scrub_xfs.items:
                reading.xfs_scrubs.add(item=item, calls=1)
        case "scrub_btrfs":
            for devid in command.scrub_btrfs.devids or [1]:
                reading.scrubs.add(devid=devid)
        case _:
            return None
    return reading


def _update(
    command_id: str,
    state: command_pb2.CommandState.ValueType,
    clocks: event_pb2.Clocks,
    text: str,
    refusal: command_pb2.RefusalCode.ValueType = command_pb2.REFUSAL_CODE_UNSPECIFIED,
) -> command_pb2.CommandUpdate:
    return command_pb2.CommandUpdate(command_id=command_id, state=state, clocks=clocks, message=text, refusal=refusal)
