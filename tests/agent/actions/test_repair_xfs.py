"""Repair of XFS: targeted, then wider, then "offline needed" with the reason."""

import errno

import pytest
from agent.xfs_kernel import FILESYSTEM, Item, Kernel, item, order

from fsmend_agent.actions import ActionStopped
from fsmend_agent.actions.repair_xfs import RepairXfs
from fsmend_agent.errors import ActionRefused
from fsmend_agent.kernel.xfs import ScrubSupport
from fsmend_agent.kernel.xfs_health import ScrubType
from fsmend_agent.xfs import neighbours, preconditions, whole, work
from fsmend_agent.xfs.autofsck import Autofsck
from fsmend_proto.v1 import command_pb2 as pb

BNOBT1, CNTBT1 = Item(ScrubType.BNOBT, group=1), Item(ScrubType.CNTBT, group=1)


@pytest.fixture
def kernel(monkeypatch):
    monkeypatch.setattr(preconditions, "read_autofsck", lambda _fd: Autofsck.UNSET)
    monkeypatch.setattr(neighbours, "working_on", lambda *_: [])
    return Kernel().install(monkeypatch)


@pytest.fixture
def xfs_scrub(monkeypatch):
    """What xfs_scrub(8) does and answers; the list of its runs."""
    runs = []

    def run(_mount_point, *, repair, cancelled, report):
        runs.append(repair)
        return whole.WholeResult(run.status, b"Repaired: AG 1\n" * run.repairs)

    run.status, run.repairs, run.runs = 0, 0, runs
    monkeypatch.setattr(whole, "run_whole", run)
    monkeypatch.setattr(work, "root_mount", lambda _order: b"/data")
    return run


def repair(*items, **fields):
    action = RepairXfs(order(repair_xfs=pb.RepairXfs(items=items, **fields)))
    action.check()
    return action.run()


def test_what_is_corrupt_is_mended_and_looked_at_again(kernel, xfs_scrub):
    kernel.corrupt = {BNOBT1}
    result = repair(item(ScrubType.BNOBT, agno=1))
    assert result.verdict == pb.VERDICT_HEALED
    (one,) = result.xfs_scrubs
    assert (one.name, one.corrupt, one.repaired) == ("bnobt of ag 1", True, True)
    assert [(called, mending) for called, mending, _ in kernel.calls] == [(BNOBT1, True), (BNOBT1, False)]
    assert xfs_scrub.runs == []


def test_what_is_healthy_is_clean_and_called_once(kernel):
    result = repair(item(ScrubType.BNOBT, agno=1))
    assert result.verdict == pb.VERDICT_CLEAN
    assert len(kernel.calls) == 1


def test_without_vectors_the_pieces_are_asked_one_by_one(kernel):
    kernel.corrupt, kernel.vectors = {BNOBT1, CNTBT1}, False
    result = repair(item(ScrubType.BNOBT, agno=1), item(ScrubType.CNTBT, agno=1))
    assert result.verdict == pb.VERDICT_HEALED


def test_a_piece_that_waits_for_another_is_mended_after_it(kernel, xfs_scrub):
    kernel.corrupt, kernel.needs = {BNOBT1, CNTBT1}, {BNOBT1: CNTBT1}
    result = repair(item(ScrubType.BNOBT, agno=1), item(ScrubType.CNTBT, agno=1))
    assert result.verdict == pb.VERDICT_HEALED
    assert xfs_scrub.runs == []


def test_a_busy_piece_is_asked_again(kernel, xfs_scrub):
    kernel.corrupt, kernel.once = {BNOBT1}, {BNOBT1: errno.EBUSY}
    assert repair(item(ScrubType.BNOBT, agno=1)).verdict == pb.VERDICT_HEALED
    assert xfs_scrub.runs == []


