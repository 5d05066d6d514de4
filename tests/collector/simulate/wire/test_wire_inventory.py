"""What simulated agents send is what the in-memory way gives to diagnosis: the same groups, the same findings."""

import random
from dataclasses import replace

import pytest

from fsmend_collector.diagnosis.evidence import Evidence
from fsmend_collector.diagnosis.groups import DeviceView, HostView, view_of
from fsmend_collector.simulate.fleet import FleetShape, make_fleet
from fsmend_collector.simulate.scenarios import scenarios
from fsmend_collector.simulate.wire.events import event_of
from fsmend_collector.simulate.wire.inventory import inventory_of
from fsmend_proto.v1 import event_pb2

CLOCKS = event_pb2.Clocks(wall_ns=1_760_000_000_000_000_000, boot_ns=1, boot_id="boot")


@pytest.fixture(scope="module")
def fleet():
    return make_fleet(FleetShape(hosts=1_200), seed=random.randrange(1_000))


def test_the_inventory_of_every_host_gives_its_view_again(fleet):
    for view in fleet.views:
        assert view_of(view.agent_id, inventory_of(view, CLOCKS)) == view


@pytest.mark.parametrize("name", scenarios())
def test_so_do_the_hosts_that_a_scenario_changes(fleet, name):
    world = scenarios()[name].world(fleet, seed=random.randrange(1_000))
    moved = [what for _, _, what in world.happenings if isinstance(what, HostView)]
    for view in [*world.views.values(), *moved]:
        assert view_of(view.agent_id, inventory_of(view, CLOCKS)) == view


def test_a_remote_disk_keeps_its_target():
    view = HostView("a", devices=(DeviceView("wwid:1", "sda", target="filer7"), DeviceView("wwid:2", "sdb")))
    assert view_of("a", inventory_of(view, CLOCKS)) == view


def test_shelves_of_two_hosts_are_two_groups():
    device = DeviceView("wwid:1", "sda", hba="0000:01:00.0", enclosure="a expander-0:0")
    sent = inventory_of(HostView("a", devices=(device,)), CLOCKS)
    assert view_of("a", sent).devices[0].enclosure != view_of("b", sent).devices[0].enclosure


@pytest.mark.parametrize("name", scenarios())
def test_the_event_of_every_finding_gives_it_again(fleet, name):
    world = scenarios()[name].world(fleet, seed=random.randrange(1_000))
    for _, _, what in world.happenings:
        if isinstance(what, Evidence):
            received_ns = max(what.received_ns, what.time_ns)
            event = event_of(what, event_pb2.Clocks(wall_ns=what.time_ns, boot_ns=1, boot_id="boot"))
            again = Evidence.of(what.event_id, what.agent_id, what.host_name, event, received_ns)
            assert again.host_ns == what.time_ns
            assert replace(again, message="", signature="", received_ns=what.received_ns, host_ns=0) == what
