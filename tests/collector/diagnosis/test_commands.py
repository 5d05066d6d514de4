"""Commands of ours: under repair, results that are no faults, proof, and no proof."""

import pytest
from collector.diagnosis.findings import (
    DAY,
    SECOND,
    START,
    btrfs,
    engine,
    feed,
    only,
    run,
    state_name,
    target,
    update,
)

from fsmend_collector.diagnosis.holds import REST_OF
from fsmend_proto.v1 import command_pb2, event_pb2, incident_pb2


def corrupt_btrfs():
    diagnosis = engine()
    feed(diagnosis, [btrfs("FS_DATA_CORRUPTION", 0, count=12, reading=12)])
    return diagnosis


def test_healing_scrub_goes_from_open_over_repairing_to_resolved_with_both_readings():
    diagnosis = corrupt_btrfs()
    assert [change.what for change in run(diagnosis, update("RUNNING"), 10)] == ["repairing"]
    assert state_name(only(diagnosis)) == "repairing"
    report = update("SUCCEEDED", "HEALED", errors_found=12_800, errors_corrected=12_800)
    (change,) = run(diagnosis, report, 20)
    assert change.what == "resolved"
    assert state_name(change.incident) == "resolved"
    assert change.incident.resolved_ns == START + 20 * SECOND
    assert "12800 errors found, 12800 corrected, 0 uncorrectable" in change.incident.resolution
    assert "before: devid 2 corruption_errors 12" in change.incident.resolution
    assert "after: all counters zero" in change.incident.resolution


def test_what_the_agent_says_in_the_same_words_is_said_once():
    diagnosis = corrupt_btrfs()
    report = update("SUCCEEDED", "HEALED", errors_found=12, errors_corrected=12)
    report.message = "healed: 12 errors found, 12 corrected, 0 uncorrectable"
    (change,) = run(diagnosis, report, 20)
    assert change.incident.resolution.count("errors found") == 1
    assert change.incident.resolution.startswith("succeeded, healed; 12 errors found")


def test_what_the_agent_says_beyond_that_is_kept():
    diagnosis = corrupt_btrfs()
    report = update("SUCCEEDED", "HEALED", errors_found=12, errors_corrected=12)
    report.message = "healed: 12 errors found, 12 corrected, 0 uncorrectable; the limit was lowered meanwhile"
    (change,) = run(diagnosis, report, 20)
    assert change.incident.resolution.endswith("; the limit was lowered meanwhile")


def test_a_check_that_only_did_the_rest_of_an_earlier_one_proves_nothing():
    diagnosis = corrupt_btrfs()
    now = START + 20 * SECOND
    clean = update("SUCCEEDED", "CLEAN")
    diagnosis.observe_update("a1", "c1", target(), clean, now, now, f"{REST_OF}scrub_btrfs")
    assert state_name(only(diagnosis)) == "open"
    diagnosis.observe_update("a1", "c2", target(), clean, now + SECOND, now + SECOND, "scrub_btrfs")
    assert [state_name(one) for one in diagnosis.incidents()] in ([], ["resolved"])


def test_evidence_that_is_collected_is_no_repair_however_fast_it_is():
    diagnosis = corrupt_btrfs()
    now = START + 10 * SECOND
    for state in ("RUNNING", "SUCCEEDED"):
        diagnosis.observe_update("a1", "c1", target(), update(state), now, now, "collect_evidence")
        assert state_name(only(diagnosis)) == "open"
    assert "repairing" not in {entry.what for entry in only(diagnosis).timeline}


@pytest.mark.parametrize("verdict", ["NOT_HEALED", "OFFLINE_NEEDED"])
def test_scrub_that_did_not_heal_leaves_the_incident_open_and_says_so(verdict):
    diagnosis = corrupt_btrfs()
    run(diagnosis, update("RUNNING"), 10)
    run(diagnosis, update("SUCCEEDED", verdict), 20)
    incident = only(diagnosis)
    assert state_name(incident) == "open"
    assert "repair finished" in [entry.what for entry in incident.timeline]


def test_uncorrectable_errors_keep_the_incident_open_whatever_the_verdict_says():
    diagnosis = corrupt_btrfs()
    run(diagnosis, update("SUCCEEDED", "HEALED", errors_found=3, errors_corrected=2, errors_uncorrectable=1), 20)
    assert state_name(only(diagnosis)) == "open"


def test_uncorrectable_errors_of_a_scrub_open_an_incident():
    diagnosis = engine()
    report = update("SUCCEEDED", "NOT_HEALED", errors_found=3, errors_uncorrectable=3)
    (change,) = run(diagnosis, report, 20)
    assert (change.what, change.incident.code, change.incident.occurrences) == ("opened", "FS_DATA_CORRUPTION", 3)


