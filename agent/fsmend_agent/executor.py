"""Take commands, and see each of them to its end: check, journal, run, report.

`submit`, `cancel` and `set_clock` never block and never raise; they are called on the event loop's thread. Every step
of a command is a CommandUpdate into the sink. Of a command that was seen before nothing runs: what became of it is
reported once more.
"""

import asyncio
import functools
import hashlib
import logging
import socket
import threading
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fsmend_agent import signature
from fsmend_agent.admission import Admitted, Filesystems, Situation, admit, well_formed_id
from fsmend_agent.errors import ActionRefused
from fsmend_agent.execution import Execution
from fsmend_agent.journal import Entry, Journal, Step, orphaned
from fsmend_agent.policy import Policy
from fsmend_agent.threads import in_thread
from fsmend_proto.canonical import canonical
from fsmend_proto.v1 import command_pb2 as pb

if TYPE_CHECKING:
    from fsmend_agent.actions import Action
    from fsmend_agent.event import Clock
    from fsmend_agent.filesystems import MountedFilesystem

log = logging.getLogger(__name__)

IN_HAND_LIMIT = 64
RUNNING_LIMIT = 4
OVERFLOW_ANSWERS = 256
TURN_POLL_SECONDS = 0.2
STOP_GRACE_SECONDS = 60.0


@dataclass(slots=True)
class Job:
    """A command in hand."""

    command: pb.Command
    cancelled: threading.Event = field(default_factory=threading.Event)
    cancel_reason: str = ""
    filesystem: tuple[int, int] | None = None
    last: pb.CommandUpdate | None = None
    final: bool = False