def test_items_that_do_not_suffice_lead_to_the_whole_filesystem(kernel, xfs_scrub):
    rmap = Item(ScrubType.RMAPBT, group=1)
    kernel.corrupt, kernel.needs = {BNOBT1, rmap}, {BNOBT1: rmap}
    result = repair(item(ScrubType.BNOBT, agno=1))
    assert xfs_scrub.runs == [True]
    assert result.verdict == pb.VERDICT_NOT_HEALED
    assert [one.name for one in result.xfs_scrubs] == ["bnobt of ag 1", whole.NAME]
    assert "left bnobt of ag 1" in result.summary


def test_targeted_only_leaves_it_at_the_items(kernel, xfs_scrub):
    kernel.corrupt, kernel.errnos = {BNOBT1}, {BNOBT1: errno.EUCLEAN}
    assert repair(item(ScrubType.BNOBT, agno=1), targeted_only=True).verdict == pb.VERDICT_NOT_HEALED
    assert xfs_scrub.runs == []


def test_without_rmapbt_the_result_says_offline_needed_and_why(kernel, xfs_scrub):
    kernel.corrupt, kernel.errnos, kernel.features = {BNOBT1}, {BNOBT1: errno.EOPNOTSUPP}, 0
    result = repair(item(ScrubType.BNOBT, agno=1))
    assert result.verdict == pb.VERDICT_OFFLINE_NEEDED
    assert "made without rmapbt" in result.summary
    assert xfs_scrub.runs == []
    assert kernel.corrupt == {BNOBT1}


def test_a_summary_over_what_cannot_be_mended_is_left_alone(kernel, xfs_scrub):
    agf, counters = Item(ScrubType.AGF, group=1), Item(ScrubType.FSCOUNTERS)
    kernel.corrupt, kernel.errnos, kernel.features = {agf, counters}, {agf: errno.EOPNOTSUPP}, 0
    result = repair(item(ScrubType.FSCOUNTERS), item(ScrubType.AGF, agno=1))
    assert result.verdict == pb.VERDICT_OFFLINE_NEEDED
    assert (counters, True) not in [(called, mending) for called, mending, _ in kernel.calls]
    assert kernel.corrupt == {agf, counters}
    assert xfs_scrub.runs == []


def test_a_summary_is_mended_after_what_it_counts(kernel, xfs_scrub):
    kernel.corrupt = {Item(ScrubType.AGF, group=1), Item(ScrubType.FSCOUNTERS)}
    assert repair(item(ScrubType.FSCOUNTERS), item(ScrubType.AGF, agno=1)).verdict == pb.VERDICT_HEALED


def test_a_directory_without_exchange_range_says_so(kernel):
    directory = Item(ScrubType.DIR, inode=131)
    kernel.corrupt, kernel.errnos, kernel.features = {directory}, {directory: errno.EOPNOTSUPP}, 1 << 19
    kernel.generations = {131: 7}
    result = repair(item(ScrubType.DIR, ino=131))
    assert result.verdict == pb.VERDICT_OFFLINE_NEEDED
    assert "exchange-range" in result.summary
    assert {generation for _, _, generation in kernel.calls} == {7}


def test_a_filesystem_that_shuts_down_meanwhile_ends_it(kernel, xfs_scrub):
    kernel.corrupt, kernel.errnos = {BNOBT1}, {BNOBT1: errno.ESHUTDOWN}
    result = repair(item(ScrubType.BNOBT, agno=1), item(ScrubType.AGF, agno=2))
    assert result.verdict == pb.VERDICT_OFFLINE_NEEDED
    assert xfs_scrub.runs == []


def test_without_items_the_whole_filesystem_is_repaired(kernel, xfs_scrub):
    xfs_scrub.repairs = 2
    result = repair()
    assert (xfs_scrub.runs, result.verdict) == ([True], pb.VERDICT_HEALED)
    assert result.evidence[0].name == "xfs_scrub"


def test_errors_that_xfs_scrub_leaves_are_not_healed(kernel, xfs_scrub):
    xfs_scrub.status = 1
    assert repair().verdict == pb.VERDICT_NOT_HEALED


