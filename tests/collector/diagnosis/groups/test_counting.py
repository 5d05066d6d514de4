"""The threshold is the first of the ladder that the budget bears, found without trying all before it."""

import pytest
from collector.diagnosis.groups.fleets import POPULATION, START
from hypothesis import given
from hypothesis import strategies as st

from fsmend_collector.diagnosis.groups.counting import Counting, _first
from fsmend_collector.diagnosis.groups.rates import Rates
from fsmend_collector.diagnosis.groups.settings import DAY_NS, WINDOWS_SECONDS, ScanSettings


@pytest.mark.parametrize("rate", [1e-6, 1e-5, 2e-4])
@pytest.mark.parametrize("group", [("fleet", "all"), ("rack", "r2"), ("kernel", "6.3")])
def test_the_threshold_is_that_of_trying_one_after_the_other(group, rate):
    settings = ScanSettings(rates={"media": rate})
    counting, day = Counting(settings, POPULATION, Rates(settings)), START // DAY_NS
    limits = counting.limits(("media", group), WINDOWS_SECONDS, day)
    assert list(limits) == sorted(limits)
    assert sorted(seconds for _, seconds in limits) == list(WINDOWS_SECONDS)
    for limit, seconds in limits:
        expected = counting.expect("media", group, day * DAY_NS - seconds * 10**9)
        per_hour, least = expected.per_hour * counting.units(group, 0), settings.least_units
        while counting.spent(group, per_hour, expected.shape, seconds, least) > settings.budget_per_day:
            least += 1 if least < 50 else least // 25
        assert limit == least == counting.threshold("media", group, seconds, day * DAY_NS)


@given(st.integers(1, 50), st.integers(0, 60), st.data())
def test_from_whatever_guess_the_search_begins_it_finds_the_first(length, first, data):
    ladder = list(range(length))
    guess = data.draw(st.sampled_from(ladder))
    assert _first(ladder, lambda count: count >= first, guess) == min(first, length)
