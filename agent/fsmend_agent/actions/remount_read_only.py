"""Turn a filesystem read-only, so that what is wrong with it cannot grow. It contains damage and repairs nothing."""

import errno
import os
from typing import TYPE_CHECKING

from fsmend_agent.actions import Action
from fsmend_agent.errors import ActionFailed
from fsmend_agent.kernel import syscall
from fsmend_agent.target import is_read_only, mounts_of
from fsmend_agent.writers import find_writers
from fsmend_proto.v1 import command_pb2 as pb
from fsmend_proto.v1 import inventory_pb2

if TYPE_CHECKING:
    from fsmend_agent.filesystems import MountedFilesystem
    from fsmend_agent.kernel.mounts import Mount

WRITERS_NAMED = 20
_READ_ONLY_OPTIONS = frozenset({b"ro", b"emergency_ro"})


class RemountReadOnly(Action):
    """Reconfigure the superblock with "ro" and nothing else: all of its mounts then refuse writes."""

    name = "remount_read_only"
    action_class = pb.ACTION_CLASS_CONTAIN
    idempotent = True
    timeout_seconds = 300.0

    @classmethod
    def probe(cls, filesystem: "MountedFilesystem") -> inventory_pb2.Capability:
        """Say that every filesystem can be remounted."""
        reason = "read-only already" if filesystem.read_only else ""
        return inventory_pb2.Capability(
            name=f"action.{cls.name}", available=True, reason=reason, filesystem_uuid=filesystem.uuid
        )

    def intention(self) -> str:
        """Say what would be remounted."""
        places = b", ".join(self.order.target.mount_points).decode("utf-8", "backslashreplace")
        return f"remount {places} read-only"

    def check(self) -> None:
        """Find nothing to refuse: to contain what is contained already does no harm."""

    def read_health(self) -> pb.HealthReading:
        """Read from the mount table whether the superblock is read-only."""
        mounts = mounts_of(self.order.target)
        reading = pb.HealthReading(clocks=self.order.clock.now())
        reading.read_only = bool(mounts) and all(_superblock_is_read_only(mount) for mount in mounts)
        reading.counters["mounts"] = len(mounts)
        return reading

    def run(self) -> pb.CommandResult:
        """Remount, and prove it by the mount table."""
        try:
            syscall.reconfigure_read_only(self.order.fd)
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
            raise ActionFailed(self._busy(), errno.EBUSY) from error
        left = [mount.mount_point for mount in mounts_of(self.order.target) if not _superblock_is_read_only(mount)]
        if left or not is_read_only(self.order.fd):
            places = b", ".join(left).decode("utf-8", "backslashreplace")
            raise ActionFailed(f"the kernel said yes, but it is still writable: {places}")
        return pb.CommandResult(verdict=pb.VERDICT_NOT_APPLICABLE)

    def _busy(self) -> str:
        """Say who writes."""
        ids = {mount.mount_id for mount in mounts_of(self.order.target)}
        found = find_writers(ids, os.fstat(self.order.fd).st_dev, WRITERS_NAMED)
        if not found.writers:
            return "files are open for writing (by whom was not found)"
        more = " and more" if found.cut else ""
        return "files are open for writing: " + "; ".join(str(writer) for writer in found.writers) + more


def _superblock_is_read_only(mount: "Mount") -> bool:
    """Tell whether the filesystem itself refuses writes, whatever this one mount does."""
    return not _READ_ONLY_OPTIONS.isdisjoint(mount.super_options)
