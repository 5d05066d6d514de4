"""Both stages together: a shared cause takes its members' incidents in, and lets them go."""

import pytest
from collector.diagnosis.groups.fleets import DISKS, HOSTS, HOUR, POPULATION, SECOND, START, error

from fsmend_collector.diagnosis import DiagnosisConfig
from fsmend_collector.diagnosis.fleet import FleetDiagnosis
from fsmend_proto.v1 import event_pb2, incident_pb2


def diagnosed(stream) -> tuple[FleetDiagnosis, list]:
    diagnosis, changes = FleetDiagnosis(DiagnosisConfig(), POPULATION), []
    for one in stream:
        diagnosis.learn_view(HOSTS[int(one.agent_id[1:])])
        changes += diagnosis.observe(one, one.time_ns)
    for at in range(3):
        changes += diagnosis.tick(START + (200 + at) * SECOND)
    return diagnosis, changes


def rack():
    return [error(20 + n, disk, "lost", n) for n in range(10) for disk in range(DISKS)]


def returned(host: int, disk: int, time_ns: int):
    kind, severity = event_pb2.EVENT_KIND_DEVICE_ADDED, event_pb2.SEVERITY_INFO
    return error(host, disk, "lost", (time_ns - START) / SECOND, kind=kind, severity=severity)


def test_members_are_merged_and_one_incident_is_left():
    diagnosis, changes = diagnosed(rack())
    (incident,) = diagnosis.incidents()
    assert (incident.code, incident.cause.dimension, incident.cause.value) == ("RACK_FAULT", "rack", "r2")
    assert len(incident.members) == 80
    last = {change.incident.id: change.incident for change in changes}
    members = [one for one in last.values() if one.id != incident.id]
    assert {one.state for one in members} == {incident_pb2.INCIDENT_STATE_MERGED}
    assert {one.merged_into for one in members} == {incident.id}


def test_a_shared_cause_is_over_when_all_members_are():
    diagnosis, _ = diagnosed(rack())
    back = [returned(20 + n, disk, START + 300 * SECOND) for n in range(10) for disk in range(DISKS)]
    changes = []
    for one in back[:-1]:
        changes += diagnosis.observe(one, one.time_ns)
    assert [one.state for one in diagnosis.incidents() if one.code == "RACK_FAULT"] == [
        incident_pb2.INCIDENT_STATE_OPEN
    ]
    diagnosis.observe(back[-1], back[-1].time_ns)
    assert {one.state for one in diagnosis.incidents()} == {incident_pb2.INCIDENT_STATE_RESOLVED}


def test_two_failing_neighbours_say_that_the_evidence_is_insufficient():
    _, changes = diagnosed([error(20, 1, "lost", 0), error(21, 1, "lost", 5)])
    assert any("1 other in rack r2" in change.incident.insufficient for change in changes)


def test_a_restart_goes_on_with_the_same_incidents():
    stream = rack()
    first, changes = diagnosed(stream)
    stored = {change.incident.id: change.incident for change in changes}
    second = FleetDiagnosis(DiagnosisConfig(), POPULATION)
    second.restore(stored.values(), START + 400 * SECOND)
    for one in stream:
        second.learn_view(HOSTS[int(one.agent_id[1:])])
        second.scan.observe(one)
    for at in range(3):
        second.tick(START + (400 + at) * SECOND)
    assert [one.id for one in second.incidents()] == [one.id for one in first.incidents()]


BACK, LATE = START + 20 * HOUR, START + 24 * HOUR


def ended() -> tuple[FleetDiagnosis, list]:
    """Return a diagnosis in which all drives of a rack were lost and came back, one of them long before the others."""
    diagnosis, changes = diagnosed(rack())
    for n in range(10):
        for disk in range(DISKS):
            back_ns = BACK - 10 * HOUR if (n, disk) == (0, 1) else BACK
            changes += diagnosis.observe(returned(20 + n, disk, back_ns), BACK)
    assert {one.state for one in diagnosis.incidents()} == {incident_pb2.INCIDENT_STATE_RESOLVED}
    return diagnosis, changes


