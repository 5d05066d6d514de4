"""What the kernel's answers to one piece add up to."""

import errno

from hypothesis import given
from hypothesis import strategies as st

from fsmend_agent.kernel.xfs_health import ScrubFlag, ScrubType
from fsmend_agent.kernel.xfs_scrub import Answer
from fsmend_agent.xfs.items import Item
from fsmend_agent.xfs.outcome import BAD, Outcome, flag_names, why_offline

BNOBT = Item(ScrubType.BNOBT, group=1)
RMAPBT, EXCHANGE = 1 << 19, 1 << 24


def after(*answers):
    outcome = Outcome(BNOBT)
    for repair, flags, number in answers:
        outcome.take(Answer(BNOBT.scrub_type, ScrubFlag(flags), number), repair=repair)
    return outcome


def test_a_repair_alone_proves_nothing():
    outcome = after((True, 0, 0))
    assert (outcome.corrupt, outcome.mended, outcome.proven) == (True, True, False)


def test_a_repair_and_a_clean_check_do():
    outcome = after((True, 0, 0), (False, 0, 0))
    assert outcome.proven
    assert outcome.message().repaired


def test_no_repair_needed_is_proof_at_once():
    outcome = after((True, ScrubFlag.NO_REPAIR_NEEDED, 0))
    assert (outcome.corrupt, outcome.mended, outcome.proven) == (False, False, True)


def test_an_incomplete_check_is_no_proof():
    assert not after((False, ScrubFlag.INCOMPLETE, 0)).proven
    assert not after((False, ScrubFlag.XFAIL, 0)).proven


def test_what_the_filesystem_does_not_have_is_absent():
    assert after((True, 0, errno.ENOENT)).absent


def test_a_piece_that_vanishes_after_it_was_corrupt_is_not_absent():
    assert not after((False, ScrubFlag.CORRUPT, 0), (True, 0, errno.ENOENT)).absent


def test_the_flags_are_named():
    assert flag_names(ScrubFlag.CORRUPT | ScrubFlag.XFAIL) == ["corrupt", "xfail"]


def test_the_reason_for_offline_is_what_is_missing():
    outcome = after((True, 0, errno.EOPNOTSUPP), (False, ScrubFlag.CORRUPT, 0))
    assert "without rmapbt" in why_offline([outcome], 0)
    assert "without exchange-range" in why_offline([outcome], RMAPBT)
    assert "by this kernel" in why_offline([outcome], RMAPBT | EXCHANGE)
    assert "Read-only" in why_offline([after((True, 0, errno.EROFS))], RMAPBT)


def test_what_was_mended_needs_no_reason():
    assert why_offline([after((True, 0, 0), (False, 0, 0))], 0) == ""


ANSWERS = st.tuples(st.booleans(), st.integers(0, 511), st.sampled_from([0, 0, 0, 2, 5, 16, 30, 95, 108, 117]))


@given(st.lists(ANSWERS, max_size=8))
def test_nothing_is_proven_while_the_last_word_is_bad(answers):
    outcome = after(*answers)
    assert outcome.calls == len(answers)
    if outcome.proven:
        assert not outcome.flags & BAD
        assert outcome.errno in {0, errno.ENOENT}
    assert not outcome.message().repaired or (outcome.corrupt and outcome.proven)