@pytest.mark.parametrize("state", ["FAILED", "REFUSED", "TIMED_OUT", "CANCELLED", "EXPIRED", "UNKNOWN"])
def test_command_that_did_not_succeed_proves_nothing(state):
    diagnosis = corrupt_btrfs()
    run(diagnosis, update("RUNNING"), 10)
    run(diagnosis, update(state, "HEALED"), 20)
    assert state_name(only(diagnosis)) == "open"


def test_findings_of_our_scrub_are_results_and_no_new_faults():
    diagnosis = corrupt_btrfs()
    run(diagnosis, update("RUNNING"), 10)
    during = btrfs("FS_DATA_CORRUPTION", 12, count=12_800, devid=0, source="kmsg")
    named = btrfs("FS_CORRECTED", 13, command_id="c1")
    assert feed(diagnosis, [during, named]) == []
    run(diagnosis, update("SUCCEEDED", "HEALED"), 20)
    late = btrfs("FS_DATA_CORRUPTION", 80, count=12_800, reading=12_812)
    assert feed(diagnosis, [late]) == []
    incident = only(diagnosis)
    assert (state_name(incident), incident.occurrences) == ("resolved", 12)
    assert "12801 errors reported meanwhile" in incident.resolution


def test_finding_that_names_only_the_device_belongs_to_our_scrub_too():
    diagnosis = corrupt_btrfs()
    feed(diagnosis, [btrfs("FS_DATA_CORRUPTION", 1, device_name="loop0", device_id="loop:0", devid=0)])
    run(diagnosis, update("RUNNING"), 10)
    nameless = btrfs("FS_CORRECTED", 12, filesystem_uuid="", device_id="", device_name="", devid=0, count=500)
    assert feed(diagnosis, [nameless]) == []
    run(diagnosis, update("SUCCEEDED", "HEALED"), 20)
    assert state_name(only(diagnosis)) == "resolved"
    assert only(diagnosis).occurrences == 13


def test_findings_of_a_scrub_that_failed_are_faults_after_all():
    diagnosis = engine()
    run(diagnosis, update("RUNNING"), 10)
    assert feed(diagnosis, [btrfs("FS_DATA_CORRUPTION", 12, count=7)]) == []
    run(diagnosis, update("FAILED"), 20)
    assert only(diagnosis).occurrences == 7


def test_device_that_goes_away_during_our_scrub_is_a_fault():
    diagnosis = corrupt_btrfs()
    run(diagnosis, update("RUNNING"), 10)
    feed(diagnosis, [btrfs("DEVICE_GONE", 12)])
    assert {incident.code for incident in diagnosis.incidents()} == {"FS_DATA_CORRUPTION", "DEVICE_GONE"}


def test_ordered_command_stands_in_the_timeline():
    diagnosis = corrupt_btrfs()
    queued = command_pb2.COMMAND_STATE_QUEUED
    (change,) = diagnosis.note_command("c1", "a1", target(), queued, START + SECOND, "scrub_btrfs")
    assert change.what == "repair ordered"
    assert change.incident.timeline[-1].command_id == "c1"


def test_collecting_evidence_is_no_repair_and_hides_nothing():
    diagnosis = corrupt_btrfs()
    diagnosis.note_command("c1", "a1", target(), command_pb2.COMMAND_STATE_SENT, START, "collect_evidence")
    run(diagnosis, update("RUNNING"), 10)
    assert state_name(only(diagnosis)) == "open"
    feed(diagnosis, [btrfs("FS_DATA_CORRUPTION", 11, count=5)])
    assert only(diagnosis).occurrences == 17
    assert only(diagnosis).severity == event_pb2.SEVERITY_ERROR
    assert only(diagnosis).state == incident_pb2.INCIDENT_STATE_OPEN


def test_report_may_name_its_action_itself():
    diagnosis = corrupt_btrfs()
    diagnosis.observe_update("a1", "c1", target(), update("RUNNING"), START, START, "collect_evidence")
    assert state_name(only(diagnosis)) == "open"


def test_command_of_another_agent_hides_nothing():
    diagnosis = corrupt_btrfs()
    run(diagnosis, update("RUNNING"), 10)
    feed(diagnosis, [btrfs("FS_DATA_CORRUPTION", 11, agent_id="a2", event_id="x")])
    assert len(diagnosis.incidents()) == 2


def test_commands_that_nobody_sent_hide_no_more_than_a_bound():
    diagnosis = engine()
    feed(diagnosis, [btrfs("FS_DATA_CORRUPTION", n, command_id=f"c{n}") for n in range(1_000)])
    assert only(diagnosis).occurrences == 800


def test_findings_of_a_command_that_never_ended_are_faults_in_the_end():
    diagnosis = engine()
    feed(diagnosis, [btrfs("FS_DATA_CORRUPTION", 1, command_id="c1", count=3)])
    diagnosis.tick(START + 6 * DAY)
    assert diagnosis.incidents() == []
    diagnosis.tick(START + 8 * DAY)
    assert only(diagnosis).occurrences == 3
