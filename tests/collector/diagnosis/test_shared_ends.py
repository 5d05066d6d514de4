"""When a shared cause is over goes by when things happened, not by when they were heard of."""

from dataclasses import replace

import pytest
from collector.diagnosis.groups.fleets import DISKS, HOSTS, HOUR, POPULATION, SECOND, START, error
from collector.diagnosis.test_fleet_diagnosis import diagnosed, rack, returned
from hypothesis import given, settings
from hypothesis import strategies as st
from soak import examples

from fsmend_collector.diagnosis import DiagnosisConfig
from fsmend_collector.diagnosis.fleet import FleetDiagnosis
from fsmend_collector.diagnosis.groups import bounds
from fsmend_proto.v1 import event_pb2, incident_pb2

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


def test_a_late_error_from_before_a_shared_cause_does_not_open_it_again():
    diagnosis, _ = ended()
    assert come_late(diagnosis, START - HOUR) == {"DEVICE_GONE": incident_pb2.INCIDENT_STATE_OPEN}


def test_the_word_of_an_operator_may_be_any_text():
    diagnosis, _ = diagnosed(rack())
    (shared,) = diagnosis.incidents()
    diagnosis.resolve(shared.id, "all incidents of its members are resolved", BACK, "operator:ada")
    assert "RACK_FAULT" not in come_late(diagnosis, BACK - HOUR)


def test_soft_errors_that_come_to_a_rate_after_the_end_open_nothing_again():
    diagnosis, _ = diagnosed(rack())
    soft = {"kind": event_pb2.EVENT_KIND_FS_CORRECTED, "severity": event_pb2.SEVERITY_WARNING}
    times = [BACK - 60 * SECOND, *(BACK + at * SECOND for at in range(1, 10))]
    drip = [error(20, 1, "corrupt", (at - START) / SECOND, ino=at, device_id="wwid:20-1", **soft) for at in times]
    diagnosis.observe(drip[0], drip[0].time_ns)
    for n in range(10):
        for disk in range(DISKS):
            diagnosis.observe(returned(20 + n, disk, BACK), BACK)
    changes = [change for one in drip[1:] for change in diagnosis.observe(one, one.time_ns)]
    assert {change.incident.code for change in changes} == {"FS_DATA_CORRUPTION"}


def test_a_proof_that_comes_late_does_not_put_off_the_end():
    ends = []
    for heard_ns in (BACK, BACK + 12 * HOUR):
        diagnosis, _ = diagnosed(rack())
        for n in range(10):
            for disk in range(DISKS):
                if (n, disk) != (9, 7):
                    diagnosis.observe(returned(20 + n, disk, BACK - 10 * HOUR), BACK - 10 * HOUR)
        events = [(heard_ns, returned(29, 7, BACK)), (BACK + 6 * HOUR, error(20, 1, "media", 26 * 3_600))]
        for at_ns, one in sorted(events, key=lambda row: row[0]):
            diagnosis.observe(one, at_ns)
        (shared,) = (one for one in diagnosis.incidents() if one.code == "RACK_FAULT")
        ends.append((shared.state, shared.resolved_ns))
        assert "DEVICE_GONE" in {one.code for one in diagnosis.incidents()}
    assert ends == [(incident_pb2.INCIDENT_STATE_RESOLVED, BACK)] * 2


def test_a_proof_that_leaves_a_newer_error_ends_what_waited_for_the_older_one():
    diagnosis, _ = diagnosed(rack())
    for n in range(10):
        for disk in range(DISKS):
            if (n, disk) != (0, 1):
                diagnosis.observe(returned(20 + n, disk, BACK), BACK)
    diagnosis.observe(error(20, 1, "media", 21 * 3_600), LATE)
    assert [one.state for one in diagnosis.incidents() if one.code == "RACK_FAULT"] == [
        incident_pb2.INCIDENT_STATE_OPEN
    ]
    changes = diagnosis.observe(returned(20, 1, BACK), LATE)
    states = {change.incident.code: change.incident.state for change in changes}
    assert states == {
        "RACK_FAULT": incident_pb2.INCIDENT_STATE_RESOLVED,
        "DEVICE_GONE": incident_pb2.INCIDENT_STATE_OPEN,
    }


def rack_state(diagnosis: FleetDiagnosis) -> incident_pb2.IncidentState:
    (shared,) = (one for one in diagnosis.incidents() if one.code == "RACK_FAULT")
    return shared.state


def test_an_error_that_its_proof_covers_leaves_a_shared_cause_over_although_it_began_earlier():
    diagnosis, _ = ended()
    diagnosis.observe(error(20, 1, "lost", -30), LATE)
    for at in range(3):
        diagnosis.tick(LATE + (2 + at) * SECOND)
    assert rack_state(diagnosis) == incident_pb2.INCIDENT_STATE_RESOLVED


def test_drives_of_which_loss_and_return_come_at_once_do_not_leave_a_shared_cause_open():
    stream = rack()
    diagnosis, _ = diagnosed([one for one in stream if one.agent_id != "a29"])
    for n in range(9):
        for disk in range(DISKS):
            diagnosis.observe(returned(20 + n, disk, BACK), BACK)
    diagnosis.learn_view(HOSTS[29])
    late = [one for one in stream if one.agent_id == "a29"]
    late += [returned(29, disk, START + 300 * SECOND) for disk in range(DISKS)]
    for one in late:
        diagnosis.observe(one, LATE)
    for at in range(3):
        diagnosis.tick(LATE + (2 + at) * SECOND)
    assert rack_state(diagnosis) == incident_pb2.INCIDENT_STATE_RESOLVED


