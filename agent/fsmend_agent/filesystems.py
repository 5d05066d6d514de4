"""The filesystems mounted on this host, followed as mounts come and go."""

# The public shape others build on; see tests/agent/test_filesystems.py.
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from fsmend_proto.v1 import event_pb2


@dataclass(frozen=True, slots=True)
class MountedFilesystem:
    """One filesystem, whatever the number of its mounts.

    `uuid` is canonical lower case; `fsid` is statfs f_fsid as 16 hex digits; `device_names` has more than one entry for
    a btrfs of several devices (in devid order); `mount_points` are bytes because nothing makes them UTF-8.
    """

    uuid: str
    type: str
    fsid: str
    major: int
    minor: int
    device_names: tuple[str, ...]
    mount_points: tuple[bytes, ...]
    read_only: bool
    options: str

    def ref(self) -> event_pb2.FilesystemRef:
        """Name it in an event."""
        return event_pb2.FilesystemRef(
            uuid=self.uuid,
            type=self.type,
            fsid=self.fsid,
            mount_point=self.mount_points[0] if self.mount_points else b"",
            device_name=self.device_names[0] if self.device_names else "",
        )


Listener = Callable[[frozenset[MountedFilesystem], frozenset[MountedFilesystem]], None]


class FilesystemTable:
    """Look-ups over the mounted filesystems; refreshed by `follow`."""

    def __init__(self, filesystems: Iterable[MountedFilesystem] = ()) -> None:
        self._all = frozenset(filesystems)
        self._listeners: list[Listener] = []
