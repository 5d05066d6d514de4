"""Check of XFS: it finds, and it changes nothing."""

import pytest
from agent.xfs_kernel import Item, Kernel, item, order

from fsmend_agent.actions.scrub_xfs import ScrubXfs
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
