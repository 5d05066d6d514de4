"""Sick and checked masks become events of what changed."""

import errno
import struct
from itertools import takewhile
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsmend_agent.event import Clock
from fsmend_agent.kernel.xfs import InodeHealth
from fsmend_agent.kernel.xfs_health import HealthDomain
from fsmend_agent.sources import _xfs_poll
from fsmend_agent.sources._units import Unit
from fsmend_agent.sources._xfs_poll import Change, Place, Poll
from fsmend_agent.sources.xfs_health import XfsHealthSource, to_events
from fsmend_proto.v1 import event_pb2 as pb

FS, AG = Place(HealthDomain.FS, 0), Place(HealthDomain.AG, 3)
BNOBT, CNTBT = 1 << 4, 1 << 5
mask = st.integers(0, 2**11 - 1)


def bits(change):
    return (change.became_sick, change.became_healthy) if change else None


def test_a_bit_becomes_sick_once_and_healthy_only_when_it_was_checked():
    poll = Poll()
    assert poll.compare(AG, 0, 0) is None
    assert bits(poll.compare(AG, BNOBT, 0)) == (BNOBT, 0)
    assert poll.compare(AG, BNOBT, 0) is None
    assert poll.compare(AG, 0, 0) is None  # forgotten by the kernel, not healed
    assert poll.compare(AG, BNOBT, BNOBT) is None
    assert bits(poll.compare(AG, CNTBT, BNOBT)) == (CNTBT, BNOBT)
    assert bits(poll.compare(AG, 0, CNTBT)) == (0, CNTBT)
    assert poll.sick == {}


@given(st.lists(st.tuples(mask, mask), max_size=30))
def test_every_bit_alternates_between_sick_and_healthy(readings):
    poll, sick = Poll(), 0
    for now, checked in readings:
        change = poll.compare(FS, now, checked)
        if change:
            assert change.became_sick & sick == 0
            assert change.became_healthy & ~sick == 0
            sick = (sick | change.became_sick) & ~change.became_healthy
        assert poll.sick.get(FS, 0) == sick
        assert now & ~sick == 0


class FakeXfs:
    """An XFS of many groups and inodes that counts what it is asked."""

    def __init__(self, groups=4, inodes=0):
        self.groups = [SimpleNamespace(sick=0, checked=0) for _ in range(groups)]
        self.inodes = {number: InodeHealth(number, 7, 0, 0, 0o100644) for number in range(128, 128 + inodes)}
        self.asked_groups, self.asked_inodes = [], 0
        self.unloadable = set()

    def geometry(self, _fd):
        return SimpleNamespace(sick=0, checked=0, ag_count=len(self.groups), rtgroup_count=0)

    def ag_geometry(self, _fd, number):
        self.asked_groups.append(number)
        return self.groups[number]

    def bulkstat_batch(self, _fd, start, count):
        """As Linux 6.18: a call ends before an inode that does not load, and one that begins there is refused."""
        used = sorted(one for one in {*self.inodes, *self.unloadable} if one >= start)[:count]
        found = [self.inodes[one] for one in takewhile(lambda one: one not in self.unloadable, used)]
        if used and not found:
            raise OSError(errno.EUCLEAN, "bulkstat")
        self.asked_inodes += len(found)
        return found, (found[-1].inode + 1 if found else start)


@pytest.fixture
def fake(monkeypatch):
    def make(*args, **kwargs):
        xfs = FakeXfs(*args, **kwargs)
        monkeypatch.setattr(_xfs_poll, "xfs", xfs)
        monkeypatch.setattr(_xfs_poll.handles, "resolve", lambda *_: b"/mnt/broken")
        return xfs

    return make


def looked(poll, **options):
    return list(poll.look(3, b"/mnt", **options))


def test_a_look_asks_a_bounded_number_of_groups_and_goes_on_from_there(fake):
    xfs, poll = fake(groups=300), Poll()
    looked(poll)
    assert xfs.asked_groups == list(range(_xfs_poll.GROUPS_PER_LOOK))
    looked(poll)
    looked(poll)
    assert set(xfs.asked_groups) == set(range(300))


def test_after_an_error_all_groups_are_asked_at_once(fake):
    xfs, poll = fake(groups=300), Poll()
    xfs.groups[299].sick = BNOBT
    (change,) = looked(poll, everything=True)
    assert (change.place, change.became_sick) == (Place(HealthDomain.AG, 299), BNOBT)


