"""An executor over this machine's real mounts, and what it reported."""

import asyncio
import uuid

from fsmend_agent.actions import discover
from fsmend_agent.event import Clock
from fsmend_agent.executor import Executor
from fsmend_agent.filesystems import FilesystemTable, read_mounted
from fsmend_agent.journal import Journal
from fsmend_agent.policy import Policy, Rule
from fsmend_proto.v1 import command_pb2 as pb

CLASSES = (1, 2, 3, 4, 5)
FINAL = {
    pb.COMMAND_STATE_SUCCEEDED,
    pb.COMMAND_STATE_FAILED,
    pb.COMMAND_STATE_REFUSED,
    pb.COMMAND_STATE_TIMED_OUT,
    pb.COMMAND_STATE_CANCELLED,
    pb.COMMAND_STATE_EXPIRED,
    pb.COMMAND_STATE_UNKNOWN,
}


class Host:
    """Everything allowed, everything reported kept in `updates`."""

    def __init__(self, folder, *mount_points, policy=None):
        self.updates = []
        self.clock = Clock()
        allowed = policy or Policy(classes=dict.fromkeys(CLASSES, Rule.ALLOW))
        self.table = FilesystemTable(read_mounted([bytes(path) for path in mount_points]))
        self.journal = Journal(folder / "journal")
        self.executor = Executor(discover(), lambda: allowed, self.table, self.journal, self.clock, self.updates.append)

    def command(self, mount_point, **action):
        """Make a command for what is mounted there."""
        filesystem = self.table.by_mount_point(bytes(mount_point))
        command = pb.Command(id=str(uuid.uuid4()), time_to_live_seconds=60, **action)
        command.target.filesystem_uuid = filesystem.uuid
        command.target.filesystem_type = filesystem.type
        return command

    def of(self, command):
        return [update for update in self.updates if update.command_id == command.id]

    async def until(self, command, condition, seconds=60.0):
        """Return the first update of `command` for which `condition` holds."""
        async with asyncio.timeout(seconds):
            while True:
                for update in self.of(command):
                    if condition(update):
                        return update
                await asyncio.sleep(0.01)

    async def end_of(self, command, seconds=60.0):
        return await self.until(command, lambda update: update.state in FINAL, seconds)

    async def run(self, command, seconds=60.0):
        self.executor.submit(command)
        return await self.end_of(command, seconds)
