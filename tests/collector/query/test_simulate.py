"""`fsmend simulate` runs scenarios and says what became of them."""

import json

import pytest
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


def test_a_report_and_a_curve_are_written(tmp_path):
    report = tmp_path / "report.html"
    options = ["--hosts", "400", "--seeds", "2", "--curve", "--report", str(report)]
    done = CliRunner().invoke(main, ["simulate", *options, "hba_fault"])
    assert done.exit_code == 0, done.output
    assert "Recall against k" in report.read_text()
    assert done.stdout.splitlines()[1].split()[:3] == ["hba_fault", "2", "2"]


def test_a_fleet_that_is_too_small_is_said_in_one_line():
    done = CliRunner().invoke(main, ["simulate", "model_kernel", "--hosts", "60"])
    assert done.exit_code == 1
    assert "needs more than 60 hosts" in done.stderr


@pytest.mark.parametrize(
    "options",
    [
        ["rack_power", "--stay"],
        ["rack_power", "--report", "/nowhere/at/all/report.html"],
        ["rack_power", "--speed", "2"],
        ["rack_power", "hba_fault", "--start-collector"],
        ["rack_power", "--over-wire", "--start-collector"],
        ["rack_power", "--start-collector", "--curve"],
        ["rack_power", "--start-collector", "--into-this-collector"],
    ],
)
def test_options_that_do_not_belong_together_are_a_usage_error(options):
    assert CliRunner().invoke(main, ["simulate", *options]).exit_code == 2


def test_over_the_wire_goes_to_the_collector_of_the_context(tmp_path):
    done = CliRunner().invoke(
        main, ["--contexts-file", str(tmp_path / "none"), "simulate", "rack_power", "--over-wire"]
    )
    assert done.exit_code == 1
    assert "there is no contexts file" in done.stderr


def test_a_file_that_cannot_be_written_does_not_take_the_figures_along(tmp_path):
    blocked = tmp_path / "report.html"
    blocked.symlink_to(tmp_path / "gone" / "report.html")
    done = CliRunner().invoke(main, ["simulate", "hba_fault", "--hosts", "400", "--report", str(blocked)])
    assert done.exit_code == 1
    assert "hba_fault" in done.stdout
    assert "cannot write" in done.stderr
