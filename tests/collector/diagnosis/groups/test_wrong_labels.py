"""A place that fails is told though some of its hosts have no label, or the label of another one."""

from collector.diagnosis.groups.fleets import DAY, SECOND, START, error

from fsmend_collector.diagnosis.groups import DeviceView, GroupScan, HostView, Population

DISKS = 8


def host(number, *, rack=None):
    """Return the n-th host: twenty a rack, two racks a feed, forty a delivery, three deliveries a room."""
    rack = f"r{number // 20}" if rack is None else rack
    labels = {
        "rack": rack,
        "power_feed": f"p{number // 40}",
        "room": f"o{number // 120}",
        "delivery": f"d{number // 40}",
    }
    disks = tuple(DeviceView(f"wwid:{number}-{at}", f"sd{at}", "M", "F", "hba0") for at in range(DISKS))
    named = tuple(sorted((name, value) for name, value in labels.items() if value))
    return HostView(f"a{number}", f"h{number}", "6.1", named, disks)


def scanned(stream, *, silent=(), relabelled=None, without=()):
    """Return the causes that a scan tells, with the hosts of each."""
    views = [host(number, rack=(relabelled or {}).get(number)) for number in range(1_200)]
    views = [HostView(v.agent_id, v.host_name, v.kernel, _less(v.labels, without), v.devices) for v in views]
    population = Population()
    for view in views:
        population.add(view)
    scan = GroupScan(population)
    for number in silent:
        scan.learn_view(views[number])
        scan.observe_silence(f"a{number}", START + number * SECOND)
    for one in stream:
        scan.learn_view(views[int(one.agent_id[1:])])
        scan.observe(one)
        scan.tick(one.received_ns)
    scan.settle(max((one.received_ns for one in stream), default=START) + DAY)
    return {one.group: {int(mark.agent_id[1:]) for mark in one.marks} for one in scan.verdicts.values()}


def _less(labels, without):
    return tuple(one for one in labels if one[0] not in without)


def power_goes(hosts):
    return [error(number, disk, "lost", at) for at, number in enumerate(hosts) for disk in range(DISKS)]


def test_hosts_without_the_label_of_a_rack_may_stand_in_it():
    unlabelled = dict.fromkeys((3, 6, 9, 12, 15, 17), "")
    assert scanned([], silent=range(20), relabelled=unlabelled) == {("rack", "r0"): set(range(20))}


def test_as_many_hosts_with_labels_of_other_racks_speak_for_the_feed_of_all():
    elsewhere = {number: f"r{20 + number}" for number in (3, 6, 9, 12, 15, 17)}
    assert list(scanned([], silent=range(20), relabelled=elsewhere)) == [("power_feed", "p0")]


def test_a_label_of_the_operator_may_mean_a_place_too():
    elsewhere = {3: "r9", 6: "r14"}
    found = scanned([], silent=range(20), relabelled=elsewhere, without=("power_feed", "room"))
    assert found == {("rack", "r0"): set(range(20))}


def test_a_rack_that_falls_silent_explains_the_lost_disks_of_a_host_without_its_label():
    found = scanned(power_goes(range(5)), silent=range(20), relabelled={2: ""})
    assert list(found) == [("rack", "r0")]
