"""Sums over runs, and figures for people."""

import pytest
from collector.simulate.report.results import RIGHT, result

from fsmend_collector.simulate.report.totals import NOTHING, Totals, duration, percent


def test_runs_add_up():
    totals = Totals.of([result(), result(score={**RIGHT, "found": 0, "told": 3, "detect_seconds": [0.2, 9.0]})])
    assert (totals.found, totals.causes, totals.right, totals.told) == (1, 2, 2, 4)
    assert totals.seconds == (0.2, 0.8, 9.0)
    assert (totals.quantile(0.5), totals.quantile(0.99)) == (0.8, 9.0)


def test_nothing_to_divide_by_is_no_number():
    assert percent(0, 0) == NOTHING
    assert duration(None) == NOTHING


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0.81, "0.81 s"), (42.4, "42 s"), (600, "10.0 min"), (9_000, "2.5 h"), (259_200, "3.0 d")]
)
def test_times_are_shown_in_a_unit_that_fits(seconds, shown):
    assert duration(seconds) == shown


def test_shares_are_shown_with_one_digit():
    assert (percent(1, 3), percent(3, 3)) == ("33.3 %", "100 %")
