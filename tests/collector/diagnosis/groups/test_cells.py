"""Units of a host that are in the same groups share them."""

from collector.diagnosis.groups.fleets import HOSTS, POPULATION

from fsmend_collector.diagnosis.groups.aspects import DEVICE, FILESYSTEM
from fsmend_collector.diagnosis.groups.cells import Cells
from fsmend_collector.diagnosis.groups.counting import Counting
from fsmend_collector.diagnosis.groups.rates import Rates
from fsmend_collector.diagnosis.groups.settings import ScanSettings


def counting():
    return Counting(ScanSettings(), POPULATION, Rates(ScanSettings()))


def test_a_disk_is_in_the_groups_that_its_view_says_without_those_too_small():
    cells = Cells(counting())
    for view in HOSTS[:5]:
        for one in view.devices:
            groups, keys = cells.groups("media", view, DEVICE, one.device_id, own=True)
            said = view.unit_groups(DEVICE, one.device_id)
            assert list(groups) == [
                group for group in said if group[0] in {"host", "hba"} or POPULATION.worth_counting(group)
            ]
            assert keys == tuple(("media", group) for group in groups)


def test_disks_behind_one_adapter_share_their_groups_and_aspects_are_told_apart():
    cells, view = Cells(counting()), HOSTS[7]
    first, second, other = (view.devices[at].device_id for at in (0, 1, 7))
    assert (
        cells.groups("media", view, DEVICE, first, own=True)[1]
        is cells.groups("media", view, DEVICE, second, own=True)[1]
    )
    assert (
        cells.groups("media", view, DEVICE, other, own=True)[0]
        != cells.groups("media", view, DEVICE, first, own=True)[0]
    )
    assert cells.groups("lost", view, DEVICE, first, own=True)[1][0][0] == "lost"
    assert ("filesystem_type", "xfs") in cells.groups("corrupt", view, FILESYSTEM, "fs-7-0", own=True)[0]


def test_what_a_host_says_of_foreign_disks_speaks_against_the_host_only():
    assert Cells(counting()).groups("lost", HOSTS[7], DEVICE, "wwid:9-1", own=False)[0] == (("host", "a7"),)


def test_a_view_or_a_population_that_changed_is_looked_at_anew():
    counts, view = counting(), HOSTS[7]
    cells = Cells(counts)
    before = cells.groups("media", view, DEVICE, "wwid:7-0", own=True)[1]
    cells.forget("a7")
    after = cells.groups("media", view, DEVICE, "wwid:7-0", own=True)[1]
    assert after is not before
    counts.forget_thresholds()
    assert cells.groups("media", view, DEVICE, "wwid:7-0", own=True)[1] is not after
