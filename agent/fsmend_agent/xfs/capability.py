"""Say whether the metadata of a mounted XFS could be checked or repaired here, without changing anything."""

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from fsmend_agent.coverage import HEALTH_MONITOR, kernel_version
from fsmend_agent.filesystems import open_mounted
from fsmend_agent.kernel import xfs
from fsmend_agent.kernel.xfs import ScrubSupport
from fsmend_agent.xfs import neighbours, whole
from fsmend_agent.xfs.autofsck import Autofsck, read_autofsck
from fsmend_agent.xfs.preconditions import NOT_BUILT_IN, REPAIR_NOT_BUILT_IN

if TYPE_CHECKING:
    from fsmend_agent.filesystems import MountedFilesystem

_RMAPBT, _EXCHANGE, _PARENT = 1 << 19, 1 << 24, 1 << 25  # XFS_FSOP_GEOM_FLAGS_*


def can(filesystem: "MountedFilesystem", *, repair: bool) -> tuple[bool, str]:
    """Return whether it could, and what limits it or why not.

    Raises:
        OSError: the filesystem does not answer.
    """
    if filesystem.type != "xfs":
        return False, f"{filesystem.type} has no scrub of this kind"
    fd = open_mounted(filesystem)
    try:
        support, features, word = xfs.scrub_support(fd), xfs.geometry(fd).flags, _property(fd)
    finally:
        os.close(fd)
    if support is ScrubSupport.NONE:
        return False, NOT_BUILT_IN
    if not (word.allows_repair if repair else word.allows_check):
        return False, f"the filesystem's property autofsck={word.value} does not allow it"
    if not repair:
        return True, ""
    if filesystem.read_only or support is not ScrubSupport.REPAIR:
        return False, "mounted read-only: can only be checked" if filesystem.read_only else REPAIR_NOT_BUILT_IN
    return True, "; ".join([*_limits(features), *_limits_of_program()])


def facts(filesystem: "MountedFilesystem") -> Iterator[tuple[str, bool, str]]:
    """Yield what the kernel and the format of an XFS have for repair: name, whether it is there, and for what.

    Raises:
        OSError: the filesystem does not answer.
    """
    fd = open_mounted(filesystem)
    try:
        support, features, word = xfs.scrub_support(fd), xfs.geometry(fd).flags, _property(fd)
        healers = set(neighbours.working_on(os.fstat(fd).st_dev, filesystem.mount_points))
    finally:
        os.close(fd)
    has_monitor = kernel_version(os.uname().release) >= HEALTH_MONITOR
    healed = neighbours.HEALER in healers
    yield "xfs.scrub", support is not ScrubSupport.NONE, "" if support is not ScrubSupport.NONE else NOT_BUILT_IN
    # A read-only mount denies repair whatever the kernel has.
    repairs = support is ScrubSupport.REPAIR
    lacking = "not while read-only" if filesystem.read_only else REPAIR_NOT_BUILT_IN
    yield "xfs.repair", repairs, "" if repairs else lacking
    yield "xfs.rmapbt", bool(features & _RMAPBT), "reverse mapping: to rebuild btrees, headers and inodes"
    yield "xfs.exchange", bool(features & _EXCHANGE), "exchange-range: to rebuild directories, attributes and symlinks"
    yield "xfs.parent", bool(features & _PARENT), "parent pointers: to find names of lost files again"
    yield "xfs.health_monitor", has_monitor, "the kernel tells by itself" if has_monitor else "needs Linux 7.0"
    yield (
        "xfs.healer",
        healed,
        "xfs_healer has it: repairs are left to it" if healed else "xfs_healer does not run on it",
    )
    yield "xfs.autofsck", word.allows_repair, f"the filesystem's own property: {word.value}"


def _property(fd: int) -> Autofsck:
    """Return the property; one that cannot be read counts as unset, as when the command comes."""
    try:
        return read_autofsck(fd)
    except OSError:
        return Autofsck.UNSET


def _limits(features: int) -> list[str]:
    """Name what cannot be repaired on a filesystem with these features."""
    found = []
    if not features & _RMAPBT:
        found.append("without rmapbt: only counters and link counts, everything else offline")
    elif not features & _EXCHANGE:
        found.append("without exchange-range: no directories, extended attributes and symlinks")
    if not features & _PARENT:
        found.append("without parent pointers: names of lost files cannot be found again")
    return found


def _limits_of_program() -> list[str]:
    """Say what cannot be done without xfs_scrub(8)."""
    return [] if os.access(whole.PROGRAM, os.X_OK) else ["pieces only: xfs_scrub(8) is not installed"]
