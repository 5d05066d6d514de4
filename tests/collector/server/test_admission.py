from hypothesis import given
from hypothesis import strategies as st

from fsmend_collector.server.admission import FLAPPING_FENCES, Admission, CloneWatch


@given(st.integers(1, 50), st.lists(st.floats(0, 3), max_size=300))
def test_never_more_than_a_seconds_worth_is_admitted_beyond_the_rate(per_second, pauses):
    admission, now, admitted = Admission(per_second), 1_000.0, 0
    for pause in pauses:
        now += pause
        admitted += admission.admit(now)
    assert admitted <= per_second + per_second * (now - 1_000.0) + 1


def test_a_burst_is_admitted_and_the_rest_comes_back_later_and_later():
    admission = Admission(10)
    admitted = [admission.admit(5.0) for _ in range(45)]
    assert sum(admitted) == 10
    assert admission.retry_after_seconds() == 4
    assert admission.admit(6.0)


def test_a_clock_that_stands_still_admits_nothing_more():
    admission = Admission(1)
    assert admission.admit(1.0)
    assert not admission.admit(1.0)
    assert not admission.admit(0.5)


def observe(watch, boots, fenced=False, step=1.0):
    return [watch.observe("a", boot, fenced_living=fenced, now_seconds=n * step) for n, boot in enumerate(boots)]


def test_reboots_are_no_clones():
    assert not any(observe(CloneWatch(), ["b1", "b2", "b3", "b3", "b4"], fenced=False))


def test_a_boot_that_comes_back_is_a_clone():
    assert observe(CloneWatch(), ["b1", "b2", "b1"])[2].startswith("boot b1 came back")


def test_two_on_one_kernel_are_found_by_their_flapping():
    reasons = observe(CloneWatch(), ["b"] * FLAPPING_FENCES, fenced=True)
    assert not any(reasons[:-1])
    assert "thrown out" in reasons[-1]


def test_a_poor_network_is_no_clone():
    assert not any(observe(CloneWatch(), ["b"] * 50, fenced=True, step=8.0))


def test_a_released_agent_begins_anew():
    watch = CloneWatch()
    observe(watch, ["b1", "b2"])
    watch.forget("a")
    assert not watch.observe("a", "b1", fenced_living=False, now_seconds=9.0)
