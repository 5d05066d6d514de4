"""The sequential test: what is taken back leaves no trace."""

import math
from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st

from fsmend_collector.diagnosis.groups import drift as module
from fsmend_collector.diagnosis.groups.drift import Drift, bound

HOUR = 3_600_000_000_000
ROWS = st.lists(st.tuples(st.integers(0, 5 * HOUR), st.sampled_from("abcd")), min_size=1, max_size=40)


def fed(rows):
    drift, time_ns = Drift(3.0, 36 * HOUR, per_hour=0.05, height=2.0), HOUR
    for gap_ns, host in rows:
        time_ns += gap_ns
        drift.add(time_ns, host)
    return drift


def state(drift):
    return (drift.sum, drift.onset_ns, drift.at_ns, drift.count, drift.hosts, drift.found)


@settings(deadline=None)
@given(ROWS, st.data())
def test_taking_marks_back_gives_the_state_before_them(rows, data):
    count = data.draw(st.integers(0, len(rows)))
    with patch.object(module, "_LOG_FROM", 0):
        drift = fed(rows)
    assert drift.back(count)
    assert state(drift) == state(fed(rows[:count]))


def test_of_a_short_run_nothing_is_remembered_because_it_is_walked_anew():
    drift = fed([(HOUR, "a")] * 10)
    assert not drift.back(9)
    assert drift.back(10)


def test_further_back_than_is_remembered_is_said():
    drift = Drift(3.0, HOUR, per_hour=0.1)
    for number in range(5_000):
        drift.add(number * HOUR, "a")
    assert not drift.back(10)
    assert drift.back(4_000)


def test_a_host_counts_once_in_a_quiet_time():
    drift = Drift(3.0, 36 * HOUR, per_hour=1e-9)
    for number in range(10):
        drift.add(HOUR + number, "a")
    assert math.isclose(drift.sum, math.log(3.0), rel_tol=1e-6)


def test_a_group_where_much_is_expected_must_rise_higher():
    assert bound(10.0, 1e4, 0.01) > bound(1e-3, 1e4, 0.01) >= 5 * math.log(2)
