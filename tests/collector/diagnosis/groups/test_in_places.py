"""One model that fails in some places only, at one time: one cause with its places named; else each place is its own."""

import pytest
from collector.diagnosis.groups.fleets import DAY, HOUR, SECOND, START, error

from fsmend_collector.diagnosis.groups import DeviceView, GroupScan, HostView, Population
from fsmend_collector.diagnosis.shared import SharedIncident

ROOM = 60
MINUTE = 60


def host(number, model):
    labels = (("room", f"o{number // ROOM}"), ("role", f"role{number % 5}"))
    disk = DeviceView(f"wwid:{number}-0", "sda", model, "", "hba0")
    return HostView(f"a{number}", f"h{number}", "6.1", labels, (disk,))


HOSTS = [host(number, f"M{number % 2}") for number in range(40 * ROOM)]
POPULATION = Population()
for _view in HOSTS:
    POPULATION.add(_view)


def scanned(stream):
    scan = GroupScan(POPULATION)
    for one in stream:
        scan.learn_view(HOSTS[int(one.agent_id[1:])])
        scan.observe(one)
        scan.tick(one.received_ns)
    scan.settle(START + 2 * DAY)
    return list(scan.verdicts.values())


def failing(room, begins_seconds, *, count=8, models=(1,)):
    """Return the loss of so many disks in a room, of some models only, one every other second."""
    fits = [number for number in range(room * ROOM, (room + 1) * ROOM) if number % 2 in models]
    return [error(number, 0, "lost", begins_seconds + 2 * at) for at, number in enumerate(fits[:count])]


def test_a_model_that_fails_in_three_rooms_in_one_minute_is_one_cause_that_names_the_rooms():
    (verdict,) = scanned([*failing(3, 0), *failing(17, 20, count=9), *failing(29, 40)])
    assert verdict.group == ("model", "M1")
    assert verdict.places == (("room", "o17"), ("room", "o29"), ("room", "o3"))
    assert len(verdict.marks) == 25
    incident = SharedIncident(verdict, START, START).incident({})
    assert "model M1: disks of 25 hosts fail, in room o17, room o29, room o3 (" in incident.summary


def test_of_many_places_the_summary_names_the_first():
    (verdict,) = scanned([one for room in (3, 17, 29, 31, 38) for one in failing(room, room)])
    assert len(verdict.places) == 5
    summary = SharedIncident(verdict, START, START).incident({}).summary
    assert "in room o17, room o29, room o3, 2 more places (" in summary


def test_the_same_rooms_on_one_day_but_hours_apart_are_three_causes():
    hours = HOUR // SECOND
    found = scanned([*failing(3, 0), *failing(17, 2 * hours, count=9), *failing(29, 4 * hours)])
    assert {one.group for one in found} == {("room", "o3"), ("room", "o17"), ("room", "o29")}
    assert not any(one.places for one in found)


def test_rooms_that_fail_in_one_minute_whatever_the_model_stay_apart():
    found = scanned([*failing(3, 0, models=(0, 1)), *failing(17, 20, models=(0, 1)), *failing(29, 40, models=(0, 1))])
    assert {one.group for one in found} == {("room", "o3"), ("room", "o17"), ("room", "o29")}


@pytest.mark.parametrize("share", [3, 2])
def test_rooms_of_which_a_good_part_fails_stay_apart_though_it_is_all_of_one_model(share):
    found = scanned([*failing(3, 0, count=ROOM // share), *failing(17, 20, count=ROOM // share)])
    assert {one.group for one in found} == {("room", "o3"), ("room", "o17")}


def test_a_disk_of_the_model_that_fails_elsewhere_in_that_minute_belongs_to_it():
    stray = error(701, 0, "lost", 30)
    (verdict,) = scanned([*failing(3, 0), *failing(17, 20), *failing(29, 40), stray])
    assert verdict.group == ("model", "M1")
    assert ("a701", "wwid:701-0") in {mark.unit for mark in verdict.marks}
