"""The world's time on the wall clock."""

import random

import pytest

from fsmend_collector.simulate.fleet import FleetShape, make_fleet
from fsmend_collector.simulate.scenarios import scenarios
from fsmend_collector.simulate.wire.timetable import Timetable, default_speed, truth_span
from fsmend_collector.simulate.world import DAY, HOUR, SECOND, START, World

FLEET = make_fleet(FleetShape(hosts=800), seed=3)


def test_a_moment_is_as_far_from_the_start_as_the_speed_says():
    table = Timetable(START, 10 * START, speed=60.0)
    assert table.wall_ns(START + HOUR) == 10 * START + 60 * SECOND
    assert table.in_seconds(START + HOUR, 10 * START) == 60


def test_a_clock_that_stands_in_1970_stands_there_on_the_wire():
    assert Timetable(START, 2 * START, speed=720.0).wall_ns(100 * SECOND) == 100 * SECOND


def test_a_rack_fault_is_played_as_it_happens_and_begins_with_the_first_host():
    world = scenarios()["rack_power"].world(FLEET, seed=1)
    first, last = truth_span(world)
    assert START + HOUR <= first <= last <= START + HOUR + 20 * SECOND
    assert default_speed((first, last)) == 1


def test_wear_over_weeks_is_played_within_two_minutes():
    world = scenarios()["batch_wear"].world(FLEET, seed=1)
    first, last = truth_span(world)
    assert (last - first) / SECOND / default_speed((first, last)) == pytest.approx(120)


def test_a_world_without_a_cause_has_a_span_too():
    world = World(FLEET, "nothing", random.Random(1))
    assert truth_span(world) == (START, START)
    world.error(FLEET.views[0], 0, "media", START + DAY)
    assert truth_span(world)[0] >= START + DAY
