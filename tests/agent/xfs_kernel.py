"""A kernel that scrubs XFS, pretended: what is corrupt, what it can mend, and every call that it took."""

import errno
import itertools
import threading
from dataclasses import dataclass, field, replace
from uuid import UUID

from fsmend_agent.actions import Order
from fsmend_agent.event import Clock
from fsmend_agent.filesystems import MountedFilesystem
from fsmend_agent.kernel import xfs, xfs_scrub
from fsmend_agent.kernel.xfs import AgGeometry, Geometry, InodeChunk, InodeHealth, ScrubSupport
from fsmend_agent.kernel.xfs_health import HealthDomain, ScrubFlag, ScrubType
from fsmend_agent.kernel.xfs_scrub import Answer
from fsmend_agent.xfs import preconditions, reading
from fsmend_agent.xfs.items import Item
from fsmend_proto.v1 import command_pb2 as pb

UUID_TEXT = "0f5ac0de-1111-4222-8333-000000000001"
FILESYSTEM = MountedFilesystem(UUID_TEXT, "xfs", "", 7, 1, ("loop1",), (b"/data",), read_only=False, options="")
ALL_FEATURES = 1 << 19 | 1 << 24 | 1 << 25
NONE = ScrubFlag(0)


@dataclass
class Kernel:
    """`corrupt` holds what is wrong; `errnos` what a repair of it answers instead of mending, once or for ever."""

    corrupt: set = field(default_factory=set)
    errnos: dict = field(default_factory=dict)
    once: dict = field(default_factory=dict)
    needs: dict = field(default_factory=dict)
    absent: set = field(default_factory=set)
    sick: set = field(default_factory=set)
    vectors: bool = True
    support: ScrubSupport | int = ScrubSupport.REPAIR
    features: int = ALL_FEATURES
    generations: dict = field(default_factory=dict)
    unloadable: set = field(default_factory=set)
    unlisted_groups: set = field(default_factory=set)
    calls: list = field(default_factory=list)
    kept: list = field(default_factory=list)

    def scrub_one(self, _fd, scrub_type, *, repair=False, inode=0, generation=0, group=0):
        item = Item(scrub_type, group=group, inode=inode)
        self.calls.append((item, repair, generation))
        self.sick.discard(item)
        if item in self.absent:
            return Answer(scrub_type, NONE, errno.ENOENT)
        if item in self.once:
            return Answer(scrub_type, NONE, self.once.pop(item))
        if item not in self.corrupt:
            return Answer(scrub_type, ScrubFlag.NO_REPAIR_NEEDED if repair else NONE, 0)
        self.sick.add(item)
        if not repair:
            return Answer(scrub_type, ScrubFlag.CORRUPT, 0)
        return self._mend(item)

    def _mend(self, item):
        scrub_type = item.scrub_type
        if item in self.errnos:
            return Answer(scrub_type, NONE, self.errnos[item])
        if self.needs.get(item) in self.corrupt:
            return Answer(scrub_type, ScrubFlag.CORRUPT, 0)
        self.corrupt.discard(item)
        self.sick.discard(item)
        return Answer(scrub_type, NONE, 0)

    def scrub_vector(self, fd, types, *, repair=False, rest_us=0, **where):
        if not self.vectors:
            raise OSError(errno.ENOTTY, "no vectors")
        return [self.scrub_one(fd, one, repair=repair, **where) for one in types]

    def scrub_support(self, _fd, _path=None):
        if isinstance(self.support, int):
            raise OSError(self.support, "probe")
        return self.support

    def mask(self, domain, number):
        own = {one for one in self.sick if one.domain is domain and number in {one.group, one.inode}}
        return sum({one.mask for one in own})

    def geometry(self, _fd, _path=None):
        sick = self.mask(HealthDomain.FS, 0)
        return Geometry(UUID(UUID_TEXT), 4096, 512, 512, 4, 100, 400, 10, 0, 0, 0, self.features, sick, sick)

    def ag_geometry(self, _fd, number, _path=None):
        return AgGeometry(number, 100, 10, 10, 1, self.mask(HealthDomain.AG, number), 0)

    def inode_health(self, _fd, inode):
        if inode not in self.generations:
            return None
        return InodeHealth(inode, self.generations[inode], self.mask(HealthDomain.INODE, inode), 0, 0o100644)

    def inumbers_batch(self, _fd, group, start, count):
        if group in self.unlisted_groups:
            raise OSError(errno.EUCLEAN, "inobt")
        used = {one for one in {*self.generations, *self.unloadable} if one >> 10 == group and one // 64 * 64 >= start}
        firsts = sorted({one // 64 * 64 for one in used})[:count]
        chunks = [InodeChunk(one, sum(1 << inode - one for inode in used if one <= inode < one + 64)) for one in firsts]
        return chunks, firsts[-1] + 64 if firsts else start

    def bulkstat_batch(self, _fd, start, count=1, _path=None, *, flags=0):
        """As Linux 6.18: a call ends before an inode that does not load, and one that begins there is refused."""
        used = sorted(one for one in {*self.generations, *self.unloadable} if one >= start)[:count]
        loadable = list(itertools.takewhile(lambda one: one not in self.unloadable, used))
        if used and not loadable:
            raise OSError(errno.EUCLEAN, "bulkstat")
        following = (loadable or [start])[-1] + 1
        return [InodeHealth(one, self.generations[one], 0, 0, 0o100644) for one in loadable], following

    def install(self, monkeypatch):
        """Put it in the place of the real one."""
        for name in ("scrub_one", "scrub_vector"):
            monkeypatch.setattr(xfs_scrub, name, getattr(self, name))
        for name in ("scrub_support", "geometry", "ag_geometry", "inumbers_batch", "bulkstat_batch"):
            monkeypatch.setattr(xfs, name, getattr(self, name))
        monkeypatch.setattr(reading, "inode_health", self.inode_health)
        monkeypatch.setattr("fsmend_agent.xfs.targeted.inode_health", self.inode_health)
        monkeypatch.setattr("fsmend_agent.xfs.targeted.be_polite", lambda: None)
        monkeypatch.setattr("fsmend_agent.xfs.work.be_polite", lambda: None)
        monkeypatch.setattr("fsmend_agent.kernel.syscall.syncfs", self.kept.append)
        monkeypatch.setattr(reading, "is_read_only", lambda _fd: False)
        monkeypatch.setattr(preconditions, "is_read_only", lambda _fd: False)
        monkeypatch.setattr(preconditions, "mounts_of", lambda _filesystem: [])
        return self


class StopAfter(list):
    """The kernel's calls; the last of so many asks to stop."""

    def __init__(self, limit, cancelled):
        super().__init__()
        self._limit, self._cancelled = limit, cancelled

    def append(self, call):
        super().append(call)
        if len(self) == self._limit:
            self._cancelled.set()


def order(reports=None, filesystem=FILESYSTEM, fd=0, **action):
    """Make an order as the executor gives it; progress goes into `reports`."""
    command = pb.Command(id="c1", **action)
    report = (lambda _progress: None) if reports is None else (lambda one: reports.append(replace_progress(one)))
    return Order(command, filesystem, Clock(), report, threading.Event(), fd)


def replace_progress(progress):
    copy = pb.Progress()
    copy.CopyFrom(progress)
    return copy


def item(scrub_type, **where):
    return pb.XfsScrubItem(type=scrub_type, **where)


__all__ = ["FILESYSTEM", "Item", "Kernel", "ScrubType", "StopAfter", "item", "order", "replace"]
