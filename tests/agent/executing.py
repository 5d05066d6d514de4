"""An executor with actions that only pretend, on filesystems that are not there."""

import asyncio
import itertools
import threading

from fsmend_agent.actions import Action, ActionStopped
from fsmend_agent.event import Clock
from fsmend_agent.executor import Executor
from fsmend_agent.filesystems import FilesystemTable, MountedFilesystem
from fsmend_agent.journal import Journal
from fsmend_agent.policy import Policy, Rule
from fsmend_proto.v1 import command_pb2 as pb

UUIDS = [f"0f5ac0de-1111-4222-8333-{number:012d}" for number in range(200)]
FILESYSTEMS = [
    MountedFilesystem(uuid, "btrfs", "", 0, number, (f"sd{number}",), (b"/%d" % number,), read_only=False, options="")
    for number, uuid in enumerate(UUIDS)
]
FINAL = {
    pb.COMMAND_STATE_SUCCEEDED,
    pb.COMMAND_STATE_FAILED,
    pb.COMMAND_STATE_REFUSED,
    pb.COMMAND_STATE_TIMED_OUT,
    pb.COMMAND_STATE_CANCELLED,
    pb.COMMAND_STATE_EXPIRED,
    pb.COMMAND_STATE_UNKNOWN,
}


class Pretend(Action):
    """Does what the test put into `behaviour`, by default nothing; counts its runs."""

    name = "scrub_btrfs"
    action_class = pb.ACTION_CLASS_REPAIR
    idempotent = False

    @classmethod
    def probe(cls, filesystem):
        raise NotImplementedError

    def check(self):
        self.checked(self.order)

    def read_health(self):
        self.ran.append(f"read {self.order.command.id}")
        return pb.HealthReading(clocks=self.order.clock.now())

    def run(self):
        self.ran.append(self.order.command.id)
        return self.behaviour(self.order) or pb.CommandResult()


def until_cancelled(order):
    """An action that obeys."""
    order.report(pb.Progress(percent=1))
    assert order.cancelled.wait(20)
    raise ActionStopped("stopped at 1 %", pb.CommandResult(scrubs=[pb.ScrubOutcome(errno=125)]))


class Bench:
    """The executor, its journal, and what it reported."""

    def __init__(self, path, behaviour=lambda order: None, checked=lambda order: None, **attributes):
        self.path = path
        self.updates = []
        self.ran = []
        self.policy = Policy(classes=dict.fromkeys(range(1, 6), Rule.ALLOW))
        self.clock = Clock("boot")
        members = {"behaviour": staticmethod(behaviour), "checked": staticmethod(checked), "ran": self.ran}
        self.action = type("Pretended", (Pretend,), members | attributes)
        self.numbers = itertools.count()
        self.kept = None
        """What tells the executor that an update is durable; None: it is at once."""
        self.start()

    def start(self):
        """Begin a new life of the agent with the same journal."""
        self.journal = Journal(self.path)
        self.executor = Executor(
            {"scrub_btrfs": self.action},
            lambda: self.policy,
            FilesystemTable(FILESYSTEMS),
            self.journal,
            self.clock,
            self.take,
        )

    def take(self, update):
        self.updates.append(update)
        return self.kept

    def command(self, command_id=None, **fields):
        number = next(self.numbers)
        command = pb.Command(id=command_id or f"c{number}", scrub_btrfs=pb.ScrubBtrfs(), **fields)
        if not command.not_after_wall_ns and not command.time_to_live_seconds:
            command.time_to_live_seconds = 60
        if not command.target.filesystem_uuid:
            command.target.filesystem_uuid = UUIDS[number]
        return command

    def of(self, command_id):
        return [update for update in self.updates if update.command_id == command_id]

    def states(self, command_id):
        return [pb.CommandState.Name(update.state)[14:] for update in self.of(command_id)]

    async def until(self, condition, seconds=10.0):
        async with asyncio.timeout(seconds):
            while not (answer := condition()):  # noqa: ASYNC110  anything may make it true
                await asyncio.sleep(0.005)
        return answer

    async def end_of(self, command_id, seconds=10.0):
        """Wait for the final update, and until the executor let go of the command."""
        ends = await self.until(lambda: [one for one in self.of(command_id) if one.state in FINAL], seconds)
        await self.until(lambda: command_id not in self.executor._jobs, seconds)
        return ends[0]

    async def run(self, command=None):
        command = command or self.command()
        self.executor.submit(command)
        return await self.end_of(command.id)


def threads():
    """The executor's threads that still live."""
    return [thread for thread in threading.enumerate() if thread.name == "command"]
