"""A check of a whole XFS: everything once, and after a stop the rest and no more."""

import errno
import threading

import pytest
from agent.xfs_kernel import Item, Kernel, StopAfter
from hypothesis import given
from hypothesis import strategies as st

from fsmend_agent.errors import ActionFailed
from fsmend_agent.kernel.xfs import InodeHealth
from fsmend_agent.kernel.xfs_health import ScrubType
from fsmend_agent.xfs.sweep import FOUND_LIMIT, Sweep
from fsmend_proto.v1 import command_pb2 as pb

# The pretended kernel has 4 groups; 100 blocks of 8 inodes make 10 bits of a group's inode numbers.
INODES = {128: 5, 131: 6, 200: 7, 1 << 10 | 64: 8, 3 << 10 | 70: 9}


@pytest.fixture
def kernel(monkeypatch):
    return Kernel(generations=dict(INODES)).install(monkeypatch)


def sweep(kernel, start=None, stop_after=None, reports=None):
    """Run it, stopped after so many calls of the kernel; return it and what it asked for."""
    cancelled = threading.Event()
    kernel.calls = StopAfter(stop_after, cancelled)
    report = (lambda _one: None) if reports is None else reports.append
    made = Sweep(0, kernel.geometry(0), start or pb.XfsScrubPosition(), cancelled=cancelled, report=report)
    made.run()
    return made, [call[0] for call in kernel.calls]


def test_every_group_every_inode_and_the_summaries_are_asked_for_once(kernel):
    done, calls = sweep(kernel)
    assert done.position is None
    assert len(calls) == len(set(calls))
    assert {Item(ScrubType.BNOBT, group=group) for group in range(4)} <= set(calls)
    assert {Item(ScrubType.INODE, inode=inode) for inode in INODES} <= set(calls)
    assert calls[-1] == Item(ScrubType.FSCOUNTERS)
    assert done.pieces == len(calls)


@given(data=st.data())
def test_a_stopped_check_goes_on_where_it_was_and_leaves_nothing_out(data):
    with pytest.MonkeyPatch.context() as patch:
        kernel = Kernel(generations=dict(INODES), unloadable={140}).install(patch)
        _, whole = sweep(kernel)
        position, parts, rounds = None, [], 0
        while True:
            stop_after = data.draw(st.integers(1, 60))
            done, calls = sweep(kernel, position, stop_after)
            parts += calls
            rounds += 1
            if done.position is None:
                break
            position = pb.XfsScrubPosition.FromString(done.position.SerializeToString())
        assert list(dict.fromkeys(parts)) == whole
        # What is repeated is at most the step in whose middle it was stopped.
        assert len(parts) - len(whole) <= 8 * rounds


def test_an_inode_that_does_not_load_is_checked_all_the_same(kernel):
    broken = Item(ScrubType.INODE, inode=140)
    kernel.unloadable = {140}
    kernel.corrupt = {broken}
    done, _ = sweep(kernel)
    assert [(one.item.inode, one.corrupt) for one in done.found] == [(140, True)]


def test_the_inodes_behind_one_that_does_not_load_are_checked_as_thoroughly(kernel):
    kernel.unloadable = {140, 141, 199}
    _, calls = sweep(kernel)
    for inode in INODES:
        assert Item(ScrubType.XATTR, inode=inode) in calls
    assert Item(ScrubType.XATTR, inode=140) not in calls


def test_an_inode_whose_generation_is_learnt_late_and_that_was_busy_once_is_no_finding(kernel, monkeypatch):
    kernel.unloadable = {140}
    answers = iter([None, InodeHealth(140, 4, 0, 0, 0o100644)])
    monkeypatch.setattr("fsmend_agent.xfs.targeted.inode_health", lambda _fd, _inode: next(answers))
    kernel.once = {Item(ScrubType.INODE, inode=140): errno.EBUSY}
    done, _ = sweep(kernel)
    assert (done.found, done.corrupt) == ([], 0)


def test_a_group_whose_inodes_cannot_be_listed_is_named_and_the_next_one_checked(kernel):
    kernel.unlisted_groups = {1}
    done, calls = sweep(kernel)
    assert [(one.item, one.errno) for one in done.found] == [(Item(ScrubType.INOBT, group=1), errno.EUCLEAN)]
    assert Item(ScrubType.INODE, inode=3 << 10 | 70) in calls


def test_what_could_not_be_checked_is_asked_for_once_more(kernel):
    kernel.once = {Item(ScrubType.AGF, group=2): errno.EBUSY}
    done, _ = sweep(kernel)
    assert done.found == []


def test_findings_are_counted_beyond_what_is_named(kernel):
    kernel.generations = {64 + number: 1 for number in range(900)}
    kernel.corrupt = {
        Item(one, inode=inode) for inode in kernel.generations for one in (ScrubType.INODE, ScrubType.BMBTD)
    }
    done, _ = sweep(kernel)
    assert (len(done.found), done.corrupt) == (FOUND_LIMIT, 1800)


def test_a_filesystem_that_shuts_down_ends_it_with_its_position(kernel, monkeypatch):
    kernel.once = {Item(ScrubType.CNTBT, group=1): errno.ESHUTDOWN}
    made = Sweep(0, kernel.geometry(0), pb.XfsScrubPosition(), cancelled=threading.Event(), report=lambda _one: None)
    with pytest.raises(ActionFailed, match="cntbt of ag 1"):
        made.run()
    assert (made.position.group, made.position.type) == (1, ScrubType.CNTBT)


def test_progress_names_the_place_and_grows(kernel):
    reports = []
    sweep(kernel, reports=reports)
    assert reports[0].xfs_position.stage == pb.XFS_SCRUB_STAGE_GROUPS
    percents = [one.percent for one in reports]
    assert percents == sorted(percents)


def test_a_position_behind_the_end_checks_only_what_is_left(kernel):
    start = pb.XfsScrubPosition(stage=pb.XFS_SCRUB_STAGE_GROUPS, group=99)
    _, calls = sweep(kernel, start)
    assert not any(one.scrub_type is ScrubType.AGF for one in calls)
    assert Item(ScrubType.FSCOUNTERS) in calls
