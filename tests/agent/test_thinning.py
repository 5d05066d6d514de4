"""Progress: enough to follow, not enough to fill a spool."""

from hypothesis import given
from hypothesis import strategies as st

from fsmend_agent.thinning import Thinning
from fsmend_proto.v1 import command_pb2 as pb

S = 10**9


def test_the_first_one_passes():
    assert Thinning().passes(pb.Progress(), 0)


def test_one_percent_passes_at_once_and_less_does_not():
    thinning = Thinning()
    assert thinning.passes(pb.Progress(percent=1), 0)
    assert not thinning.passes(pb.Progress(percent=1.9), 1)
    assert thinning.passes(pb.Progress(percent=2.1), 2)


def test_news_passes_once_a_second_and_silence_every_ten():
    thinning = Thinning()
    assert thinning.passes(pb.Progress(), 0)
    assert not thinning.passes(pb.Progress(errors_found=1), S - 1)
    assert thinning.passes(pb.Progress(errors_found=1), S)
    assert thinning.passes(pb.Progress(errors_found=1, stage="x"), 2 * S)
    assert not thinning.passes(pb.Progress(errors_found=1, stage="x", bytes_done=9), 11 * S)
    assert thinning.passes(pb.Progress(errors_found=1, stage="x"), 12 * S)


def test_what_was_let_through_is_not_changed_by_the_caller_afterwards():
    thinning = Thinning()
    progress = pb.Progress(percent=1)
    assert thinning.passes(progress, 0)
    progress.percent = 50
    assert thinning.passes(progress, 1)


@given(st.lists(st.tuples(st.floats(0, 100), st.integers(0, 3), st.integers(0, S)), max_size=200))
def test_never_more_than_one_a_second_and_one_for_each_percent(steps):
    thinning, now, passed, climbed, last = Thinning(), 0, 0, 0.0, 0.0
    for percent, errors, waited in steps:
        now += waited
        climbed += abs(percent - last)
        last = percent
        passed += thinning.passes(pb.Progress(percent=percent, errors_found=errors), now)
    assert passed <= 1 + now / S + climbed
