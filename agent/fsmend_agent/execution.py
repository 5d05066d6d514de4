"""Run one admitted command in a thread: last look, write-ahead, readings, action, outcome.

Everything here blocks. The executor calls it and speaks to the collector.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Event as Flag
from threading import Lock
from typing import TYPE_CHECKING

from fsmend_agent.actions import Action, ActionStopped, Order
from fsmend_agent.errors import ActionFailed, ActionRefused
from fsmend_agent.target import open_proven
from fsmend_agent.thinning import Thinning
from fsmend_agent.verdict import judge
from fsmend_proto.v1 import command_pb2 as pb

if TYPE_CHECKING:
    from fsmend_agent.admission import Admitted
    from fsmend_agent.event import Clock


@dataclass(slots=True)
class Execution:
    """One run of one action.

    Attributes:
        admitted: what may run.
        clock: stamps the readings.
        write_ahead: makes "started" durable; raises OSError when it cannot.
        started: called when the action begins.
        progressed: called with progress that is worth sending.
        cancelled: set from outside to stop it.
        timed_out: set from outside before `cancelled` when its time was over.
        remember: makes durable what the action has to take back; raises OSError when it cannot.
    """

    admitted: "Admitted"
    clock: "Clock"
    write_ahead: Callable[[], None]
    started: Callable[[], None]
    progressed: Callable[[pb.Progress], None]
    cancelled: Flag
    timed_out: bool = False
    remember: Callable[[str, str], None] = lambda _key, _value: None
    _thinning: Thinning = field(default_factory=Thinning)
    _lock: Lock = field(default_factory=Lock)

    def run(self) -> pb.CommandUpdate:
        """Run it and return the final update, without clocks. Never raises: whatever happens is an outcome."""
        try:
            return self._attempt()
        except ActionRefused as refusal:
            return _update(pb.COMMAND_STATE_REFUSED, str(refusal), refusal=refusal.code)
        except ActionStopped as stop:
            state = pb.COMMAND_STATE_TIMED_OUT if self.timed_out else pb.COMMAND_STATE_CANCELLED
            return _update(state, str(stop), result=stop.result)
        except ActionFailed as failure:
            return _update(self._failed(), str(failure), errno=failure.errno, result=failure.result)
        except OSError as error:
            return _update(self._failed(), str(error), errno=error.errno or 0)
        except Exception as error:  # supervisor: an action's own fault is an outcome  # noqa: BLE001
            return _update(self._failed(), f"{type(error).__name__}: {error}")

    def _failed(self) -> "pb.CommandState.ValueType":
        """Return the state of what did not end well."""
        return pb.COMMAND_STATE_TIMED_OUT if self.timed_out else pb.COMMAND_STATE_FAILED

    def _attempt(self) -> pb.CommandUpdate:
        """Take the last look at the target, and go."""
        filesystem = self.admitted.filesystem
        fd = -1 if filesystem is None else open_proven(filesystem)
        try:
            order = Order(
                self.admitted.command, filesystem, self.clock, self._report, self.cancelled, fd, self.remember
            )
            action = self.admitted.action(order)
            action.check()
            if self.cancelled.is_set():
                return _update(pb.COMMAND_STATE_CANCELLED, "cancelled before it began: nothing was touched")
            if self.admitted.command.dry_run:
                return _update(pb.COMMAND_STATE_SUCCEEDED, f"would {action.intention()}")
            return self._act(action)
        finally:
            if fd >= 0:
                os.close(fd)

    def _act(self, action: Action) -> pb.CommandUpdate:
        """Read, write ahead, run, read again."""
        before = action.read_health()
        self.write_ahead()
        self.started()
        began_ns = time.monotonic_ns()
        try:
            result = action.run()
        except (ActionFailed, ActionStopped) as ended:
            if ended.result is not None:
                self._complete(action, ended.result, before, began_ns)
            raise
        problem = self._complete(action, result, before, began_ns)
        return _update(pb.COMMAND_STATE_SUCCEEDED, problem or _summary(result), result=result)

    def _complete(self, action: Action, result: pb.CommandResult, before: pb.HealthReading, began_ns: int) -> str:
        """Add readings, duration and verdict; return why the target could not be read again, or nothing."""
        problem = ""
        result.duration_ns = time.monotonic_ns() - began_ns
        result.before.CopyFrom(before)
        try:
            result.after.CopyFrom(action.read_health())
        except OSError as error:
            problem = f"done, but its health cannot be read again: {error}"
        if result.scrubs:
            result.verdict = judge(result)
        elif result.verdict == pb.VERDICT_UNSPECIFIED:
            result.verdict = pb.VERDICT_NOT_APPLICABLE
        return problem

    def _report(self, progress: pb.Progress) -> None:
        """Take progress from any of the action's threads."""
        with self._lock:
            if not self._thinning.passes(progress, time.monotonic_ns()):
                return
            copy = pb.Progress()
            copy.CopyFrom(progress)
        self.progressed(copy)


def _summary(result: pb.CommandResult) -> str:
    """Say in one line what came out."""
    if not result.scrubs:
        return result.summary or "done"
    found = sum(scrub.errors_found for scrub in result.scrubs)
    corrected = sum(scrub.errors_corrected for scrub in result.scrubs)
    uncorrectable = sum(scrub.errors_uncorrectable for scrub in result.scrubs)
    verdict = pb.Verdict.Name(result.verdict).removeprefix("VERDICT_").lower().replace("_", " ")
    return f"{verdict}: {found} errors found, {corrected} corrected, {uncorrectable} uncorrectable"


def _update(
    state: "pb.CommandState.ValueType",
    message: str,
    *,
    refusal: "pb.RefusalCode.ValueType" = pb.REFUSAL_CODE_UNSPECIFIED,
    errno: int = 0,
    result: pb.CommandResult | None = None,
) -> pb.CommandUpdate:
    """Begin an update; the executor adds id and clocks."""
    text = message.encode("utf-8", "backslashreplace").decode()
    return pb.CommandUpdate(state=state, message=text, refusal=refusal, errno=errno, result=result)
