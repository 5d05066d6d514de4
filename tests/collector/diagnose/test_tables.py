"""Settings survive the way to another process."""

import json
from dataclasses import replace

from fsmend_collector.diagnose.tables import read_tables, tables_of
from fsmend_collector.diagnosis import DiagnosisConfig, read_config
from fsmend_collector.diagnosis.groups import ScanSettings


def test_what_is_handed_over_is_what_arrives():
    diagnosis, _ = read_config({"mute_growth": 3.5, "rules": {"fs_io": {"count": 7}}})
    groups = replace(ScanSettings(), budget_per_day=0.5, windows_seconds=(300, 900), rates={"lost": 1e-5})
    raw = json.loads(json.dumps(tables_of(diagnosis, groups)))
    assert read_tables(raw) == (diagnosis, groups, [])


def test_the_defaults_are_themselves():
    raw = json.loads(json.dumps(tables_of(DiagnosisConfig(), ScanSettings())))
    assert read_tables(raw) == (DiagnosisConfig(), ScanSettings(), [])


def test_every_problem_of_both_is_named_and_other_tables_are_not_looked_at():
    _, _, problems = read_tables({"diagnosis": {"speed": 1}, "groups": 3, "store": {"url": 4}})
    assert len(problems) == 2
    assert problems[0] == "groups: must be a table, [groups]"
