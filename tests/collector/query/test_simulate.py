"""`fsmend simulate` runs scenarios and says what became of them."""

import json

from click.testing import CliRunner

from fsmend_collector.query.cli import main


def test_scenarios_are_listed():
    done = CliRunner().invoke(main, ["simulate", "--list"])
    assert done.exit_code == 0
    assert "rack_power" in done.stdout


def test_a_scenario_is_run_and_its_truth_is_written(tmp_path):
    truth = tmp_path / "truth.json"
    done = CliRunner().invoke(main, ["simulate", "--hosts", "800", "--truth", str(truth), "-o", "json", "hba_fault"])
    assert done.exit_code == 0, done.output
    (row,) = json.loads(done.stdout)["scenarios"]
    assert (row["found"], row["right"], row["told"]) == (1, 1, 1)
    (cause,) = json.loads(truth.read_text())["causes"]["hba_fault"]
    assert cause["dimension"] == "hba"


def test_an_unknown_scenario_is_a_usage_error():
    assert CliRunner().invoke(main, ["simulate", "nothing"]).exit_code == 2
