"""The truth about a cause that takes weeks is what anybody could know of it."""

import random

from fsmend_collector.diagnosis.groups import DeviceView, HostView
from fsmend_collector.simulate.derived import RealDrives
from fsmend_collector.simulate.fleet import FleetShape, SimulatedFleet
from fsmend_collector.simulate.world import DAY, START, World


def world(*, hours):
    """Return a world of two deliveries of five hosts, with the hours of the disks of each."""
    fleet = SimulatedFleet(FleetShape(hosts=10), 1, RealDrives())
    for number in range(10):
        disk = DeviceView(f"wwid:{number}", "sda", "M", "F", "hba0", hours=hours[number // 5])
        view = HostView(f"agent-{number:06}", f"h{number}", "6.1", (("delivery", f"d{number // 5}"),), (disk,))
        fleet.views.append(view)
        fleet.by_agent[view.agent_id] = view
        fleet.population.add(view)
    return World(fleet, "slow", random.Random(1))


def worn(one, *, numbers, days, aspect="media"):
    return [
        one.errors(one.fleet.views[number], 0, aspect, START + day * DAY)
        for number, day in zip(numbers, days, strict=True)
    ]


def test_what_begins_to_fail_alike_in_its_group_and_time_is_a_member_whoever_let_it_fail():
    one = world(hours=(1_000, 9_000))
    worn(one, numbers=[2, 3, 6], days=[5, 20, 5])  # inside, after it, and in the other delivery
    worn(one, numbers=[4], days=[6], aspect="link")
    units = worn(one, numbers=[0, 1], days=[1, 9])
    one.slow_cause("label:delivery", "d0", units, aspect="media")
    (cause,) = one.causes
    assert {unit for _, unit in cause.members} == {"wwid:0", "wwid:1", "wwid:2"}
    assert cause.aspect == "media"


def test_another_group_of_exactly_the_same_drives_is_the_same_cause():
    apart, alike = (world(hours=hours) for hours in ((1_000, 9_000), (1_000, 1_000)))
    for one in (apart, alike):
        one.slow_cause("label:delivery", "d0", worn(one, numbers=[0, 1], days=[1, 9]), aspect="media")
    assert apart.causes[0].same == {("hours", "0-5000")}
    assert alike.causes[0].same == frozenset()
