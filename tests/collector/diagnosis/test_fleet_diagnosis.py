"""Both stages together: a shared cause takes its members' incidents in, and lets them go."""

from collector.diagnosis.groups.fleets import DISKS, HOSTS, POPULATION, SECOND, START, error

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
