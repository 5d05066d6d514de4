"""What would change our mind is what does change it: the observations are made, and the scan is asked again."""

import pytest
from collector.diagnosis.groups.fleets import DISKS, causes, error, scanned

from fsmend_collector.diagnosis.groups.minds import Kind, _least, of_cause, of_suspect
from fsmend_collector.diagnosis.shared import SharedIncident
from fsmend_proto.v1 import incident_pb2

RACK, ROW = ("rack", "r2"), ("row", "w0")


def rack(hosts=range(20, 30), disks=2):
    return [error(number, disk, "lost", number - 20) for number in hosts for disk in range(disks)]


def firmware(failing=20):
    """One disk each of so many hosts with model M1 and firmware F1, over two hours."""
    hosts = [number for number in range(400) if number % 3 == 1 and number // 3 % 2 == 1]
    spread = [hosts[at * 29 % len(hosts)] for at in range(failing)]
    return [error(number, at % DISKS, "media", at * 360) for at, number in enumerate(spread)]


def other_firmware(count):
    hosts = [number for number in range(400) if number % 3 == 1 and number // 3 % 2 == 0]
    return [error(number, at % DISKS, "media", 30 + at * 300) for at, number in enumerate(hosts[:count])]


def verdict(scan, group):
    return next(one for one in scan.verdicts.values() if one.group == group)


def kinds(found):
    return {one.kind: one.count for one in found}


def test_as_many_more_outside_as_are_asked_for_put_the_suspect_first():
    found = verdict(scanned(rack()), RACK)
    rival, marks = found.best.rivals[ROW]
    more = kinds(of_suspect(found.best, ROW))[Kind.MORE_OUTSIDE]

    def score(count):
        others = scanned(rack() + [error(number, 1, "lost", 3) for number in range(count)])
        series = others._series["lost", ROW]
        again = frozenset(series.between(rival.start_ns, rival.end_ns))
        assert len(again) == len(marks) + count
        return rival.score(again)

    assert score(more) > found.best.score >= score(more - 1)


def test_a_suspect_inside_the_cause_rises_only_when_the_rest_has_another_reason():
    found = verdict(scanned(firmware()), ("model+firmware", "M1 F1"))
    inner = next(group for group in found.best.rivals if group[0] == "model+kernel")
    counts = kinds(of_suspect(found.best, inner))
    rival, marks = found.best.rivals[inner]
    fewer = counts[Kind.FEWER_INSIDE]
    apart = sorted(found.best.marks - marks, key=lambda mark: mark.agent_id)  # one mark a host

    def cause_score(count):
        return found.best.candidate.score(found.best.marks.difference(apart[:count]))

    assert cause_score(fewer) < rival.score(marks) <= cause_score(fewer - 1)


def test_the_cause_is_withdrawn_when_as_many_units_are_taken_out():
    found = verdict(scanned(firmware(12)), ("model+firmware", "M1 F1"))
    count = kinds(of_cause(found.best))[Kind.WITHDRAWN]
    hosts = sorted(mark.agent_id for mark in found.marks)
    left = [one for one in firmware(12) if one.agent_id not in hosts[:count]]
    assert causes(scanned(left)) == {}
    assert ("model+firmware", "M1 F1") in causes(scanned(firmware(12)))


def test_siblings_that_fail_alike_take_the_firmware_out_of_it():
    group = ("model+firmware", "M1 F1")
    found = verdict(scanned(firmware()), group)
    more = kinds(of_cause(found.best))[Kind.SIBLINGS]
    assert group not in causes(scanned(firmware() + other_firmware(more)))


def test_the_incident_says_so_in_words_with_figures_of_every_suspect():
    found = verdict(scanned(rack()), RACK)
    incident = SharedIncident(found, 1, 1).incident({})
    assert incident.statistics.hosts == 10
    assert incident.statistics.group_per_hour == incident.statistics.fleet_per_hour > 0
    assert incident.cause.mind_changes[0].kind == incident_pb2.MIND_CHANGE_KIND_WITHDRAWN
    for suspect in incident.suspects:
        assert (suspect.figures.observed, suspect.figures.explains) == (10, 20)
        assert suspect.figures.score < incident.statistics.score
        assert suspect.mind_changes
    row = next(one for one in incident.suspects if one.dimension == "row")
    assert "of row w0, outside rack r2, that fail" in row.mind_changes[0].text


def test_a_suspect_that_lies_within_the_cause_asks_for_nothing_outside_it():
    found = verdict(scanned(firmware()), ("model+firmware", "M1 F1"))
    inner = next(group for group in found.best.rivals if group[0] == "model")
    assert Kind.MORE_OUTSIDE in kinds(of_suspect(found.best, inner))
    whole = verdict(scanned([error(n, n % DISKS, "health", n % 200) for n in range(400)]), ("fleet", "all"))
    for group in whole.best.rivals:
        assert Kind.MORE_OUTSIDE not in kinds(of_suspect(whole.best, group))


@pytest.mark.parametrize("wanted", [1, 2, 7, 64, 65])
def test_the_least_is_found_by_halving(wanted):
    assert _least(lambda n: n >= wanted, 65) == wanted
    assert _least(lambda n: n >= wanted, wanted - 1) == 0
