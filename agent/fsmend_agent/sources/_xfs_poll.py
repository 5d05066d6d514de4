"""Poll the health of one XFS in bounded portions, and say what changed.

Measured on 6.18: neither the masks of FSGEOMETRY nor the group bit `inodes` tell of a sick inode in the cache, so there
is no summary to ask first. So every look asks for the masks of the filesystem and of the next groups in turn, and
inodes are walked (bulkstat) only after a sign of trouble: a poke, or a group that became sick.

A bit that is clear means healthy only when it was checked: an inode that leaves the cache forgets that it was sick.
"""

import errno
import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Lock
from typing import NamedTuple

from fsmend_agent.kernel import handles, xfs
from fsmend_agent.kernel.xfs_health import HealthDomain
from fsmend_agent.sources._paths import below

GROUPS_PER_LOOK = 128
"""AG_GEOMETRY reads the group's headers, from disk when they are not cached."""

BATCHES_PER_LOOK = 4
INODES_PER_BATCH = 1024
"""Bulkstat reads inodes from disk; four batches a look are some 4,000 inodes, mostly read in sequence."""

MAX_SICK_INODES = 1024
MAX_UNREAD = 256
"""So many numbers in a row are stepped over where bulkstat refuses: more is no inode but the inode btree."""

# EFSCORRUPTED and EFSBADCRC (fs/xfs/xfs_platform.h): bulkstat ends before an inode that does not load, and a call that
# begins at it is refused (measured on 6.18).
_DOES_NOT_LOAD = frozenset({errno.EUCLEAN, errno.EBADMSG})
_FILEID_INO64_GEN = 0x81
_HANDLE = struct.Struct("=QI")


class Place(NamedTuple):
    """What a mask is about; `number` is that of a group or an inode."""

    domain: HealthDomain
    number: int


class Change(NamedTuple):
    """Bits of one place that changed."""

    place: Place
    sick: int
    checked: int
    became_sick: int
    became_healthy: int
    generation: int = 0
    path: bytes = b""


