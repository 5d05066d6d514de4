"""What each kernel interface tells about each filesystem, by kernel version; pure.

That an interface can be switched on is no proof that anything comes out of it: a fanotify mark on XFS or btrfs
succeeds on Linux 6.18, which never reports there. So these facts are kept by version, and `fsmend-agent probe` shows
them beside what was tried.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

Version = tuple[int, int, int]

HEALTH_MONITOR: Version = (7, 0, 0)
"""Linux with XFS_IOC_HEALTH_MONITOR, and with XFS and iomap errors in fanotify."""

FANOTIFY_BTRFS: Version = (7, 1, 0)

_EXT = frozenset({"ext2", "ext3", "ext4"})  # one driver


@dataclass(frozen=True, slots=True)
class Fact:
    """Whether something becomes visible, and what exactly or why not."""

    name: str
    available: bool
    reason: str


def kernel_version(release: str) -> Version:
    """Return the version in `uname -r`; zeros for what is not there."""
    found = re.match(r"(\d+)(?:\.(\d+))?(?:\.(\d+))?", release)
    first, second, third = (int(number or 0) for number in found.groups()) if found else (0, 0, 0)
    return first, second, third


def facts(fs_type: str, version: Version, features: frozenset[str] = frozenset()) -> Iterator[Fact]:
    """Yield what is seen of a filesystem through each interface, then what stays blind.

    Args:
        fs_type: as the mount table says.
        version: of the kernel.
        features: as in the inventory: rmapbt, metadata_csum …
    """
    yield _fanotify(fs_type, version)
    yield Fact("source.kmsg", True, "lines of the kernel log: detail, rate limited by the kernel, so no counts")
    yield _trace(fs_type)
    if fs_type in _EXT:
        yield Fact("source.ext4_stats", True, "counters in the superblock, also of errors from before the agent")
    if fs_type == "btrfs":
        yield Fact("source.btrfs_stats", True, "write, read, flush, corruption and generation errors of each device")
    if fs_type == "xfs":
        yield _xfs_health(version)
    yield from _blind(fs_type, features)


def _fanotify(fs_type: str, version: Version) -> Fact:
    """Say what FAN_FS_ERROR reports there."""
    if fs_type in _EXT:
        shutdown = "also shutdowns" if version >= HEALTH_MONITOR else "no shutdowns before Linux 7.0"
        return Fact("source.fanotify", True, f"metadata errors and aborts, with the inode; {shutdown}")
    if fs_type == "xfs":
        if version >= HEALTH_MONITOR:
            return Fact("source.fanotify", True, "metadata found sick or corrupt, shutdowns, file I/O errors")
        return Fact("source.fanotify", False, "a mark succeeds, but XFS reports nothing before Linux 7.0")
    if fs_type in {"btrfs", "f2fs"}:
        if version >= FANOTIFY_BTRFS:
            return Fact("source.fanotify", True, "emergency shutdown and failed writes; no checksum errors")
        return Fact("source.fanotify", False, f"a mark succeeds, but {fs_type} reports nothing before Linux 7.1")
    return Fact("source.fanotify", False, f"{fs_type} is not known to report anything")


def _trace(fs_type: str) -> Fact:
    """Say what the tracefs events show there."""
    own = "every error of ext4 with function and line; " if fs_type in _EXT else ""
    return Fact("source.trace", True, f"{own}every failed request of the devices below, with its sectors")


def _xfs_health(version: Version) -> Fact:
    """Say how XFS health is read."""
    if version >= HEALTH_MONITOR:
        return Fact("source.xfs_health", True, "reported by the kernel as it happens")
    return Fact("source.xfs_health", True, "polled: what the kernel met since the mount, seconds late")


def _blind(fs_type: str, features: frozenset[str]) -> Iterator[Fact]:
    """Yield what nothing shows."""
    if fs_type != "btrfs":
        yield Fact("blind.file_data", False, f"{fs_type} has no checksums of file data: silent corruption stays unseen")
    if fs_type in _EXT:  # seen on 6.18; the buffered writes of ext4 do not go through iomap, which reports since 7.0
        reason = "a failed writeback of file data shows only in the kernel log and the block layer"
        yield Fact("blind.writeback", False, reason)
    if fs_type in _EXT and features and "metadata_csum" not in features:
        yield Fact(
            "blind.metadata", False, "made without metadata_csum: corrupt metadata shows only where it is absurd"
        )
    if fs_type == "xfs" and features and "crc" not in features:
        yield Fact("blind.metadata", False, "XFS version 4: metadata has no checksums")
    if fs_type == "xfs" and features and "rmapbt" not in features:
        yield Fact("blind.rmapbt", False, "made without rmapbt: most btrees cannot be rebuilt while mounted")