def test_a_cancelled_repair_tells_what_it_did(kernel):
    action = RepairXfs(order(repair_xfs=pb.RepairXfs(items=[item(ScrubType.BNOBT, agno=1)])))
    action.check()
    action.order.cancelled.set()
    with pytest.raises(ActionStopped):
        action.run()
    assert kernel.calls == []


@pytest.mark.parametrize(
    ("support", "code"),
    [
        (ScrubSupport.NONE, pb.REFUSAL_CODE_NOT_SUPPORTED),
        (ScrubSupport.CHECK, pb.REFUSAL_CODE_NOT_SUPPORTED),
        (errno.ESHUTDOWN, pb.REFUSAL_CODE_SHUT_DOWN),
    ],
)
def test_what_the_kernel_cannot_do_is_refused(kernel, support, code):
    kernel.support = support
    with pytest.raises(ActionRefused) as refusal:
        repair(item(ScrubType.BNOBT, agno=1))
    assert refusal.value.code == code
    assert kernel.calls == []


def test_a_kernel_without_scrub_is_named_as_such(kernel):
    kernel.support = ScrubSupport.NONE
    with pytest.raises(ActionRefused, match="not built into this kernel"):
        repair()


@pytest.mark.parametrize("word", [Autofsck.NONE, Autofsck.CHECK, Autofsck.OPTIMIZE])
def test_the_filesystems_own_word_is_obeyed(kernel, monkeypatch, word):
    monkeypatch.setattr(preconditions, "read_autofsck", lambda _fd: word)
    with pytest.raises(ActionRefused, match=f"autofsck={word.value}") as refusal:
        repair()
    assert refusal.value.code == pb.REFUSAL_CODE_POLICY_DENIES


@pytest.mark.parametrize(
    ("program", "code"),
    [("xfs_healer", pb.REFUSAL_CODE_HEALER_ACTIVE), ("xfs_scrub", pb.REFUSAL_CODE_BUSY)],
)
def test_who_else_works_on_it_has_it(kernel, monkeypatch, program, code):
    monkeypatch.setattr(neighbours, "working_on", lambda *_: [program])
    monkeypatch.setattr(preconditions, "WAIT_SECONDS", 0.01)
    monkeypatch.setattr(preconditions, "POLL_SECONDS", 0.01)
    with pytest.raises(ActionRefused) as refusal:
        repair()
    assert refusal.value.code == code


def test_another_scrub_is_waited_for(kernel, monkeypatch, xfs_scrub):
    answers = [["xfs_scrub"], ["xfs_scrub"], []]
    monkeypatch.setattr(neighbours, "working_on", lambda *_: answers.pop(0))
    monkeypatch.setattr(preconditions, "POLL_SECONDS", 0.001)
    assert repair().verdict == pb.VERDICT_CLEAN


@pytest.mark.parametrize(
    "bad",
    [
        item(99),
        item(ScrubType.PROBE),
        item(ScrubType.BNOBT, agno=4),
        item(ScrubType.DIR),
        item(ScrubType.METAPATH, ino=77),
        item(ScrubType.RTRMAPBT, agno=0),
    ],
)
def test_an_item_that_makes_no_sense_is_refused(kernel, bad):
    with pytest.raises(ActionRefused) as refusal:
        repair(bad)
    assert refusal.value.code == pb.REFUSAL_CODE_MALFORMED
    assert kernel.calls == []


def test_another_filesystem_is_no_target(kernel):
    from dataclasses import replace  # noqa: PLC0415

    action = RepairXfs(order(filesystem=replace(FILESYSTEM, type="ext4"), repair_xfs=pb.RepairXfs()))
    with pytest.raises(ActionRefused) as refusal:
        action.check()
    assert refusal.value.code == pb.REFUSAL_CODE_NOT_SUPPORTED


def test_its_intention_names_the_pieces(kernel):
    action = RepairXfs(order(repair_xfs=pb.RepairXfs(items=[item(ScrubType.BNOBT, agno=1)])))
    action.check()
    assert action.intention().startswith("repair bnobt of ag 1 of xfs ")
