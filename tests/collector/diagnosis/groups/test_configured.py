"""Settings of the group scan are read with every problem, and each problem says what to do."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsmend_collector.config import parse_config
from fsmend_collector.diagnosis.groups import ScanSettings
from fsmend_collector.diagnosis.groups.configured import read_scan_settings


def test_nothing_given_is_the_default():
    assert read_scan_settings({}) == (ScanSettings(), [])


def test_values_are_taken():
    raw = {"budget_per_day": 1, "windows_seconds": [300, 86_400], "rates": {"lost": 1e-6}, "pairs": 0}
    settings, problems = read_scan_settings(raw)
    assert problems == []
    assert (settings.budget_per_day, settings.windows_seconds, settings.pairs) == (1.0, (300, 86_400), 0.0)
    assert settings.rates == {"lost": 1e-6}
    assert settings.horizon_ns == 2 * 86_400 * 10**9


def test_every_problem_is_listed_at_once_and_says_what_to_do():
    raw = {
        "typo": 1,
        "budget_per_day": 0,
        "least_units": 1,
        "windows_seconds": [86_400, 300],
        "quiet_seconds": 5.5,
        "rates": {"lots": 1e-6},
        "shape": 40.0,
    }
    settings, problems = read_scan_settings(raw)
    assert settings == ScanSettings()
    assert [one.partition(":")[0] for one in problems] == [
        "groups.typo",
        "groups.budget_per_day",
        "groups.least_units",
        "groups.quiet_seconds",
        "groups.rates",
        "groups.windows_seconds",
        "groups.most_shape",
    ]
    assert all(";" in one for one in problems)


@pytest.mark.parametrize("value", [True, "1", None, [], float("nan"), float("inf"), -1])
def test_what_is_no_sensible_number_is_refused(value):
    for key in ("budget_per_day", "least_units", "drift_ratio"):
        assert len(read_scan_settings({key: value})[1]) == 1, key


@given(
    st.dictionaries(st.text(max_size=12), st.none() | st.booleans() | st.text() | st.floats() | st.lists(st.integers()))
)
def test_no_table_breaks_the_reader(raw):
    read_scan_settings(raw)
    read_scan_settings({"windows_seconds": list(raw.values()), "rates": raw})


def test_the_table_is_part_of_the_configuration():
    config, problems = parse_config({"groups": {"least_units": 4, "wrong": 1}})
    assert config.groups.least_units == 4
    assert len(problems) == 1
