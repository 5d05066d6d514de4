"""Check of XFS: it finds, and it changes nothing."""

import errno
from dataclasses import replace

import pytest
from agent.xfs_kernel import Item, Kernel, item, order

from fsmend_agent.actions import ActionStopped
from fsmend_agent.actions.scrub_xfs import ScrubXfs
from fsmend_agent.errors import ActionRefused
from fsmend_agent.kernel.xfs_health import ScrubType
from fsmend_agent.xfs import neighbours, preconditions
from fsmend_agent.xfs.autofsck import Autofsck
from fsmend_proto.v1 import command_pb2 as pb

AGF2 = Item(ScrubType.AGF, group=2)


@pytest.fixture
def kernel(monkeypatch):
    monkeypatch.setattr(preconditions, "read_autofsck", lambda _fd: Autofsck.CHECK)
    monkeypatch.setattr(neighbours, "working_on", lambda *_: [])
    return Kernel().install(monkeypatch)


def check(*items, reports=None):
    action = ScrubXfs(order(reports, scrub_xfs=pb.ScrubXfs(items=items)))
    action.check()
    return action.run()


def test_a_check_finds_and_never_asks_for_a_repair(kernel):
    kernel.corrupt = {AGF2}
    result = check(item(ScrubType.AGF, agno=2), item(ScrubType.AGI, agno=2))
    assert result.verdict == pb.VERDICT_NOT_HEALED
    assert [(one.name, one.corrupt, list(one.flag_names)) for one in result.xfs_scrubs] == [
        ("agf of ag 2", True, ["corrupt"]),
        ("agi of ag 2", False, []),
    ]
    assert not any(repair for _, repair, _ in kernel.calls)
    assert kernel.corrupt == {AGF2}


def test_nothing_found_is_clean(kernel):
    assert check(item(ScrubType.AGF, agno=2)).verdict == pb.VERDICT_CLEAN


def test_metadata_that_this_filesystem_lacks_is_no_finding(kernel):
    kernel.absent = {Item(ScrubType.REFCNTBT, group=0)}
    assert check(item(ScrubType.REFCNTBT)).verdict == pb.VERDICT_CLEAN


def test_progress_names_the_piece_and_counts(kernel):
    reports = []
    kernel.corrupt = {AGF2}
    check(item(ScrubType.AGF, agno=2), item(ScrubType.AGF, agno=3), reports=reports)
    assert "checking agf of ag 2" in {one.stage for one in reports}
    assert reports[-1].errors_found == 1


def test_a_check_is_of_the_class_check():
    assert ScrubXfs.classify(pb.Command()) == pb.ACTION_CLASS_CHECK


def whole(kernel, resume=None, stop_at=0):
    """Check everything; stopped when so many calls were made."""
    made = order(scrub_xfs=pb.ScrubXfs(resume=resume))
    scrub_one = kernel.scrub_one

    def counted(*arguments, **where):
        if len(kernel.calls) + 1 == stop_at:
            made.cancelled.set()
        return scrub_one(*arguments, **where)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fsmend_agent.kernel.xfs_scrub.scrub_one", counted)
        action = ScrubXfs(made)
        action.check()
        return action.run()


def test_a_check_of_the_whole_that_was_stopped_says_where_and_the_next_goes_on_there(kernel):
    kernel.corrupt = {AGF2}
    with pytest.raises(ActionStopped) as stopped:
        whole(kernel, stop_at=15)
    where = stopped.value.result.stopped_at
    assert "to resume: group 1" in str(stopped.value)
    assert (where.stage, where.group) == (pb.XFS_SCRUB_STAGE_GROUPS, 1)
    before = len(kernel.calls)
    result = whole(kernel, resume=where)
    assert not result.HasField("stopped_at")
    assert result.verdict == pb.VERDICT_NOT_HEALED
    assert not any(one.group == 0 and one.scrub_type is ScrubType.AGF for one, _, _ in kernel.calls[before:])


def test_the_summary_counts_what_is_not_named_too(kernel):
    kernel.generations = {64 + number: 1 for number in range(900)}
    kernel.corrupt = {
        Item(kind, inode=one) for one in kernel.generations for kind in (ScrubType.INODE, ScrubType.BMBTD)
    }
    result = whole(kernel)
    assert len(result.xfs_scrubs) == 1024
    assert "1800 of " in result.summary


def test_what_was_not_named_and_so_not_looked_at_again_is_not_clean(kernel):
    kernel.generations = {64 + number: 1 for number in range(900)}
    scrub_one, asked = kernel.scrub_one, set()

    def busy_until_the_end(fd, scrub_type, **where):
        answer = scrub_one(fd, scrub_type, **where)
        asked.add(scrub_type)
        busy = scrub_type in {ScrubType.INODE, ScrubType.BMBTD} and ScrubType.FSCOUNTERS not in asked
        return replace(answer, errno=errno.EBUSY) if busy else answer

    kernel.scrub_one = busy_until_the_end
    result = whole(kernel)
    assert result.verdict == pb.VERDICT_NOT_HEALED
    assert "left 776 more that are not named" in result.summary


def test_a_position_beside_items_makes_no_sense(kernel):
    resume = pb.XfsScrubPosition(stage=pb.XFS_SCRUB_STAGE_INODES)
    action = ScrubXfs(order(scrub_xfs=pb.ScrubXfs(items=[item(ScrubType.AGF)], resume=resume)))
    with pytest.raises(ActionRefused, match="only work on the whole"):
        action.check()
