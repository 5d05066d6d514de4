"""The offset of the collector's clock."""

from hypothesis import given
from hypothesis import strategies as st

from fsmend_agent.link.clock import ClockEstimate

SECOND = 1_000_000_000
wall = st.integers(10**18, 2 * 10**18)
trip = st.integers(1, 5 * SECOND)


@given(wall, st.integers(-(10**17), 10**17), trip, trip)
def test_the_true_offset_is_always_within_the_uncertainty(start, offset, up, down):
    clock = ClockEstimate()
    clock.asked(start, SECOND)
    answer = clock.answered(start + up + offset, start + up + down, SECOND + up + down)
    assert abs(answer.offset_ns - offset) <= answer.uncertainty_ns


def test_an_answer_to_no_question_says_nothing():
    clock = ClockEstimate()
    assert clock.answered(5, 5, 5) is None
    clock.asked(100, 100)
    assert clock.answered(5, 5, 500, echo_wall_ns=99) is None
    assert clock.answered(150, 110, 110, echo_wall_ns=100) is not None
    assert clock.answered(150, 110, 110) is None


@given(st.integers(0, (1 << 64) - 1), st.integers(0, (1 << 64) - 1))
def test_absurd_clocks_do_no_harm(server, now):
    clock = ClockEstimate()
    clock.asked(1, 1)
    clock.answered(server, now, 2)