@dataclass(slots=True)
class Poll:
    """What is known of one mounted XFS. Nothing here outlives the mount: neither does it in the kernel.

    Attributes:
        sick: masks of the places that are not healthy.
        next_group: where the next look goes on.
        next_inode: where the walk over the inodes goes on; None while none is wanted.
        unread: numbers in a row that the walk stepped over, because nothing loads there.
        walk_again: trouble came during the walk, perhaps behind it.
        lock: held by whoever reads or compares; two sources may.
    """

    sick: dict[Place, int] = field(default_factory=dict)
    next_group: int = 0
    next_inode: int | None = None
    unread: int = 0
    walk_again: bool = False
    lock: Lock = field(default_factory=Lock, repr=False, compare=False)

    def want_inodes(self) -> None:
        """Ask for a walk over all inodes."""
        if self.next_inode is None:
            self.next_inode = 0
        else:
            self.walk_again = self.walk_again or self.next_inode > 0

    def compare(self, place: Place, sick: int, checked: int) -> Change | None:
        """Remember a reading; return what changed."""
        known = self.sick.get(place, 0)
        became_sick = sick & ~known
        became_healthy = known & ~sick & checked
        # Bits that are clear and unchecked were forgotten by the kernel; here they stay sick until proven healthy.
        kept = (known | sick) & ~became_healthy
        if kept:
            self.sick[place] = kept
        else:
            self.sick.pop(place, None)
        if became_sick or became_healthy:
            return Change(place, sick, checked, became_sick, became_healthy)
        return None

    def look(self, fd: int, mount_point: bytes, *, everything: bool = False) -> Iterator[Change]:
        """Ask through a descriptor on the filesystem and yield what changed. Blocks; use a thread.

        Args:
            fd: on the filesystem.
            mount_point: that it was opened by.
            everything: all groups at once, since there was an error.
        """
        geometry = xfs.geometry(fd)
        yield from self._compared(Place(HealthDomain.FS, 0), geometry.sick, geometry.checked)
        yield from self._look_at_groups(fd, geometry, everything=everything)
        yield from self._look_at_sick_inodes(fd)
        yield from self._walk(fd, mount_point)

    def _compared(self, place: Place, sick: int, checked: int) -> Iterator[Change]:
        change = self.compare(place, sick, checked)
        if change is not None:
            if change.became_sick and place.domain is HealthDomain.AG:
                self.want_inodes()
            yield change

    def _look_at_groups(self, fd: int, geometry: xfs.Geometry, *, everything: bool) -> Iterator[Change]:
        """Look at the next groups in turn: allocation groups, behind them the realtime groups."""
        total = geometry.ag_count + geometry.rtgroup_count
        for _ in range(total if everything else min(total, GROUPS_PER_LOOK)):
            number, self.next_group = self.next_group % total, (self.next_group + 1) % total
            # EIO, EUCLEAN, EBADMSG: the group's own headers do not read; its sick bits stand at the next look.
            with suppress(OSError):
                if number < geometry.ag_count:
                    group = xfs.ag_geometry(fd, number)
                    yield from self._compared(Place(HealthDomain.AG, number), group.sick, group.checked)
                else:
                    number -= geometry.ag_count
                    rtgroup = xfs.rtgroup_geometry(fd, number)
                    yield from self._compared(Place(HealthDomain.RTGROUP, number), rtgroup.sick, rtgroup.checked)

    def _look_at_sick_inodes(self, fd: int) -> Iterator[Change]:
        """Look whether the inodes known to be sick are healthy again."""
        known = list(self.sick)  # at one go: the monitor adds to it meanwhile
        for place in [place for place in known if place.domain is HealthDomain.INODE]:
            for inode in (_bulkstat(fd, place.number, 1) or ([], 0))[0]:
                if inode.inode == place.number:
                    change = self.compare(place, inode.sick, inode.checked)
                    if change is not None:
                        yield change._replace(generation=inode.generation)

    def _walk(self, fd: int, mount_point: bytes) -> Iterator[Change]:
        """Go on with the walk over the inodes, for some batches."""
        for _ in range(BATCHES_PER_LOOK):
            if self.next_inode is None:
                return
            batch = _bulkstat(fd, self.next_inode, INODES_PER_BATCH)
            self.unread = 0 if batch is not None else self.unread + 1
            if batch is None and self.unread <= MAX_UNREAD:
                self.next_inode += 1
                continue
            inodes, following = batch or ([], 0)
            self.next_inode = following if inodes else None
            for inode in inodes:
                if inode.sick:
                    yield from self._sick_inode(fd, mount_point, inode)
            if self.next_inode is None and self.walk_again:
                self.next_inode, self.walk_again = 0, False

    def _sick_inode(self, fd: int, mount_point: bytes, inode: xfs.InodeHealth) -> Iterator[Change]:
        place = Place(HealthDomain.INODE, inode.inode)
        if place not in self.sick and sum(known.domain is HealthDomain.INODE for known in self.sick) >= MAX_SICK_INODES:
            return
        change = self.compare(place, inode.sick, inode.checked)
        if change is not None:
            path = path_of(fd, mount_point, inode.inode, inode.generation)
            yield change._replace(generation=inode.generation, path=path)


def _bulkstat(fd: int, start: int, count: int) -> tuple[list[xfs.InodeHealth], int] | None:
    """Return the next inodes and where to go on; None where an inode does not load."""
    try:
        return xfs.bulkstat_batch(fd, start, count)
    except OSError as error:
        if error.errno not in _DOES_NOT_LOAD:
            raise
        return None


def path_of(fd: int, mount_point: bytes, ino: int, generation: int) -> bytes:
    """Return an inode's path below the mount point; empty when it does not open."""
    try:
        return below(handles.resolve(fd, _FILEID_INO64_GEN, _HANDLE.pack(ino, generation)), mount_point)
    except OSError as error:
        if error.errno not in {errno.EPERM, errno.EACCES}:
            raise
        return b""