def restarted(changes: list) -> FleetDiagnosis:
    second = FleetDiagnosis(DiagnosisConfig(), POPULATION)
    second.restore({change.incident.id: change.incident for change in changes}.values(), BACK + HOUR)
    for one in rack():
        second.learn_view(HOSTS[int(one.agent_id[1:])])
        second.scan.observe(one)
        second.observe_presence(one.agent_id, "", connected=True, since_ns=BACK + HOUR, now_ns=BACK + HOUR)
    second.resume(BACK + HOUR)
    return second


def come_late(
    diagnosis: FleetDiagnosis, happened_ns: int, aspect: str = "media"
) -> dict[str, incident_pb2.IncidentState]:
    """Let an error of a member come late; return the last state of each incident that changed, by code."""
    changes = diagnosis.observe(error(20, 1, aspect, (happened_ns - START) / SECOND), LATE)
    changes += diagnosis.tick(LATE + 2 * SECOND)
    return {change.incident.code: change.incident.state for change in changes}


@pytest.mark.parametrize("restart", [False, True])
def test_a_late_error_from_before_the_end_opens_a_shared_cause_again(restart):
    diagnosis, changes = ended()
    diagnosis = restarted(changes) if restart else diagnosis
    states = come_late(diagnosis, BACK - HOUR)
    assert states == {"RACK_FAULT": incident_pb2.INCIDENT_STATE_OPEN, "DEVICE_GONE": incident_pb2.INCIDENT_STATE_MERGED}


@pytest.mark.parametrize("restart", [False, True])
def test_an_error_after_the_end_of_a_shared_cause_is_the_units_own(restart):
    diagnosis, changes = ended()
    diagnosis = restarted(changes) if restart else diagnosis
    assert come_late(diagnosis, BACK + HOUR) == {"DEVICE_GONE": incident_pb2.INCIDENT_STATE_OPEN}


def test_a_late_error_opens_a_shared_cause_again_although_a_newer_one_came_first():
    diagnosis, _ = ended()
    assert "RACK_FAULT" not in come_late(diagnosis, BACK + HOUR)
    assert come_late(diagnosis, BACK - HOUR)["RACK_FAULT"] == incident_pb2.INCIDENT_STATE_OPEN


def test_a_late_error_that_a_proof_covers_opens_nothing():
    diagnosis, _ = ended()
    assert "RACK_FAULT" not in come_late(diagnosis, BACK + HOUR)
    assert "RACK_FAULT" not in come_late(diagnosis, BACK - 12 * HOUR, "lost")


@pytest.mark.parametrize("restart", [False, True])
def test_a_late_error_opens_nothing_that_an_operator_ended(restart):
    diagnosis, changes = diagnosed(rack())
    (shared,) = diagnosis.incidents()
    changes += diagnosis.resolve(shared.id, "power is back", BACK, "operator:ada")
    diagnosis = restarted(changes) if restart else diagnosis
    assert "RACK_FAULT" not in come_late(diagnosis, BACK - HOUR)


@pytest.mark.parametrize("restart", [False, True])
def test_a_shared_cause_that_a_late_error_opened_ends_with_it(restart):
    diagnosis, changes = ended()
    diagnosis = restarted(changes) if restart else diagnosis
    come_late(diagnosis, BACK - HOUR)
    (shared,) = (one for one in diagnosis.incidents() if one.code == "RACK_FAULT")
    (member,) = (one for one in diagnosis.units.incidents() if one.unit.device_id == "wwid:20-1")
    states = {one.incident.code: one.incident for one in diagnosis.resolve(member.id, "replaced", LATE, "operator:ada")}
    assert states["RACK_FAULT"].state == incident_pb2.INCIDENT_STATE_RESOLVED
    assert states["RACK_FAULT"].id == shared.id
