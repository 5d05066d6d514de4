"""One kernel that breaks one place in a filesystem's code."""

from dataclasses import replace

import pytest
from collector.diagnosis.groups.fleets import DISKS, HOUR, POPULATION, SECOND, START, error, feed, scanned

from fsmend_collector.diagnosis.groups import GroupScan
from fsmend_collector.diagnosis.groups.marks import Journal, Mark
from fsmend_collector.diagnosis.groups.signatures import common_signature, signature_of
from fsmend_collector.diagnosis.shared import SharedIncident

CODE = {"function": "xfs_buf_ioend_handle_error", "line": 1307}
NAME = "xfs_buf_ioend_handle_error:1307"
PRIOR = 7.0


def on_one_kernel(count=25, *, others=(), **fields):
    """Return errors of hosts with one kernel, ten minutes apart; those of the numbers in `others` at other places."""
    return [
        error(16 * at + 3, at % DISKS, "corrupt", 600 * at, **({"function": f"other_{at}"} if at in others else fields))
        for at in range(count)
    ]


def verdict_of(stream):
    (found,) = scanned(stream).verdicts.values()
    return found


def test_a_kernel_that_breaks_one_place_is_told_with_that_place():
    verdict = verdict_of(on_one_kernel(**CODE))
    assert verdict.group == ("kernel", "6.3")
    assert verdict.cause == ("signature+kernel", f"{NAME} on 6.3")
    assert verdict.code == "KERNEL_REGRESSION"
    incident = SharedIncident(verdict, START, START).incident({})
    assert (incident.cause.dimension, incident.cause.value) == verdict.cause
    assert f"kernel 6.3: 25 hosts fail, most at {NAME} (" in incident.summary


def test_the_incident_is_the_same_one_before_the_place_is_known():
    few, many = verdict_of(on_one_kernel(9, **CODE)), verdict_of(on_one_kernel(25, **CODE))
    assert (few.group, few.signature) == (many.group, "")
    assert few.incident_id == many.incident_id
    assert few.face != many.face


def test_some_hosts_may_fail_elsewhere():
    assert verdict_of(on_one_kernel(others={3, 11}, **CODE)).signature == NAME


def test_a_kernel_that_breaks_many_places_is_told_alone():
    verdict = verdict_of(on_one_kernel(others=set(range(25)), **CODE))
    assert (verdict.group, verdict.cause) == (("kernel", "6.3"), ("kernel", "6.3"))


def test_the_form_of_the_line_stands_in_where_it_names_no_code():
    assert verdict_of(on_one_kernel(form="btrfs.csum")).cause == ("signature+kernel", "btrfs.csum on 6.3")
    assert signature_of(error(1, 1, "corrupt", 0, function="xfs_a", form="xfs.corrupt")) == "xfs_a"
    assert signature_of(error(1, 1, "corrupt", 0)) == ""


def marks(count, signature, first=0):
    return [
        Mark(START + at, ("corrupt", 1, f"a{at}", "fs"), str(at), signature=signature) for at in range(first, count)
    ]


@pytest.mark.parametrize(("others", "told"), [(0, ""), (12, "xfs_a:1")])
def test_the_more_hosts_fail_elsewhere_in_the_code_the_fewer_tell_the_place(others, told):
    elsewhere = marks(100 + others, "ext4_b:2", first=100)
    assert common_signature(marks(6, "xfs_a:1"), elsewhere, PRIOR) == told


def test_a_place_that_fails_everywhere_is_none_of_the_kernels():
    assert common_signature(marks(20, "xfs_a:1"), [], PRIOR) == "xfs_a:1"
    assert common_signature(marks(20, "xfs_a:1"), marks(160, "xfs_a:1", first=100), PRIOR) == ""


def test_disks_have_no_signatures():
    (verdict,) = scanned(
        [error(16 * at + 3, 0, "media", 60 * at, function="xfs_a", line=1) for at in range(25)]
    ).verdicts.values()
    assert verdict.signature == ""


def test_a_line_that_comes_later_in_the_hour_gives_the_place_and_a_restart_keeps_it():
    scan = GroupScan(POPULATION)
    scan.journal = Journal()
    bare = on_one_kernel()
    feed(scan, bare)
    scan.settle(START + 6 * HOUR)
    assert [one.signature for one in scan.verdicts.values()] == [""]
    feed(scan, [replace(one, event_id=f"{one.event_id}-2", time_ns=one.time_ns + SECOND, **CODE) for one in bare])
    scan.settle(START + 6 * HOUR)
    assert [one.signature for one in scan.verdicts.values()] == [NAME]

    again = GroupScan(POPULATION)
    for view in scan.journal.views.values():
        again.learn_view(view)
    for (key, _), row in scan.journal.sightings.items():
        again.sight(key, *row)
    again.settle(START + 6 * HOUR)
    assert [one.face for one in again.verdicts.values()] == [one.face for one in scan.verdicts.values()]


def test_of_several_places_in_an_hour_the_first_by_name_counts_whatever_came_first():
    names = ("xfs_b", "xfs_a", "xfs_c")
    stream = [
        error(16 * at + 3, at % DISKS, "corrupt", 600 * at + late, function=name)
        for late, name in enumerate(names)
        for at in range(25)
    ]
    assert verdict_of(stream).signature == verdict_of(stream[::-1]).signature == "xfs_a"
