"""A storm is looked at as it grows; what it hits is held at once, and what fails apart from it is told at once."""

import random
from collections import Counter
from dataclasses import replace

import pytest
from collector.diagnosis.groups.fleets import DAY, DISKS, POPULATION, SECOND, START, causes, content, error, feed, host

from fsmend_collector.diagnosis.groups import GroupScan, Population, bounds
from fsmend_collector.diagnosis.groups.explain import explain
from fsmend_collector.diagnosis.groups.solving import Solving

SPREAD = random.Random(5).sample(range(30, 400), 260)


@pytest.fixture
def storm(monkeypatch) -> GroupScan:
    """Return a scan that told of a storm on half of the fleet."""
    monkeypatch.setattr(bounds, "STORM", 100)
    scan = GroupScan(POPULATION)
    feed(scan, [error(number, 1, "media", at / 10) for at, number in enumerate(SPREAD[:200])], ticks=False)
    scan.settle(START + 60 * SECOND)
    assert causes(scan) == {("fleet", "all"): 200}
    return scan


def test_what_the_storm_hits_meanwhile_is_a_member_at_once_and_is_not_solved_at_once(storm):
    told = dict(storm.verdicts)
    feed(storm, [error(SPREAD[200], 1, "media", 61)], ticks=False)
    assert storm.member_of(f"a{SPREAD[200]}", f"wwid:{SPREAD[200]}-1") in told
    assert storm.tick(START + 62 * SECOND) == []
    assert storm.verdicts == told
    storm.settle(START + 63 * SECOND)
    assert sum(causes(storm).values()) == 201


def test_a_storm_is_solved_as_often_as_it_doubles(monkeypatch):
    monkeypatch.setattr(bounds, "STORM", 100)
    solved = []
    monkeypatch.setattr(
        "fsmend_collector.diagnosis.groups.solving.explain",
        lambda candidates, within: solved.append(1) or explain(candidates, within),
    )
    scan = GroupScan(POPULATION)
    stream = [
        error(number, disk, "media", (disk * len(SPREAD) + at) / 100)
        for disk in range(DISKS)
        for at, number in enumerate(SPREAD)
    ]
    for at, one in enumerate(stream):
        feed(scan, [one], ticks=False)
        if at % 10 == 0:
            scan.tick(one.time_ns)
    assert len(solved) < 30  # of 208 ticks
    scan.settle(START + 60 * SECOND)
    calm = GroupScan(POPULATION)
    feed(calm, stream, ticks=False)
    calm.settle(START + 60 * SECOND)
    assert content(scan) == content(calm)


def test_a_small_fault_of_another_kind_is_told_at_the_next_tick(storm):
    feed(storm, [error(20 + n, disk, "lost", 61) for n in range(10) for disk in range(DISKS)], ticks=False)
    told = storm.tick(START + 62 * SECOND)
    assert ("rack", "r2") in {verdict.group for verdict, _ in told}


def test_a_storm_of_a_row_does_not_hide_a_fault_elsewhere_of_the_same_kind(monkeypatch):
    monkeypatch.setattr(bounds, "STORM", 100)
    scan = GroupScan(POPULATION)
    feed(scan, [error(number, disk, "lost", number / 10) for number in range(50) for disk in range(DISKS)], ticks=False)
    scan.settle(START + 60 * SECOND)
    assert causes(scan) == {("row", "w0"): 400}
    feed(scan, [error(300, disk, "lost", 60.5 + disk / 10) for disk in range(4)], ticks=False)
    told = scan.tick(START + 61 * SECOND)  # sooner than all of it is looked at again
    assert [(verdict.group, what) for verdict, what in told] == [(("hba", "a300 hba0"), "opened")]
    scan.settle(START + DAY)
    assert causes(scan) == {("row", "w0"): 400, ("hba", "a300 hba0"): 4}


def test_what_fails_apart_is_not_looked_for_in_what_failed_days_before(monkeypatch):
    monkeypatch.setattr(bounds, "STORM", 100)
    looked = []
    candidate = Solving._candidate
    monkeypatch.setattr(Solving, "_candidate", lambda self, *made: looked.append(made) or candidate(self, *made))
    scan = GroupScan(POPULATION)
    before = [error(number, 0, "media", number % 10) for first in (100, 200, 300) for number in range(first, first + 4)]
    feed(scan, before, ticks=False)
    later = DAY // SECOND
    storm = [error(number, disk, "media", later + number / 10) for number in range(50) for disk in range(DISKS)]
    feed(scan, storm, ticks=False)
    scan.settle(START + DAY + 60 * SECOND)
    looked.clear()
    for number in (109, 209, 309):  # of each rack one, so none of them fails anew
        feed(scan, [error(number, 3, "media", later + 61)], ticks=False)
    scan.tick(START + DAY + 62 * SECOND)
    assert not looked


def test_after_the_fleet_has_grown_every_candidate_knows_the_new_sizes(monkeypatch):
    seen = []
    monkeypatch.setattr(
        "fsmend_collector.diagnosis.groups.solving.explain",
        lambda candidates, within: seen.extend(candidates) or explain(candidates, within),
    )
    population = Population({group: list(row) for group, row in POPULATION.sizes.items()}, Counter(POPULATION.groups))
    scan = GroupScan(population)
    hosts = [*range(10), *range(200, 209)]  # two racks, of which the second fails on
    feed(scan, [error(number, disk, "lost", 1) for number in hosts for disk in range(DISKS)], ticks=False)
    scan.settle(START + 60 * SECOND)
    for number in range(400, 410):
        population.add(replace(host(number), labels=(("rack", "r0"), ("row", "w0"), ("tier", "t0"))))
    scan.counting.forget_thresholds()
    seen.clear()
    feed(scan, [error(209, disk, "lost", 61) for disk in range(DISKS)], ticks=False)
    scan.settle(START + 120 * SECOND)
    assert {one.hosts for one in seen if one.group == ("rack", "r0")} == {20}


def test_fresh_marks_that_are_over_do_not_break_a_look_in_passing(storm):
    feed(storm, [error(2, 0, "media", 61, agent_id="a3")], ticks=False)  # another's disk: in no group but its host
    storm._expire(START + 40 * DAY)
    storm._crossings.forget_empty()
    assert storm.tick(START + 62 * SECOND) == []
