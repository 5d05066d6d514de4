"""Read the health of an XFS and of the parts that a command names: masks of filesystem, groups and inodes."""

import os
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

from fsmend_agent.kernel import xfs
from fsmend_agent.kernel.xfs_health import HealthDomain, names
from fsmend_agent.target import is_read_only
from fsmend_agent.xfs.items import Item
from fsmend_proto.v1 import command_pb2 as pb

if TYPE_CHECKING:
    from fsmend_agent.event import Clock

GROUPS_LIMIT = 1024
"""A reading asks for at most so many groups: AG_GEOMETRY reads their headers from disk when they are not cached."""


def read_parts(fd: int, items: Iterable[Item], clock: "Clock", *, all_groups: bool = False) -> pb.HealthReading:
    """Return what is sick in the filesystem's own mask and in those of the items' groups and inodes. Blocks.

    Args:
        fd: on the filesystem.
        items: what the command is about.
        clock: stamps the reading.
        all_groups: ask for every group, up to GROUPS_LIMIT.

    Raises:
        OSError: the filesystem does not answer. A group or inode that does not load counts as sick.
    """
    geometry = xfs.geometry(fd)
    reading = pb.HealthReading(clocks=clock.now(), read_only=is_read_only(fd))
    reading.sick.extend(names(HealthDomain.FS, geometry.sick))
    items = list(items)
    wanted = {one.group for one in items if one.domain is HealthDomain.AG}
    if all_groups:
        wanted |= set(range(min(geometry.ag_count, GROUPS_LIMIT)))
    for number in sorted(wanted):
        reading.sick.extend(_sick_in_group(fd, number))
    for number in sorted({one.group for one in items if one.domain is HealthDomain.RTGROUP}):
        with suppress(OSError):
            mask = xfs.rtgroup_geometry(fd, number).sick
            reading.sick.extend(f"rtgroup {number} {name}" for name in names(HealthDomain.RTGROUP, mask))
    for inode in sorted({one.inode for one in items if one.domain is HealthDomain.INODE}):
        reading.sick.extend(_sick_in_inode(fd, inode))
    return reading


def _sick_in_group(fd: int, number: int) -> list[str]:
    """Name what is sick in an allocation group."""
    try:
        mask = xfs.ag_geometry(fd, number).sick
    except OSError as error:
        return [f"ag {number} ({os.strerror(error.errno or 0)})"]
    return [f"ag {number} {name}" for name in names(HealthDomain.AG, mask)]


def _sick_in_inode(fd: int, inode: int) -> list[str]:
    """Name what is sick in an inode."""
    known = inode_health(fd, inode)
    if known is None:
        return [f"inode {inode} (does not load)"]
    return [f"inode {inode} {name}" for name in names(HealthDomain.INODE, known.sick)]


def inode_health(fd: int, inode: int) -> xfs.InodeHealth | None:
    """Return what bulkstat says of an inode; None when it does not load or is free."""
    with suppress(OSError):
        inodes, _next = xfs.bulkstat_batch(fd, inode, 1)
        if inodes and inodes[0].inode == inode:
            return inodes[0]
    return None
