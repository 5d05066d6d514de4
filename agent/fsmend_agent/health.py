"""Read what a mounted filesystem itself says of its health: its error counters and what it calls sick."""

from typing import TYPE_CHECKING

from fsmend_agent.kernel import btrfs, ext4, xfs, xfs_health
from fsmend_agent.target import is_read_only
from fsmend_proto.v1 import command_pb2 as pb

if TYPE_CHECKING:
    from fsmend_agent.event import Clock
    from fsmend_agent.filesystems import MountedFilesystem

BTRFS_COUNTERS = ("write", "read", "flush", "corruption", "generation")


def read_health(fd: int, filesystem: "MountedFilesystem", clock: "Clock") -> pb.HealthReading:
    """Read the counters of `filesystem`, on which `fd` lies. Reads nothing from a disk.

    Raises:
        OSError: the filesystem does not answer.
    """
    reading = pb.HealthReading(clocks=clock.now(), read_only=is_read_only(fd))
    if filesystem.type == "btrfs":
        _read_btrfs(fd, reading)
    elif filesystem.type == "xfs":
        # The groups' own health is not asked for: AG_GEOMETRY reads their headers from the disk.
        reading.sick.extend(xfs_health.names(xfs_health.HealthDomain.FS, xfs.geometry(fd).sick))
    elif filesystem.type == "ext4" and filesystem.device_names:
        _read_ext4(filesystem.device_names[0], reading)
    return reading


def _read_btrfs(fd: int, reading: pb.HealthReading) -> None:
    """Read the counters of every device."""
    for device in btrfs.devices(fd):
        stats = btrfs.device_stats(fd, device.device_id)
        for name in BTRFS_COUNTERS:
            reading.counters[f"devid {device.device_id} {name}_errors"] = getattr(stats, f"{name}_errors")
        if not device.path:
            reading.sick.append(f"devid {device.device_id} missing")


def _read_ext4(device: str, reading: pb.HealthReading) -> None:
    """Read the superblock's counters; files that this kernel lacks are left out."""
    counters = ext4.error_counters(device)
    for name in ("errors_count", "warning_count", "msg_count"):
        value = getattr(counters, name)
        if value is not None:
            reading.counters[name] = value
