"""Check the metadata of a mounted XFS: the pieces that the command names, or the whole filesystem. Changes nothing."""

from typing import TYPE_CHECKING

from fsmend_agent.actions import Action, Order
from fsmend_agent.xfs.capability import can
from fsmend_agent.xfs.work import XfsWork
from fsmend_proto.v1 import command_pb2 as pb
from fsmend_proto.v1 import inventory_pb2

if TYPE_CHECKING:
    from fsmend_agent.filesystems import MountedFilesystem


class ScrubXfs(Action):
    """XFS_IOC_SCRUB_METADATA for each piece; the whole piece by piece, so that it can go on where it was stopped."""

    name = "scrub_xfs"
    action_class = pb.ACTION_CLASS_CHECK
    idempotent = True
    timeout_seconds = 7 * 86_400.0

    def __init__(self, order: Order) -> None:
        super().__init__(order)
        message = order.command.scrub_xfs
        self._work = XfsWork(order, message.items, repair=False, resume=message.resume)

    @classmethod
    def probe(cls, filesystem: "MountedFilesystem") -> inventory_pb2.Capability:
        """Ask the kernel whether scrub is built in."""
        available, reason = can(filesystem, repair=False)
        return inventory_pb2.Capability(
            name=f"action.{cls.name}", available=available, reason=reason, filesystem_uuid=filesystem.uuid
        )

    def intention(self) -> str:
        """Say what would be checked."""
        return self._work.intention()

    def check(self) -> None:
        """Refuse on another type, a kernel without scrub, a filesystem that shut down or does not want it."""
        self._work.check()

    def read_health(self) -> pb.HealthReading:
        """Read the masks of what is checked."""
        return self._work.read()

    def run(self) -> pb.CommandResult:
        """Check it."""
        return self._work.run()
