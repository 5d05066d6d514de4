"""Repair the metadata of a mounted XFS: the pieces that are sick, then the whole, and say when only offline helps."""

from typing import TYPE_CHECKING

from fsmend_agent.actions import Action, Order
from fsmend_agent.xfs.capability import can
from fsmend_agent.xfs.work import XfsWork
from fsmend_proto.v1 import command_pb2 as pb
from fsmend_proto.v1 import inventory_pb2

if TYPE_CHECKING:
    from fsmend_agent.filesystems import MountedFilesystem


class RepairXfs(Action):
    """XFS_IOC_SCRUB_METADATA with repair for each piece; xfs_scrub when that does not suffice.

    The calendar's repair of the whole goes piece by piece, so that it can go on where it was stopped.
    """

    name = "repair_xfs"
    action_class = pb.ACTION_CLASS_REPAIR
    idempotent = False
    timeout_seconds = 86_400.0

    def __init__(self, order: Order) -> None:
        super().__init__(order)
        message = order.command.repair_xfs
        resume = message.resume if message.HasField("resume") else None
        self._work = XfsWork(order, message.items, repair=True, targeted_only=message.targeted_only, resume=resume)

    @classmethod
    def probe(cls, filesystem: "MountedFilesystem") -> inventory_pb2.Capability:
        """Ask the kernel whether repair is built in, and look what the filesystem lacks for it."""
        available, reason = can(filesystem, repair=True)
        return inventory_pb2.Capability(
            name=f"action.{cls.name}", available=available, reason=reason, filesystem_uuid=filesystem.uuid
        )

    def intention(self) -> str:
        """Say what would be repaired."""
        return self._work.intention()

    def check(self) -> None:
        """Refuse where it cannot be repaired, or where somebody else repairs."""
        self._work.check()

    def read_health(self) -> pb.HealthReading:
        """Read the masks of what is repaired."""
        return self._work.read()

    def run(self) -> pb.CommandResult:
        """Repair it."""
        return self._work.run()
