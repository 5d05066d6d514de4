"""A repair of a whole XFS piece by piece: what is corrupt is mended, and a stopped one goes on where it was."""

import errno
import threading

import pytest
from agent.xfs_kernel import Item, Kernel, StopAfter, order
from hypothesis import given
from hypothesis import strategies as st

from fsmend_agent.actions import ActionStopped
from fsmend_agent.actions.repair_xfs import RepairXfs
from fsmend_agent.kernel.xfs_health import ScrubType
from fsmend_agent.xfs import neighbours, preconditions, whole
from fsmend_agent.xfs.autofsck import Autofsck
from fsmend_agent.xfs.sweep import Sweep
from fsmend_proto.v1 import command_pb2 as pb

INODES = {128: 5, 131: 6, 200: 7, 1 << 10 | 64: 8, 3 << 10 | 70: 9}
BNOBT1, CNTBT1 = Item(ScrubType.BNOBT, group=1), Item(ScrubType.CNTBT, group=1)
DIR131, NLINKS = Item(ScrubType.XATTR, inode=131), Item(ScrubType.NLINKS)
BEGINNING = pb.XfsScrubPosition()


@pytest.fixture
def kernel(monkeypatch):
    monkeypatch.setattr(preconditions, "read_autofsck", lambda _fd: Autofsck.UNSET)
    monkeypatch.setattr(neighbours, "working_on", lambda *_: [])
    monkeypatch.setattr(whole, "run_whole", lambda *_, **__: pytest.fail("xfs_scrub(8) begins anew each time"))
    return Kernel(generations=dict(INODES)).install(monkeypatch)


def mend(resume=BEGINNING):
    action = RepairXfs(order(repair_xfs=pb.RepairXfs(resume=resume)))
    action.check()
    return action.run()


def asked(kernel, *, repair):
    return [item for item, mending, _ in kernel.calls if mending is repair]


def test_what_is_corrupt_is_mended_and_nothing_else_is_asked_to_be(kernel):
    kernel.corrupt = {BNOBT1, DIR131}
    result = mend()
    assert result.verdict == pb.VERDICT_HEALED, result
    assert kernel.corrupt == set()
    assert set(asked(kernel, repair=True)) - {Item(ScrubType.HEALTHY)} == {BNOBT1, DIR131}
    assert {one.name for one in result.xfs_scrubs if one.repaired} == {"bnobt of ag 1", "xattr of inode 131"}
    assert result.summary.startswith("healed: 2 of ")


def test_what_was_mended_is_on_the_disk_before_a_later_place_is_told(kernel):
    kernel.corrupt, reports = {DIR131}, []
    action = RepairXfs(order(reports, repair_xfs=pb.RepairXfs(resume=BEGINNING)))
    action.check()
    kept = []
    kernel.kept = kept
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fsmend_agent.kernel.syscall.syncfs", lambda _fd: kept.append(len(kernel.calls)))
        patch.setattr("fsmend_agent.xfs.sweep.REPORT_SECONDS", 0.0)
        action.run()
    mended = next(number for number, (item, repair, _) in enumerate(kernel.calls) if repair and item == DIR131)
    following = next(item for item, _, _ in kernel.calls[mended + 2 :] if item != DIR131)
    assert following.inode == 200
    assert kept[0] <= mended + 3


def test_progress_counts_what_was_mended_beyond_what_is_named(kernel, monkeypatch):
    monkeypatch.setattr("fsmend_agent.xfs.sweep.FOUND_LIMIT", 1)
    monkeypatch.setattr("fsmend_agent.xfs.sweep.REPORT_SECONDS", 0.0)
    kernel.corrupt, reports = {BNOBT1, CNTBT1, DIR131}, []
    action = RepairXfs(order(reports, repair_xfs=pb.RepairXfs(resume=BEGINNING)))
    action.check()
    action.run()
    assert (reports[-1].errors_found, reports[-1].errors_corrected) == (3, 3)


def test_where_nothing_was_mended_nothing_is_written_to_the_disk(kernel):
    kernel.corrupt, kernel.errnos = {DIR131}, {DIR131: errno.EOPNOTSUPP}
    mend()
    assert kernel.kept == []


def test_a_healthy_filesystem_is_clean(kernel):
    result = mend()
    assert (result.verdict, list(result.xfs_scrubs)) == (pb.VERDICT_CLEAN, [])


def test_what_waits_for_something_behind_it_is_mended_in_the_end(kernel):
    kernel.corrupt, kernel.needs = {BNOBT1, DIR131}, {BNOBT1: DIR131}
    assert mend().verdict == pb.VERDICT_HEALED


def test_what_cannot_be_read_keeps_nothing_else_from_being_mended_in_the_end(kernel):
    unreadable = Item(ScrubType.BNOBT, group=0)
    kernel.corrupt, kernel.needs = {unreadable, BNOBT1, DIR131}, {BNOBT1: DIR131}
    kernel.errnos = {unreadable: errno.EIO}
    assert mend().verdict == pb.VERDICT_OFFLINE_NEEDED
    assert kernel.corrupt == {unreadable}


def test_a_summary_is_not_mended_over_what_is_left(kernel):
    kernel.corrupt, kernel.errnos = {DIR131, NLINKS}, {DIR131: errno.EOPNOTSUPP}
    result = mend()
    assert result.verdict == pb.VERDICT_OFFLINE_NEEDED, result
    assert NLINKS not in asked(kernel, repair=True)
    assert {one.name for one in result.xfs_scrubs} == {"xattr of inode 131", "nlinks"}


def test_a_summary_is_mended_where_everything_before_it_is_right(kernel):
    kernel.corrupt = {DIR131, NLINKS}
    assert mend().verdict == pb.VERDICT_HEALED
    assert kernel.corrupt == set()


CORRUPTIBLE = [BNOBT1, CNTBT1, DIR131, NLINKS, Item(ScrubType.AGF), Item(ScrubType.INODE, inode=3 << 10 | 70)]


@given(corrupt=st.sets(st.sampled_from(CORRUPTIBLE)), data=st.data())
def test_a_stopped_repair_goes_on_where_it_was_and_leaves_nothing_corrupt(corrupt, data):
    with pytest.MonkeyPatch.context() as patch:
        kernel = Kernel(generations=dict(INODES), corrupt=set(corrupt)).install(patch)
        position = BEGINNING
        while position is not None:
            cancelled = threading.Event()
            kernel.calls = StopAfter(data.draw(st.integers(4, 60)), cancelled)
            sweep = Sweep(
                0, kernel.geometry(0), position, cancelled=cancelled, report=lambda _progress: None, repair=True
            )
            sweep.run()
            assert sweep.found == []
            position = sweep.position
        assert kernel.corrupt == set()


def test_one_that_is_cancelled_says_where_it_stopped(kernel, monkeypatch):
    action = RepairXfs(order(repair_xfs=pb.RepairXfs(resume=BEGINNING)))
    kernel.calls = StopAfter(15, action.order.cancelled)
    action.check()
    with pytest.raises(ActionStopped) as stopped:
        action.run()
    where = stopped.value.result.stopped_at
    assert (where.stage, where.group) == (pb.XFS_SCRUB_STAGE_GROUPS, 1)
    kernel.calls = []
    assert not mend(where).HasField("stopped_at")
    assert not any(item.group == 0 and item.scrub_type is ScrubType.AGF for item in asked(kernel, repair=False))
