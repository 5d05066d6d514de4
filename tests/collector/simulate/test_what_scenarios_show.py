"""What each scenario is there for: beyond the score, the one thing about it that must not go wrong."""

from functools import cache

import pytest

from fsmend_collector.simulate.fleet import FleetShape, make_fleet
from fsmend_collector.simulate.run import Runner
from fsmend_collector.simulate.scenarios import scenarios
from fsmend_collector.simulate.world import HOUR, START
from fsmend_proto.v1 import incident_pb2

FLEET = make_fleet(FleetShape(hosts=2_000), seed=3)
SHARED = {
    "batch_wear": [("LABEL_FAULT", "label:delivery")],
    "clock_skew": [("RACK_FAULT", "rack")],
    "collector_restart": [("RACK_FAULT", "rack")],
    "confounded_model": [("MODEL_FAULT", "model")],
    "confounded_rack": [("RACK_FAULT", "rack")],
    "enclosure_fault": [("ENCLOSURE_FAULT", "enclosure")],
    "firmware_burst": [("FIRMWARE_FAULT", "model+firmware")],
    "firmware_hours": [("FIRMWARE_FAULT", "model+firmware")],
    "foreign_devices": [("HOST_FAULT", "host")],
    "hba_fault": [("HBA_FAULT", "hba")],
    "host_corruption": [("HOST_FAULT", "host")],
    "hot_aisle": [("ENVIRONMENT_DRIFT", "row")],
    "kernel_regression": [("KERNEL_REGRESSION", "signature+kernel")],
    "late": [("RACK_FAULT", "rack")],
    "model_fault": [("MODEL_FAULT", "model")],
    "model_kernel": [("MODEL_KERNEL_FAULT", "model+kernel")],
    "partition": [("CONNECTION_LOST", "row")],
    "power_feed": [("POWER_FAULT", "power_feed")],
    "rack_power": [("RACK_FAULT", "rack")],
    "replay": [("HBA_FAULT", "hba")],
    "smart_sweep": [("FLEET_WIDE", "fleet")],
    "target_loss": [("TARGET_LOST", "target")],
    "third_of_the_fleet": [("FLEET_WIDE", "fleet")],
    "two_causes": [("HBA_FAULT", "hba"), ("RACK_FAULT", "rack")],
    "wrong_topology": [("RACK_FAULT", "rack")],
}
"""Scenario → code and dimension of each shared cause; of all others: none."""


@cache
def ran(name):
    runner = Runner(scenarios()[name].world(FLEET, 9))
    return runner, runner.run()


def told(name, code=""):
    """Return the incidents of a scenario as they were told last, of one code or all."""
    return [one.incident for _, one in ran(name)[0].told.values() if not code or one.incident.code == code]


def own(name):
    """Return the incidents of the units that the scenario itself lets fail."""
    units = {unit for cause in ran(name)[0].world.causes for unit in cause.members}
    return [one for one in told(name) if (one.unit.agent_id, one.unit.device_id or one.unit.filesystem_uuid) in units]


@pytest.mark.parametrize("name", scenarios())
def test_the_shared_causes_that_are_told_are_those_of_the_scenario_and_no_other_was_taken_back(name):
    _, outcome = ran(name)
    assert sorted((one.code, one.dimension) for one in outcome.shared) == SHARED.get(name, [])
    assert outcome.withdrawn == []


def test_a_noisy_host_is_one_incident_that_counts_every_error():
    (incident,) = own("noisy_host")
    assert incident.occurrences == 100_000


def test_clocks_that_are_off_date_no_shared_cause_before_the_scenario_began():
    (incident,) = told("clock_skew", "RACK_FAULT")
    assert START <= incident.onset_ns <= START + 3 * HOUR


def test_what_is_sent_again_is_counted_once():
    once, again = own("hba_fault"), own("replay")
    assert {one.occurrences for one in again} == {one.occurrences for one in once}
    assert all(one.evidence_count == len(set(one.evidence)) for one in again)


def test_a_restart_in_the_middle_tells_the_shared_cause_once():
    (incident,) = told("collector_restart", "RACK_FAULT")
    assert [entry.what for entry in incident.timeline].count("opened") == 1


def test_a_host_that_speaks_of_other_hosts_disks_harms_only_itself():
    runner, outcome = ran("foreign_devices")
    (cause,) = outcome.shared
    assert runner.diagnosis.scan.disowned == len(cause.members)
    assert {agent_id for agent_id, _ in cause.members} == {cause.value}
    assert all(one.unit.agent_id == cause.value for one in own("foreign_devices"))


def test_a_maintenance_that_was_told_takes_what_it_explains_out_of_the_count():
    assert ran("maintenance")[0].diagnosis.scan.swallowed > 100


def test_hosts_that_reboot_in_waves_are_not_even_silent():
    assert told("rollout_reboots", "AGENT_SILENT") == []


def test_after_a_partition_no_agent_is_silent_any_more():
    silent = told("partition", "AGENT_SILENT")
    assert len(silent) == 200
    assert {one.state for one in silent} == {incident_pb2.INCIDENT_STATE_RESOLVED}


def test_a_sweep_that_finds_old_errors_is_one_incident_of_all_it_found():
    (cause,) = ran("smart_sweep")[1].shared
    assert len(cause.members) == 250


def test_errors_follow_the_drive_when_names_change():
    (incident,) = own("renamed")
    assert incident.evidence_count == 20


def test_a_drive_that_fails_in_two_hosts_is_two_incidents_of_the_same_drive():
    first, second = own("moved_drive")
    assert first.unit.device_id == second.unit.device_id
    assert first.unit.agent_id != second.unit.agent_id


def test_counters_from_before_the_agent_are_old_news():
    old = [one for one in told("agent_upgrade", "FS_CORRUPTION") if "from before the agent watched" in one.summary]
    assert len(old) == 150


def test_a_kernel_regression_names_the_place_in_the_code():
    (cause,) = ran("kernel_regression")[1].shared
    signature, _, kernel = cause.value.partition(" on ")
    assert ":" in signature
    assert kernel == ran("kernel_regression")[0].world.causes[0].value


def test_each_of_two_causes_keeps_its_own_members():
    first, second = ran("two_causes")[1].shared
    assert not first.members & second.members


def test_members_of_a_shared_cause_have_no_open_incident_of_their_own():
    for name in SHARED:
        members = {unit for cause in ran(name)[1].shared for unit in cause.members}
        assert not [one.value for one in ran(name)[1].units if members & one.members], name


def test_a_kernel_that_few_hosts_run_fails_on_all_of_them():
    fleet = make_fleet(FleetShape(hosts=60), 1)
    (cause,) = scenarios()["kernel_regression"].world(fleet, 1).causes
    assert {agent_id for agent_id, _ in cause.members} == {one.agent_id for one in fleet.members("kernel", cause.value)}