def test_no_incident_stays_within_a_shared_cause_that_is_over(monkeypatch):
    monkeypatch.setattr(bounds, "STORM", 10)  # so that what comes is a member before it is looked at
    diagnosis, _ = diagnosed([one for one in rack() if one.agent_id != "a29"])
    diagnosis.learn_view(HOSTS[29])
    drives = [(20 + n, disk) for n in range(9) for disk in range(DISKS)]
    for host, disk in drives[1:]:
        diagnosis.observe(returned(host, disk, START + 10 * SECOND), START + 300 * SECOND)
    now_ns = START + 900 * SECOND
    (merged,) = (one.incident for one in diagnosis.observe(error(29, 0, "lost", 12), now_ns))
    assert merged.state == incident_pb2.INCIDENT_STATE_MERGED
    told = diagnosis.observe(returned(*drives[0], START + 10 * SECOND), now_ns)
    assert rack_state(diagnosis) == incident_pb2.INCIDENT_STATE_RESOLVED
    assert {one.incident.id: one.incident.state for one in told}[merged.id] == incident_pb2.INCIDENT_STATE_OPEN
    for at in range(3):  # it is looked at, and is part of it
        diagnosis.tick(now_ns + (2 + at) * SECOND)
    assert rack_state(diagnosis) == incident_pb2.INCIDENT_STATE_OPEN
    diagnosis.observe(returned(29, 0, START + HOUR), START + HOUR)
    assert rack_state(diagnosis) == incident_pb2.INCIDENT_STATE_RESOLVED


def test_after_a_restart_one_return_does_not_end_what_was_heard_of_late():
    heard_ns = START + 5 * HOUR
    diagnosis, changes = FleetDiagnosis(DiagnosisConfig(), POPULATION), []
    for one in rack():
        diagnosis.learn_view(HOSTS[int(one.agent_id[1:])])
        changes += diagnosis.observe(one, heard_ns)
    changes += diagnosis.tick(heard_ns + SECOND) + diagnosis.tick(heard_ns + 3 * SECOND)
    diagnosis = restarted(changes)
    diagnosis.observe(returned(20, 0, START + 2 * HOUR), BACK + 2 * HOUR)
    assert rack_state(diagnosis) == incident_pb2.INCIDENT_STATE_OPEN


def test_a_drive_that_comes_and_goes_does_not_fill_the_memory():
    diagnosis, _ = diagnosed(rack())
    for at in range(500):
        diagnosis.observe(returned(20, 1, START + (600 + 2 * at) * SECOND), START + (600 + 2 * at) * SECOND)
        diagnosis.observe(error(20, 1, "lost", 601 + 2 * at), START + (601 + 2 * at) * SECOND)
    (shared,) = diagnosis._shared.values()
    assert len(shared._by_since) < 300


_DRIVES = [(host, disk) for host in range(20, 24) for disk in range(2)]
_MINUTE = 60 * SECOND


@st.composite
def faults(draw):
    """Draw eight drives that are lost together, come back but for one at most, and a few errors after that."""
    events = [error(*one, "lost", draw(st.floats(0, 60))) for one in _DRIVES]
    minutes = draw(st.lists(st.integers(60, 1_200), min_size=7, max_size=len(_DRIVES)))
    events += [returned(*one, START + at * _MINUTE) for one, at in zip(_DRIVES, minutes, strict=False)]
    for one in draw(st.lists(st.sampled_from(_DRIVES), min_size=1, max_size=3)):
        aspect = draw(st.sampled_from(["lost", "media"]))
        events.append(error(*one, aspect, draw(st.integers(60, 1_440)) * 60 + draw(st.floats(0, 1))))
    return sorted(events, key=lambda one: (one.time_ns, one.event_id))


def received(events, away):
    """Return events with the time of their receipt: an agent that was away sends what it kept, in its order."""
    rows, last_ns = [], {}
    for one in events:
        began_ns, ended_ns = away.get(one.agent_id, (0, 0))
        at_ns = ended_ns if began_ns <= one.time_ns < ended_ns else one.time_ns
        last_ns[one.agent_id] = at_ns = max(at_ns, last_ns.get(one.agent_id, 0))
        rows.append((at_ns, one))
    return sorted(rows, key=lambda row: (row[0], row[1].time_ns, row[1].event_id))


def end_of(rows):
    """Return what is left of events: each incident's state, and the shared cause that it is part of."""
    diagnosis = FleetDiagnosis(DiagnosisConfig(forget_seconds=30 * 86_400), POPULATION)
    for host in range(20, 24):
        diagnosis.learn_view(HOSTS[host])
        diagnosis.observe_presence(f"a{host}", "", connected=True, since_ns=START - HOUR, now_ns=START - HOUR)
    changes = []
    for at_ns, one in rows:
        changes += diagnosis.observe(replace(one, received_ns=at_ns), at_ns) + diagnosis.tick(at_ns + 1)
    changes += diagnosis.tick(START + 60 * HOUR) + diagnosis.tick(START + 60 * HOUR + SECOND)
    last = {change.incident.id: change.incident for change in changes}
    return {key: (one.code, one.state, one.merged_into) for key, one in last.items()}


@settings(deadline=None, max_examples=examples(300))
@given(
    faults(), st.dictionaries(st.sampled_from(["a20", "a21", "a22", "a23"]), st.tuples(*[st.integers(0, 1_440)] * 2))
)
def test_agents_that_were_away_change_nothing_of_how_it_ends(events, minutes):
    away = {
        key: (START + begins * _MINUTE, START + (begins + lasts) * _MINUTE) for key, (begins, lasts) in minutes.items()
    }
    assert end_of(received(events, away)) == end_of(received(events, {}))
