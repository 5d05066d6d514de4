"""Waits between attempts."""

from hypothesis import given
from hypothesis import strategies as st

from fsmend_agent.link.backoff import CAP_SECONDS, Backoff


def waits(share, count=20):
    backoff = Backoff()
    return [backoff.next_seconds(share) for _ in range(count)]


def test_the_first_attempts_come_quickly_and_then_the_waits_double():
    assert waits(0)[:7] == [0.5, 0.5, 0.5, 1.0, 2.0, 4.0, 8.0]


def test_the_spread_is_added_after_the_cap():
    assert waits(0)[-1] == CAP_SECONDS
    assert waits(1)[-1] == 2 * CAP_SECONDS


@given(st.floats(0, 1), st.integers(0, 10_000))
def test_no_wait_is_longer_than_twice_the_cap(share, attempts):
    assert 0.5 <= Backoff(attempts).next_seconds(share) <= 2 * CAP_SECONDS


def test_success_begins_anew():
    backoff = Backoff(30)
    backoff.succeeded()
    assert backoff.next_seconds(0) == 0.5
