"""Every scenario is found, is the same for the same seed, and gives the cause that it says it has."""

import pytest

from fsmend_collector.simulate.fleet import FleetShape, make_fleet
from fsmend_collector.simulate.run import Runner
from fsmend_collector.simulate.scenarios import scenarios
from fsmend_collector.simulate.score import resolutions, score

FLEET = make_fleet(FleetShape(hosts=2_000), seed=3)
QUICK = [
    "cable_fault", "collector_restart", "enclosure_fault", "foreign_devices", "hba_fault", "partition", "rack_power",
    "two_causes", "wrong_topology",
]  # fmt: skip


@pytest.mark.parametrize("name", scenarios())
def test_a_scenario_is_the_same_for_the_same_seed_and_says_the_truth(name):
    first, second = (scenarios()[name].world(FLEET, 9) for _ in range(2))
    assert first.happenings == second.happenings
    assert first.causes == second.causes
    assert scenarios()[name].family == "negative" or first.causes


@pytest.mark.parametrize("name", QUICK)
def test_quick_scenarios_are_diagnosed(name):
    runner = Runner(scenarios()[name].world(FLEET, 9))
    outcome = runner.run()
    result = score(outcome, scenarios()[name].family, resolutions(runner.world, runner.diagnosis.scan.counting))
    assert (result.right, result.found, result.unit_repairs) == (result.told, result.causes, 0)