def test_inodes_are_walked_only_after_trouble_and_in_bounded_portions(fake):
    xfs, poll = fake(inodes=10_000), Poll()
    looked(poll)
    assert xfs.asked_inodes == 0
    xfs.inodes[9_999] = InodeHealth(9_999, 7, 1 << 4, 0, 0o040755)
    poll.want_inodes()
    found, looks = [], 0
    while poll.next_inode is not None:
        asked = xfs.asked_inodes
        found += looked(poll)
        looks += 1
        assert xfs.asked_inodes - asked <= _xfs_poll.BATCHES_PER_LOOK * _xfs_poll.INODES_PER_BATCH + 1
    assert looks == 3
    assert found == [Change(Place(HealthDomain.INODE, 9_999), 1 << 4, 0, 1 << 4, 0, 7, b"broken")]


def test_trouble_during_a_walk_asks_for_another_one(fake):
    xfs, poll = fake(inodes=6_000), Poll()
    poll.want_inodes()
    looked(poll)
    poll.want_inodes()
    while poll.next_inode is not None:
        looked(poll)
    assert xfs.asked_inodes == 12_000


def test_a_group_that_becomes_sick_asks_for_a_walk(fake):
    xfs, poll = fake(inodes=3), Poll()
    xfs.groups[1].sick = BNOBT
    looked(poll)
    assert xfs.asked_inodes == 3


def test_a_sick_inode_is_looked_at_until_it_is_healthy(fake):
    xfs, poll = fake(inodes=3), Poll()
    xfs.inodes[129] = InodeHealth(129, 7, 1, 0, 0)
    poll.want_inodes()
    looked(poll)
    xfs.inodes[129] = InodeHealth(129, 7, 0, 1, 0)
    (change,) = looked(poll)
    assert (change.place.number, change.became_healthy) == (129, 1)
    assert looked(poll) == []


def test_a_walk_goes_on_behind_inodes_that_do_not_load(fake):
    xfs, poll = fake(inodes=300), Poll()
    xfs.unloadable = {140, 141, 300}
    xfs.inodes[400] = InodeHealth(400, 7, 1 << 4, 0, 0o040755)
    poll.want_inodes()
    found = []
    for _ in range(10):
        found += looked(poll)
    assert [one.place.number for one in found] == [400]
    assert poll.next_inode is None


def test_a_sick_inode_that_does_not_load_any_more_keeps_no_walk_from_its_end(fake):
    xfs, poll = fake(inodes=3), Poll()
    xfs.unloadable, poll.sick = {129}, {Place(HealthDomain.INODE, 129): 1}
    xfs.inodes[130] = InodeHealth(130, 7, 1 << 4, 0, 0o040755)
    poll.want_inodes()
    found = [*looked(poll), *looked(poll)]
    assert [one.place.number for one in found] == [130]


def test_a_walk_where_nothing_loads_comes_to_an_end(fake):
    xfs, poll = fake(), Poll()
    xfs.unloadable = set(range(0, 1 << 20, 7))
    poll.want_inodes()
    for _ in range(_xfs_poll.MAX_UNREAD):
        looked(poll)
    assert poll.next_inode is None


def test_what_became_sick_and_what_became_healthy_are_two_events():
    sick, healthy = to_events(Change(AG, CNTBT, BNOBT, CNTBT, BNOBT), Unit(None, None), Clock("boot").now())
    assert (sick.kind, sick.xfs_health.scope, sick.xfs_health.number) == (
        pb.EVENT_KIND_FS_METADATA_CORRUPTION,
        pb.XFS_SCOPE_AG,
        3,
    )
    assert list(sick.xfs_health.sick_names) == ["cntbt"]
    assert (healthy.kind, healthy.severity, healthy.xfs_health.became_healthy) == (
        pb.EVENT_KIND_FS_HEALTHY,
        pb.SEVERITY_NOTICE,
        BNOBT,
    )
    assert "bnobt" in healthy.message


def test_captured_answers_replay(make_stage):
    source = XfsHealthSource(make_stage().watch)
    (fs,) = source.replay(struct.pack("=112xII", 1, 3).ljust(256, b"\0"))
    (ag,) = source.replay(struct.pack("=I16xII", 3, BNOBT, 0).ljust(128, b"\0"))
    inode = struct.pack("=Q56xI60xHHH58x", 131, 7, 16, 0, 0o040755)
    (one,) = source.replay(struct.pack("=QIIII40x", 132, 0, 1, 1, 0) + inode)
    assert (list(fs.xfs_health.sick_names), list(ag.xfs_health.sick_names)) == (["counters"], ["bnobt"])
    assert (one.inode.ino, one.inode.generation, list(one.xfs_health.sick_names)) == (131, 7, ["dir"])


@given(raw=st.binary(max_size=300) | st.binary(min_size=128, max_size=128) | st.binary(min_size=256, max_size=256))
def test_no_bytes_make_it_raise(make_stage, raw):
    for event in XfsHealthSource(make_stage().watch).replay(raw):
        assert event.SerializeToString()