class Executor:
    """Run commands on this host.

    Args:
        actions: by name, as `actions.discover` found them.
        policy: reads the host's policy; called in a thread for every command, so that a change holds at once.
        filesystems: what is mounted.
        journal: the write-ahead journal.
        clock: stamps the updates, and tells the boot id.
        sink: takes every update, on the event loop's thread; never blocks, never raises. What it returns is done when
            the update is durable; only then the journal calls a final update reported. None: it is so at once.
        device_ids: the identities of the devices that a filesystem lies on.
        acted: called when a check or more has ended on a filesystem: what is known of its health may be old.
    """

    def __init__(
        self,
        actions: "Mapping[str, type[Action]]",
        policy: Callable[[], Policy],
        filesystems: Filesystems,
        journal: Journal,
        clock: "Clock",
        sink: Callable[[pb.CommandUpdate], Awaitable[None] | None],
        device_ids: "Callable[[MountedFilesystem], Collection[str]]" = lambda _filesystem: (),
        acted: "Callable[[MountedFilesystem], None]" = lambda _filesystem: None,
    ) -> None:
        self._actions = actions
        self._policy = policy
        self._filesystems = filesystems
        self._journal = journal
        self._clock = clock
        self._sink = sink
        self._device_ids = device_ids
        self._acted = acted
        self._jobs: dict[str, Job] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._running = 0
        self._overflowed = 0
        self._closing = False
        self._offset_ns: int | None = None
        self._uncertainty_ns = 0

    @property
    def unfinished(self) -> list[str]:
        """The ids of the commands in hand."""
        return [command_id for command_id, job in self._jobs.items() if not job.final]

    def set_clock(self, offset_ns: int, uncertainty_ns: int) -> None:
        """Learn the collector's clock.

        Args:
            offset_ns: collector's wall clock minus this host's.
            uncertainty_ns: by how much that may be wrong.
        """
        self._offset_ns, self._uncertainty_ns = offset_ns, uncertainty_ns

    def submit(self, command: pb.Command) -> None:
        """Take a command. While the agent stops it is left to the collector, which sends it again to the next life."""
        if self._closing:
            return
        if not well_formed_id(command.id):
            self._turn_away(command.id, pb.REFUSAL_CODE_MALFORMED, "the command has no usable id")
            return
        if len(self._tasks) >= IN_HAND_LIMIT:
            # Not journalled: whoever floods the host shall not fill its disk as well.
            if command.id not in self._jobs:
                self._turn_away(command.id, pb.REFUSAL_CODE_BUSY, f"{IN_HAND_LIMIT} commands are in hand")
            return
        self._overflowed = 0
        own = pb.Command()
        own.CopyFrom(command)
        seen = command.id in self._jobs or self._journal.get(command.id) is not None
        if not seen:
            self._jobs[command.id] = Job(own)
        self._begin(self._again(own) if seen else self._handle(self._jobs[own.id]))

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        """Forget a task; one that ended by a fault of the agent's own is logged, and its command is not run again."""
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a command was left open", exc_info=error)

    def cancel(self, command: pb.CancelCommand) -> None:
        """Ask a command in hand to stop; say of one that has ended, or never came, what became of it.

        A cancel is also what comes in the place of a command that expired on its way.
        """
        command_id = command.command_id
        job = self._jobs.get(command_id)
        if job is not None and not job.final:
            who, why = command.ordered_by or "somebody", command.reason or "no reason given"
            job.cancel_reason = f"cancelled by {who}: {why}"
            job.cancelled.set()
        elif self._closing or len(self._tasks) >= IN_HAND_LIMIT or not well_formed_id(command_id):
            log.info("cancel of command %r is left unanswered", command_id[:200])
        elif self._journal.get(command_id) is not None:
            self._begin(self._tell(command_id))
        elif job is None:
            job = self._jobs[command_id] = Job(pb.Command(id=command_id), final=True)
            self._begin(self._never_came(job))

    async def _never_came(self, job: Job) -> None:
        """Use the id up: a command that comes after its cancel must not run."""
        entry = Entry(job.command.id, "", wall_ns=self._clock.now().wall_ns)
        try:
            await self._write(lambda: self._journal.accept(entry))
            message = "it never came here: nothing was done"
            await self._end(job, pb.CommandUpdate(state=pb.COMMAND_STATE_CANCELLED, message=message))
        finally:
            del self._jobs[job.command.id]

    async def recover(self) -> None:
        """Report what the agent's last life left open, and take back what it set; once, before the first `submit`."""
        unreported = self._journal.at(Step.FINISHED)
        for entry in self._journal.at(Step.ACCEPTED, Step.STARTED):
            if entry.notes and entry.action in self._actions:
                await in_thread(functools.partial(self._actions[entry.action].undo, entry.notes))
            await self._finish(orphaned(entry))
        for entry in unreported:
            await self._report_end(entry.id, await self._remembered(entry.id))

    async def close(self, seconds: float = 10.0) -> None:
        """Ask everything in hand to stop, and wait a while; what still runs then is `unknown` at the next start."""
        self._closing = True
        for job in self._jobs.values():
            job.cancel_reason = job.cancel_reason or "the agent stops"
            job.cancelled.set()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while self._tasks and loop.time() < deadline:
            await asyncio.wait(self._tasks, timeout=deadline - loop.time())
        for task in self._tasks:
            task.cancel()

    def _situation(self, policy: Policy) -> Situation:
        """Look at the host."""
        clocks = self._clock.now()
        busy = {job.filesystem: name for name, job in self._jobs.items() if job.filesystem is not None}
        return Situation(
            wall_ns=clocks.wall_ns,
            boot_ns=clocks.boot_ns,
            boot_id=clocks.boot_id,
            offset_ns=self._offset_ns,
            uncertainty_ns=self._uncertainty_ns,
            host_name=socket.gethostname(),
            policy=policy,
            filesystems=self._filesystems,
            device_ids=self._device_ids,
            busy=busy,
        )

    async def _handle(self, job: Job) -> None:
        """See a new command to its end."""
        command = job.command
        entry = Entry(
            command.id, _digest(command), command.WhichOneof("action") or "", wall_ns=self._clock.now().wall_ns
        )
        try:
            try:
                admitted = await self._admit(job, entry)
                update = await self._when_its_turn_comes(job, admitted)
            except ActionRefused as refusal:
                update = pb.CommandUpdate(state=pb.COMMAND_STATE_REFUSED, refusal=refusal.code, message=str(refusal))
                # A refused id must not run either when it is sent a second time.
                if self._journal.get(command.id) is None:
                    entry.keep_until_ns = await in_thread(lambda: signature.kept_until_ns(command, self._policy))
                    await self._write(lambda: self._journal.accept(entry))
            if not job.final:
                await self._end(job, update)
        finally:
            del self._jobs[command.id]

    async def _admit(self, job: Job, entry: Entry) -> Admitted:
        """Check everything, and note in the journal that the command was accepted.

        Raises:
            ActionRefused: nothing was touched.
        """
        policy = await in_thread(self._policy)
        admitted = admit(job.command, self._actions, self._situation(policy))
        if admitted.filesystem is not None:
            job.filesystem = (admitted.filesystem.major, admitted.filesystem.minor)
        signers = admitted.signers
        if signers is not None and (problem := await in_thread(lambda: signature.verify(job.command, signers))):
            raise ActionRefused(pb.REFUSAL_CODE_SIGNATURE, problem)
        entry.idempotent, entry.keep_until_ns = admitted.action.idempotent, admitted.keep_until_ns
        error = await self._write(lambda: self._journal.accept(entry))
        if error is not None and admitted.action_class != pb.ACTION_CLASS_OBSERVE:
            raise _no_journal(error)
        self._report(job, pb.CommandUpdate(state=pb.COMMAND_STATE_ACCEPTED))
        return admitted

    async def _when_its_turn_comes(self, job: Job, admitted: Admitted) -> pb.CommandUpdate:
        """Wait for a free place, unless the command is cancelled or expires before."""
        # Asked rather than waited for: a place may come free, the command be cancelled from any thread, or time pass.
        while self._running >= RUNNING_LIMIT and not job.cancelled.is_set():  # noqa: ASYNC110
            await asyncio.sleep(TURN_POLL_SECONDS)
        if job.cancelled.is_set():
            message = f"{job.cancel_reason}; it had not begun"
            return pb.CommandUpdate(state=pb.COMMAND_STATE_CANCELLED, message=message)
        if self._clock.now().boot_ns > admitted.start_before_boot_ns:
            message = "expired while it waited for its turn: nothing was touched"
            return pb.CommandUpdate(state=pb.COMMAND_STATE_EXPIRED, refusal=pb.REFUSAL_CODE_EXPIRED, message=message)
        self._running += 1
        try:
            return await self._execute(job, admitted)
        finally:
            self._running -= 1

    async def _execute(self, job: Job, admitted: Admitted) -> pb.CommandUpdate:
        """Run it in a thread; when its time is over, ask it to stop, and report even if the kernel does not let go."""
        loop = asyncio.get_running_loop()

        def write_ahead() -> None:
            try:
                self._journal.start(job.command.id)
            except OSError as error:
                if admitted.action_class != pb.ACTION_CLASS_OBSERVE:
                    raise _no_journal(error) from error

        def progressed(progress: pb.Progress) -> None:
            update = pb.CommandUpdate(state=pb.COMMAND_STATE_RUNNING, progress=progress)
            loop.call_soon_threadsafe(self._report, job, update)

        def started() -> None:
            loop.call_soon_threadsafe(self._report, job, pb.CommandUpdate(state=pb.COMMAND_STATE_RUNNING))

        execution = Execution(admitted, self._clock, write_ahead, started, progressed, job.cancelled)
        execution.remember = functools.partial(self._journal.note, job.command.id)
        running = in_thread(execution.run)
        done, _ = await asyncio.wait({running}, timeout=admitted.action.timeout_seconds)
        if not done:
            execution.timed_out = not job.cancelled.is_set()
            job.cancelled.set()
            done, _ = await asyncio.wait({running}, timeout=STOP_GRACE_SECONDS)
        if not done:
            message = "it does not stop: the kernel holds it. The filesystem stays reserved until it does"
            await self._end(job, pb.CommandUpdate(state=pb.COMMAND_STATE_TIMED_OUT, message=message))
        update = await running
        if admitted.filesystem is not None and admitted.action_class > pb.ACTION_CLASS_OBSERVE:
            self._acted(admitted.filesystem)
        if update.state == pb.COMMAND_STATE_CANCELLED and job.cancel_reason:
            update.message = f"{job.cancel_reason}; {update.message}"
        return update

    async def _again(self, command: pb.Command) -> None:
        """Answer a command whose id was seen before."""
        entry, job = self._journal.get(command.id), self._jobs.get(command.id)
        digest = _digest(job.command) if job is not None else entry.digest if entry is not None else ""
        if digest and digest != _digest(command):
            # No update: it would be taken for the end of the other command.
            log.warning("command %r came again with another content and was ignored", command.id)
            return
        if job is not None:
            if job.last is not None:
                await self._answer(job.last)
            return
        await self._tell(command.id)

    async def _tell(self, command_id: str) -> None:
        """Report once more how a command in the journal ended."""
        await self._answer(await self._remembered(command_id))

    async def _answer(self, update: pb.CommandUpdate) -> None:
        """Send an update once more, and be in hand until it is durable: so the number of answers is bounded."""
        kept = self._sink(update)
        if kept is not None:
            await kept

    async def _remembered(self, command_id: str) -> pb.CommandUpdate:
        """Return how a command in the journal ended."""
        update = await in_thread(lambda: self._journal.final_update(command_id))
        if update is None:
            message = "this id was used before; what became of it is not known any more"
            update = self._stamped(command_id, pb.CommandUpdate(state=pb.COMMAND_STATE_UNKNOWN, message=message))
        return update

    def _turn_away(self, command_id: str, code: "pb.RefusalCode.ValueType", reason: str) -> None:
        """Refuse without remembering it; silently (but for the log) once it becomes a flood."""
        self._overflowed += 1
        if self._overflowed > OVERFLOW_ANSWERS:
            log.warning("command %r dropped unanswered: %s (%d in a row)", command_id[:200], reason, self._overflowed)
            return
        update = pb.CommandUpdate(state=pb.COMMAND_STATE_REFUSED, refusal=code, message=reason)
        self._sink(self._stamped(command_id[:200], update))

    def _report(self, job: Job, update: pb.CommandUpdate) -> None:
        """Send one step of a command, unless its end was sent already."""
        if not job.final:
            job.last = self._stamped(job.command.id, update)
            self._sink(job.last)

    async def _end(self, job: Job, update: pb.CommandUpdate) -> None:
        """Send the last step of a command."""
        job.final = True
        job.last = self._stamped(job.command.id, update)
        await self._finish(job.last)

    async def _finish(self, update: pb.CommandUpdate) -> None:
        """Journal a final update, send it, and journal that it was sent once that is durable."""
        if not update.HasField("clocks"):
            update = self._stamped(update.command_id, update)
        await self._write(lambda: self._journal.finish(update))
        await self._report_end(update.command_id, update)

    async def _report_end(self, command_id: str, update: pb.CommandUpdate) -> None:
        """Send a final update; note that it is out when it is: a spool that refuses must hold nothing else up."""
        kept = self._sink(update)
        if kept is not None:
            self._begin(self._reported(command_id, kept))
        else:
            await self._write(lambda: self._journal.reported(command_id))

    async def _reported(self, command_id: str, kept: Awaitable[None]) -> None:
        await kept
        await self._write(lambda: self._journal.reported(command_id))

    async def _write(self, write: Callable[[], None]) -> OSError | None:
        """Write to the journal in a thread; return the error, which is logged."""
        try:
            await in_thread(write)
        except OSError as error:
            log.error("the journal of commands cannot be written: %s", error)  # noqa: TRY400  expected of a full disk
            return error
        return None

    def _stamped(self, command_id: str, update: pb.CommandUpdate) -> pb.CommandUpdate:
        """Add id and clocks."""
        update.command_id = command_id
        update.clocks.CopyFrom(self._clock.now())
        return update


def _digest(command: pb.Command) -> str:
    """Return what tells one command from another with the same id."""
    return hashlib.sha256(canonical(command)).hexdigest()


def _no_journal(error: OSError) -> ActionRefused:
    """Return the refusal when nothing can be written ahead."""
    return ActionRefused(pb.REFUSAL_CODE_UNSPECIFIED, f"the journal cannot be written, so nothing may begin: {error}")
