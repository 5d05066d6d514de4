"""What crosses is a function of the set of marks, whatever the order in which they came and when it was looked at."""

from functools import cache

from hypothesis import given, settings
from hypothesis import strategies as st
from soak import examples

from fsmend_collector.diagnosis.groups.marks import Mark
from fsmend_collector.diagnosis.groups.series import Series
from fsmend_collector.diagnosis.groups.settings import DAY_NS

SECOND = 1_000_000_000
WINDOWS = (10, 60, 86_400, 300_000)
DAYLONG = ((2, 86_400),)


@cache
def limits(day):
    """Return other limits on other days."""
    return tuple(sorted(zip((2, 3, 4 + day % 2, 7), WINDOWS, strict=True)))


def mark(number, disk, second):
    return Mark(second * SECOND, ("media", 0, f"a{number}", f"d{disk}"), "e")


def naive(marks, *, wide):
    """Return the intervals of each window by a walk back from every mark."""
    marks = sorted(marks, key=lambda one: one.identity)
    crossings = {}
    for seconds in WINDOWS:
        found, reach, enough = [], -1, 0
        for end, last in enumerate(marks):
            least = next(row[0] for row in limits(last.time_ns // DAY_NS) if row[1] == seconds)
            begin_ns = last.time_ns - seconds * SECOND
            if found and reach >= begin_ns and least <= enough:
                found[-1][1] = last.time_ns
                continue
            start_ns = walk_back(marks[: end + 1], begin_ns, least, wide=wide)
            if start_ns is None:
                continue
            reach, enough = start_ns, least
            if found and start_ns <= found[-1][1]:
                found[-1] = [min(found[-1][0], start_ns), last.time_ns]
            else:
                found.append([start_ns, last.time_ns])
        if found:
            crossings[seconds] = found
    return crossings


def walk_back(marks, begin_ns, least, *, wide):
    inside = [one for one in marks if one.time_ns >= begin_ns]
    names = [one.agent_id if wide else one.key for one in inside]
    at = len(inside)
    while at > 0 and len(set(names[at:])) < least:
        at -= 1
    seen = set(names[at:])
    if len(seen) < least:
        return None
    while at > 0 and names[at - 1] in seen:
        at -= 1
    return inside[at].time_ns


def shown(series):
    return {seconds: [[one.start_ns, one.end_ns] for one in rows] for seconds, rows in series.crossings.items()}


MARKS = st.lists(
    st.builds(mark, st.integers(0, 9), st.integers(0, 2), st.one_of(st.integers(0, 200), st.integers(86_300, 86_500))),
    unique_by=lambda one: one.identity,
    max_size=40,
)


@settings(deadline=None, max_examples=examples(200))
@given(MARKS, st.booleans(), st.data())
def test_marks_in_any_order_looked_at_at_any_time_cross_as_all_of_them_at_once(marks, wide, data):
    series = Series(wide)
    for one in marks:
        series.insert(one)
        if data.draw(st.booleans()):
            series.evaluate(2, limits)
    gone = data.draw(st.lists(st.sampled_from(marks), unique_by=id, max_size=5)) if marks else []
    for one in gone:
        series.remove(one)
    series.evaluate(2, limits)
    assert shown(series) == naive([one for one in marks if one not in gone], wide=wide)


@settings(deadline=None, max_examples=examples(15))
@given(st.randoms(use_true_random=False), st.integers(1, 400))
def test_long_series_go_back_to_a_state_before_what_is_late(rng, late):
    marks = [mark(rng.randrange(40), number, 2 * number + rng.randrange(2)) for number in range(400)]
    series = Series(wide=True)
    for at, one in enumerate(marks):
        series.insert(one)
        if at % 7 == 0:
            series.evaluate(2, limits)
    extra = mark(3, 999, 2 * late)
    series.insert(extra)
    series.evaluate(2, limits)
    assert shown(series) == naive([*marks, extra], wide=True)


def test_what_comes_in_order_is_walked_once(monkeypatch):
    steps = []
    whole = Series._step
    monkeypatch.setattr(Series, "_step", lambda self, at, rows: steps.append(at) or whole(self, at, rows))
    series = Series(wide=True)
    for number in range(500):
        series.insert(mark(number % 50, number, number))
        series.evaluate(2, limits)
    walked = len(steps)
    assert walked <= 500
    series.insert(mark(1, 9_999, 498))  # a little late
    series.evaluate(2, limits)
    assert len(steps) < walked + 10


def test_while_all_windows_hold_enough_as_it_is_nothing_is_stepped_through(monkeypatch):
    series = Series(wide=True)
    for number in range(9):
        series.insert(mark(number, number, 100))
    series.evaluate(2, limits)
    monkeypatch.delattr(Series, "_step")
    for second in range(101, 110):
        series.insert(mark(second, 0, second))
        series.evaluate(2, limits)
    assert [rows[-1].end_ns for rows in series.crossings.values()] == [109 * SECOND] * len(WINDOWS)


def test_a_mark_that_is_a_little_late_takes_little_back_though_all_windows_held():
    series = Series(wide=True)
    for second in range(200):
        series.insert(mark(second, 0, second))
        series.evaluate(2, lambda _day: DAYLONG)
    series.insert(mark(3, 1, 197))
    assert series.crossings[86_400][-1].end_ns == 197 * SECOND  # though nobody looked since


def test_what_a_time_holds_includes_both_its_ends():
    series = Series(wide=True)
    for second in (1, 2, 3, 4):
        series.insert(mark(second, 0, second))
    assert [one.time_ns // SECOND for one in series.between(2 * SECOND, 3 * SECOND)] == [2, 3]
