"""Settings are read with every problem listed."""

import pytest

from fsmend_collector.diagnosis import DiagnosisConfig, read_config
from fsmend_collector.diagnosis.config import DEFAULT_RULES


def test_nothing_given_is_the_default():
    assert read_config({}) == (DiagnosisConfig(), [])


def test_values_are_taken():
    config, problems = read_config({"join_seconds": 5, "mute_growth": 1.5, "rules": {"fs_io": {"count": 7}}})
    assert problems == []
    assert (config.join_seconds, config.mute_growth) == (5, 1.5)
    assert config.rules["fs_io"].count == 7
    assert config.rules["fs_io"].seconds == DEFAULT_RULES["fs_io"].seconds
    assert config.rules["device_io"] == DEFAULT_RULES["device_io"]


def test_every_problem_is_listed_at_once():
    _, problems = read_config(
        {
            "typo": 1,
            "join_seconds": "5",
            "lateness_seconds": 0,
            "mute_growth": True,
            "rules": {"wrong": {}, "fs_io": {"count": -1, "typo": 1}, "device_io": 3},
        }
    )
    assert [problem.split(":")[0] for problem in problems] == [
        "diagnosis.typo",
        "diagnosis.join_seconds",
        "diagnosis.lateness_seconds",
        "diagnosis.mute_growth",
        "diagnosis.rules.wrong",
        "diagnosis.rules.fs_io.typo",
        "diagnosis.rules.fs_io.count",
        "diagnosis.rules.device_io",
    ]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1.5, None, []])
def test_numbers_that_make_no_sense_are_refused(value):
    assert read_config({"join_seconds": value})[1]


def test_rules_that_are_no_mapping_are_refused():
    config, problems = read_config({"rules": [1]})
    assert len(problems) == 1
    assert config.rules == DEFAULT_RULES
