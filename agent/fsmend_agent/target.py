"""Open a command's target, and prove that it is the filesystem that the command means.

Between the moment a command is checked and the moment its action begins, a filesystem may be unmounted and its mount
point or its device taken by another. So the last look is through the descriptor that the action then works with: as
long as it is open, the filesystem cannot go away.
"""

import errno
import os
from typing import TYPE_CHECKING

from fsmend_agent import superblock
from fsmend_agent.errors import ActionRefused, DecodeError
from fsmend_agent.filesystems import open_mount
from fsmend_agent.kernel import btrfs, mounts, syscall
from fsmend_agent.kernel.filesystem import fs_uuid
from fsmend_proto.v1 import command_pb2 as pb

if TYPE_CHECKING:
    from uuid import UUID

    from fsmend_agent.filesystems import MountedFilesystem


def open_proven(filesystem: "MountedFilesystem") -> int:
    """Return a descriptor on `filesystem`; a writable mount is preferred. Blocks. The caller closes it.

    Raises:
        ActionRefused: NOT_MOUNTED, or TARGET_CHANGED when another filesystem has its place.
    """
    table = mount_table()
    same = [mount for mount in table if _is_of(mount, filesystem)]
    taken = [mount.mount_point for mount in table if mount.mount_point in filesystem.mount_points]
    if not same and taken:
        raise _changed(filesystem, f"{_text(taken[0])} now holds another filesystem")
    problem = "it was unmounted meanwhile"
    for mount in sorted(same, key=lambda mount: mount.read_only):
        try:
            fd = open_mount(mount.mount_point, mount.mount_id)
        except OSError as error:
            if error.errno == errno.EIO and filesystem.type == "xfs":
                # XFS opens no directory any more once it has shut down (seen on 6.12).
                raise ActionRefused(pb.REFUSAL_CODE_SHUT_DOWN, "the filesystem has shut down: EIO") from error
            problem = f"{_text(mount.mount_point)}: {error.strerror}"
            continue
        if fd is not None:
            return _prove(fd, filesystem)
        problem = f"{_text(mount.mount_point)} lies under another mount"
    raise ActionRefused(pb.REFUSAL_CODE_NOT_MOUNTED, f"filesystem {filesystem.uuid} cannot be reached: {problem}")


def mount_table() -> list[mounts.Mount]:
    """Return the mounts that this process sees, without the lines that are none."""
    found = []
    try:
        for mount in mounts.decode(mounts.MOUNTINFO.read_bytes()):
            found.append(mount)  # noqa: PERF402  the good lines stay when the generator raises
    except DecodeError:
        pass
    return found


def mounts_of(filesystem: "MountedFilesystem") -> list[mounts.Mount]:
    """Return the mounts of the filesystem's superblock, as they are now."""
    return [mount for mount in mount_table() if _is_of(mount, filesystem)]


def _is_of(mount: mounts.Mount, filesystem: "MountedFilesystem") -> bool:
    """Tell whether a mount is one of this superblock's, as far as the mount table tells."""
    return (mount.major, mount.minor, mount.fs_type) == (filesystem.major, filesystem.minor, filesystem.type)


def _prove(fd: int, filesystem: "MountedFilesystem") -> int:
    """Return `fd` when the filesystem behind it has the right UUID; close it otherwise.

    Raises:
        ActionRefused: it is another one, or does not say.
    """
    found = _uuid_behind(fd, filesystem)
    if found != filesystem.uuid:
        os.close(fd)
        raise _changed(filesystem, f"there is {found or 'a filesystem that does not tell its UUID'} in its place")
    return fd


def _uuid_behind(fd: int, filesystem: "MountedFilesystem") -> str:
    """Return the UUID of the filesystem that `fd` lies on; empty when nothing proves one."""
    try:
        uuid: UUID | None = btrfs.fs_info(fd).uuid if filesystem.type == "btrfs" else fs_uuid(fd)
        return str(uuid) if uuid else ""
    except OSError as error:
        if error.errno not in {errno.ENOTTY, errno.EOPNOTSUPP} or filesystem.type == "btrfs":
            return ""
    # Before Linux 6.9: the superblock on the very device that the descriptor lies on.
    device = os.fstat(fd).st_dev
    if (os.major(device), os.minor(device)) != (filesystem.major, filesystem.minor) or not filesystem.device_names:
        return ""
    return superblock.read_uuid(filesystem.type, filesystem.device_names[0])


def is_read_only(fd: int) -> bool:
    """Tell whether writes through `fd` are refused, by the mount or by the filesystem. See statvfs(3), ST_RDONLY."""
    return bool(os.fstatvfs(fd).f_flag & syscall.MS_RDONLY)


def _text(path: bytes) -> str:
    """Return a path for a message."""
    return path.decode("utf-8", "backslashreplace")


def _changed(filesystem: "MountedFilesystem", reason: str) -> ActionRefused:
    """Return the refusal for a target that is not the one meant."""
    return ActionRefused(pb.REFUSAL_CODE_TARGET_CHANGED, f"filesystem {filesystem.uuid}: {reason}")
