"""Operators' words: a mute, and their word as the proof that an incident is over."""

import pytest
from collector.diagnosis.groups.fleets import DISKS, HOSTS, SECOND, START, error
from collector.diagnosis.test_fleet_diagnosis import diagnosed, rack

from fsmend_collector.diagnosis import DiagnosisConfig, FleetDiagnosis
from fsmend_collector.diagnosis.groups import Population
from fsmend_proto.v1 import incident_pb2

LATER = START + 1_000 * SECOND
RESOLVED, OPEN = incident_pb2.INCIDENT_STATE_RESOLVED, incident_pb2.INCIDENT_STATE_OPEN
ADA = "operator:ada"


def latest(changes):
    return {change.incident.id: change.incident for change in changes}


def one_broken_disk():
    diagnosis, changes = diagnosed([error(20, 1, "lost", 0)])
    (incident,) = latest(changes).values()
    return diagnosis, incident.id


def silent(now_ns=LATER):
    diagnosis = FleetDiagnosis(DiagnosisConfig(), Population())
    diagnosis.observe_presence("a1", "h1", connected=False, since_ns=START, now_ns=START)
    (change,) = diagnosis.tick(now_ns)
    assert change.incident.code == "AGENT_SILENT"
    return diagnosis, change.incident.id


def test_an_operators_word_resolves_and_is_kept_with_the_name():
    diagnosis, name = one_broken_disk()
    (incident,) = latest(diagnosis.resolve(name, "disk thrown away", LATER, ADA)).values()
    assert (incident.state, incident.resolution) == (RESOLVED, "operator:ada: disk thrown away")
    assert incident.resolved_ns == LATER
    assert [entry.text for entry in incident.timeline if entry.what == "resolved"] == [incident.resolution]


def test_a_newer_error_opens_it_again_and_an_older_one_does_not():
    diagnosis, name = one_broken_disk()
    diagnosis.resolve(name, "replaced", LATER, ADA)
    late = diagnosis.observe(error(20, 1, "lost", 900), LATER + SECOND)
    assert all(change.incident.state == RESOLVED for change in late)
    again = latest(diagnosis.observe(error(20, 1, "lost", 1_100), LATER + 100 * SECOND))
    assert again[name].state == OPEN


def test_a_host_that_will_never_return_stays_resolved_over_restarts():
    diagnosis, name = silent()
    stored = latest(diagnosis.resolve(name, "sold", LATER, ADA))[name]
    assert stored.state == RESOLVED
    assert not any(diagnosis.tick(LATER + at * 86_400 * SECOND) for at in range(1, 30))
    second = FleetDiagnosis(DiagnosisConfig(), Population())
    second.restore([stored], LATER)
    second.observe_presence("a1", "h1", connected=False, since_ns=LATER, now_ns=LATER)
    assert not any(second.tick(LATER + at * 400 * SECOND) for at in range(10))


def test_a_host_that_was_written_off_and_returns_is_watched_again():
    diagnosis, name = silent()
    stored = latest(diagnosis.resolve(name, "sold", LATER, ADA))
    back = LATER + 3_600 * SECOND
    stored |= latest(diagnosis.observe_presence("a1", "h1", connected=True, since_ns=back, now_ns=back))
    assert stored[name].resolution == "the agent is connected"
    second = FleetDiagnosis(DiagnosisConfig(), Population())
    second.restore(stored.values(), back)
    away = back + 3_600 * SECOND
    second.observe_presence("a1", "h1", connected=False, since_ns=away, now_ns=away)
    changes = second.tick(away + 400 * SECOND)
    assert [change.incident.state for change in changes] == [OPEN]


def test_a_shared_cause_resolved_by_an_operator_gives_its_members_back():
    diagnosis, changes = diagnosed(rack())
    (shared,) = diagnosis.incidents()
    changes = latest(diagnosis.resolve(shared.id, "power is back", LATER, ADA))
    assert changes[shared.id].state == RESOLVED
    assert changes[shared.id].resolution == "operator:ada: power is back"
    states = [one.state for one in changes.values() if one.id != shared.id]
    assert states == [OPEN] * 10 * DISKS


def test_with_its_members_nothing_is_left():
    diagnosis, _ = diagnosed(rack())
    (shared,) = diagnosis.incidents()
    changes = latest(diagnosis.resolve(shared.id, "rack scrapped", LATER, ADA, members=True))
    assert {one.state for one in changes.values()} == {RESOLVED}
    assert len(changes) == 1 + 10 * DISKS
    assert changes[shared.id].resolution == "operator:ada: rack scrapped"


def test_a_member_that_is_forgotten_does_not_hold_up_the_word_on_the_others():
    diagnosis, _ = diagnosed(rack())
    (shared,) = diagnosis.incidents()
    diagnosis._shared[shared.id].unresolved["inc-0"] = START
    changes = latest(diagnosis.resolve(shared.id, "rack scrapped", LATER, ADA, members=True))
    assert {one.state for one in changes.values()} == {RESOLVED}
    assert len(changes) == 1 + 10 * DISKS


def test_a_mute_of_a_shared_cause_falls_when_twice_as_many_units_fail():
    diagnosis, _ = diagnosed([error(20 + n, 0, "lost", n) for n in range(4)])
    (shared,) = diagnosis.incidents()
    diagnosis.mute(shared.id, LATER * 2, LATER, ADA)
    assert diagnosis.incidents()[0].muted_until_ns == LATER * 2
    for n in range(5):
        diagnosis.learn_view(HOSTS[24 + n])
        diagnosis.observe(error(24 + n, 0, "lost", 10 + n), LATER)
    changes = latest(diagnosis.tick(LATER + 60 * SECOND) + diagnosis.tick(LATER + 61 * SECOND))
    assert changes[shared.id].muted_until_ns == 0
    assert "the mute fell, because it got worse" in [entry.text for entry in changes[shared.id].timeline]


def test_a_mute_of_a_shared_cause_falls_also_when_it_gets_worse_little_by_little():
    diagnosis, _ = diagnosed([error(20 + n, 0, "lost", n) for n in range(4)])
    (shared,) = diagnosis.incidents()
    diagnosis.mute(shared.id, LATER * 2, LATER, ADA)
    for n in range(5):
        diagnosis.learn_view(HOSTS[24 + n])
        diagnosis.observe(error(24 + n, 0, "lost", 10 + n), LATER)
        for second in range(2):
            diagnosis.tick(LATER + (60 + 10 * n + second) * SECOND)
        assert (diagnosis.incidents()[0].muted_until_ns == 0) == (n == 4)


@pytest.mark.parametrize("word", ["mute", "resolve"])
def test_a_word_on_an_unknown_incident_is_refused(word):
    diagnosis, _ = one_broken_disk()
    with pytest.raises(KeyError):
        diagnosis.mute("inc-0", LATER * 2, LATER, ADA) if word == "mute" else diagnosis.resolve("inc-0", "x", 1, ADA)
