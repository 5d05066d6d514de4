"""What the policy orders in a simulated world, counted by rules that are not the policy's own."""

import pytest

from fsmend_collector.simulate.fleet import FleetShape, make_fleet
from fsmend_collector.simulate.orders import NO_SHARED_CAUSES, OrderingRunner
from fsmend_collector.simulate.scenarios import scenarios

FLEET = make_fleet(FleetShape(hosts=200), seed=3)


def ordered(name, **options):
    runner = OrderingRunner(scenarios()[name].world(FLEET, 9), **options)
    runner.run()
    return runner.orders


def test_a_third_of_the_fleet_is_not_repaired_one_by_one_under_a_shared_cause():
    orders = ordered("third_of_the_fleet")
    assert (orders.beyond_cap, orders.under_shared, orders.twice) == (0, 0, 0)


def test_without_a_shared_cause_the_share_of_the_fleet_stops_repairs():
    orders = ordered("third_of_the_fleet", settings=NO_SHARED_CAUSES)
    assert orders.repairs == orders.most_hosts == 4  # two in a hundred of 200 hosts
    assert (orders.beyond_cap, orders.twice) == (0, 0)


@pytest.mark.parametrize("lost_every", [0, 1])
def test_a_command_is_never_ordered_twice_whatever_is_lost(lost_every):
    orders = ordered("lost_acknowledgement", takes_seconds=600, lost_every=lost_every)
    assert orders.repairs > 0
    assert orders.twice == 0


def test_the_executor_sees_what_goes_beyond_the_cap(monkeypatch):
    monkeypatch.setattr(f"{OrderingRunner.__module__}.within_share", lambda proposed, *_: proposed)
    orders = ordered("third_of_the_fleet", settings=NO_SHARED_CAUSES)
    assert orders.beyond_cap == orders.repairs - 4 > 0
