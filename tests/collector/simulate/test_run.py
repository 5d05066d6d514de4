"""The runner's collector: what it has after a restart is what one with a store has."""

import random

import pytest

from fsmend_collector.diagnosis.groups.learnt import rates_to_text
from fsmend_collector.simulate.fleet import FleetShape, make_fleet
from fsmend_collector.simulate.run import Runner
from fsmend_collector.simulate.world import DAY, HOUR, START, Restart, World


@pytest.fixture(scope="module")
def fleet():
    return make_fleet(FleetShape(hosts=200), 1)


def learnt(fleet, *, restarted):
    """Return what is learnt in ten days in which a rack fails, without it and with a restart a few days later."""
    world = World(fleet, "restart", random.Random(1))
    world.background(10)
    for view in fleet.members("rack", fleet.values("rack")[0]):
        world.errors(view, 0, "lost", START + 2 * DAY)
    if restarted:
        world.at(START + 6 * DAY + HOUR, Restart())
    world.end_ns = START + 10 * DAY
    runner = Runner(world)
    runner.run()
    return rates_to_text(runner.diagnosis.scan.rates)


def test_a_restart_changes_nothing_of_what_is_learnt(fleet):
    assert learnt(fleet, restarted=True) == learnt(fleet, restarted=False)
