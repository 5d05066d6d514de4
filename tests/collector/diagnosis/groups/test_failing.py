"""Failing hosts: distinct hosts of an interval, counted as marks are taken off."""

from hypothesis import given
from hypothesis import strategies as st

from fsmend_collector.diagnosis.groups.failing import FailingHosts
from fsmend_collector.diagnosis.groups.marks import Mark

GROUP = ("rack", "r1")
TIMES = st.integers(0, 20)


def marks_of(rows):
    marks = [Mark(time_ns, ("lost", 0, f"h{host}", f"d{number}"), "") for number, (host, time_ns) in enumerate(rows)]
    return sorted(marks, key=lambda one: one.identity)


def counted_anew(marks, start_ns, end_ns):
    return len({one.agent_id for one in marks if start_ns <= one.time_ns <= end_ns})


@given(st.lists(st.tuples(st.integers(0, 5), TIMES), max_size=30), st.data())
def test_a_count_is_that_of_the_distinct_hosts_whatever_was_taken_off_before(rows, data):
    marks = marks_of(rows)
    failing = FailingHosts(GROUP, 6, marks)
    for _ in range(3):
        start_ns, end_ns = sorted((data.draw(TIMES), data.draw(TIMES)))
        assert failing.count(start_ns, end_ns) == counted_anew(marks, start_ns, end_ns)
        gone = set(data.draw(st.lists(st.sampled_from(marks), unique_by=id))) if marks else set()
        failing.lose(gone)
        marks = [one for one in marks if one not in gone]


def test_marks_of_other_groups_take_nothing_off():
    failing = FailingHosts(GROUP, 6, marks_of([(1, 5), (2, 5)]))
    failing.lose(marks_of([(1, 5)]))
    assert failing.count(0, 10) == 2
