"""Keep the sources running: one that breaks stops alone, says so as an event, and is started again after a pause."""

import asyncio
import errno
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from fsmend_agent.event import Clock, new_event, text
from fsmend_agent.sources import SourceUnavailableError
from fsmend_proto.v1 import event_pb2 as pb

log = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 300.0
STEADY_SECONDS = 60.0

# With these the interface is there, and may open at the next attempt.
_PASSING = frozenset(
    {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOSPC, errno.EAGAIN, errno.EINTR, errno.EBUSY, errno.EIO}
)

_SEVERITY = {
    pb.SOURCE_STATE_STARTED: pb.SEVERITY_INFO,
    pb.SOURCE_STATE_STOPPED: pb.SEVERITY_INFO,
    pb.SOURCE_STATE_UNAVAILABLE: pb.SEVERITY_NOTICE,
    pb.SOURCE_STATE_BROKEN: pb.SEVERITY_ERROR,
}


class Running(Protocol):
    """A source, or another part of the agent that looks at the host for ever."""

    @property
    def name(self) -> str:
        """The name under which its state is told."""

    @property
    def run(self) -> Callable[[], Awaitable[None]]:
        """Work until cancelled."""


@dataclass(frozen=True, slots=True)
class Part:
    """What is kept running like a source, and is none."""

    name: str
    run: Callable[[], Awaitable[None]]


def state_event(clock: Clock, name: str, state: "pb.SourceState.ValueType", reason: str = "") -> pb.Event:
    """Say what became of a source."""
    word = pb.SourceState.Name(state).removeprefix("SOURCE_STATE_").lower()
    message = f"source {name} {word}" + (f": {reason}" if reason else "")
    event = new_event(
        "agent", pb.EVENT_KIND_SOURCE_STATE, _SEVERITY[state], clock.now(), message=message, signature=f"{name} {word}"
    )
    event.source_state.name = name
    event.source_state.state = state
    event.source_state.reason = text(reason)
    return event


async def supervise(source: Running, emit: Callable[[pb.Event], None], clock: Clock) -> None:
    """Run `source` until cancelled; on an error report it, pause (1 s, doubling up to 5 minutes), and start it again.

    Returns when the kernel does not have the interface at all.
    """
    loop = asyncio.get_running_loop()
    pause_seconds = FIRST_PAUSE_SECONDS
    while True:
        began = loop.time()
        emit(state_event(clock, source.name, pb.SOURCE_STATE_STARTED))
        try:
            await source.run()
        except SourceUnavailableError as error:
            reason = str(error)
            if not isinstance(error.__cause__, OSError) or error.__cause__.errno not in _PASSING:
                emit(state_event(clock, source.name, pb.SOURCE_STATE_UNAVAILABLE, reason))
                return
        except asyncio.CancelledError:
            raise
        except Exception as error:  # supervisor: whatever a source meets, the others go on
            log.exception("source %s broke", source.name)
            reason = f"{type(error).__name__}: {error}"
        else:
            reason = "it ended by itself"
        emit(state_event(clock, source.name, pb.SOURCE_STATE_BROKEN, reason))
        if loop.time() - began > STEADY_SECONDS:
            pause_seconds = FIRST_PAUSE_SECONDS
        await asyncio.sleep(pause_seconds)
        pause_seconds = min(2 * pause_seconds, LONGEST_PAUSE_SECONDS)
