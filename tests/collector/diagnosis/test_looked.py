"""A command for single pieces proves what it looked at, and nothing beside it."""

import pytest
from collector.diagnosis.findings import (
    SECOND,
    START,
    UUID,
    btrfs,
    engine,
    feed,
    finding,
    only,
    state_name,
    target,
    update,
)

from fsmend_collector.diagnosis.holds import PART_OF
from fsmend_collector.diagnosis.looked import is_part
from fsmend_collector.xfs_items import items_of
from fsmend_proto.v1 import command_pb2 as pb
from fsmend_proto.v1 import event_pb2

AG, INODE = event_pb2.XFS_SCOPE_AG, event_pb2.XFS_SCOPE_INODE
BNOBT, CNTBT = 5, 6
SICK_BNOBT, SICK_CNTBT = 1 << 4, 1 << 5


def xfs(seconds=0.0, **fields):
    names = {"filesystem_uuid": UUID, "filesystem_type": "xfs", "source": "xfs_health"}
    return finding("FS_METADATA_CORRUPTION", seconds, **(names | fields))


def sick_group(number, mask, seconds=0.0):
    return xfs(seconds, sick=True, scope=f"ag {number}", xfs_scope=AG, xfs_number=number, xfs_sick=mask)


def ended(diagnosis, report, seconds, action="repair_xfs", kind="xfs"):
    """Give a good end of a command for pieces; return what changed."""
    now = START + int(seconds * SECOND)
    return diagnosis.observe_update("a1", "c1", target(kind), report, now, now, f"{PART_OF}{action}")


def looked_at(*items, verdict="HEALED", whole=False):
    report = update("SUCCEEDED", verdict)
    for item in items:
        report.result.xfs_scrubs.add(item=item)
    if whole:
        report.result.xfs_scrubs.add(name="the whole filesystem")
    return report


def group(scrub_type, number):
    return pb.XfsScrubItem(type=scrub_type, agno=number)


def test_a_repair_of_all_that_is_sick_is_the_proof():
    diagnosis = engine()
    feed(diagnosis, [sick_group(1, SICK_BNOBT | SICK_CNTBT)])
    ended(diagnosis, looked_at(group(BNOBT, 1), group(CNTBT, 1)), 10)
    assert state_name(only(diagnosis)) == "resolved"


@pytest.mark.parametrize(
    "items",
    [(group(BNOBT, 1),), (group(BNOBT, 2), group(CNTBT, 2)), ()],
    ids=["one of two types", "another group", "nothing named"],
)
def test_a_check_of_something_else_proves_nothing(items):
    diagnosis = engine()
    feed(diagnosis, [sick_group(1, SICK_BNOBT | SICK_CNTBT)])
    ended(diagnosis, looked_at(*items, verdict="CLEAN"), 10, "scrub_xfs")
    incident = only(diagnosis)
    assert state_name(incident) == "open"
    assert "repair finished" in [entry.what for entry in incident.timeline]


def test_an_error_without_a_place_takes_the_whole_filesystem():
    diagnosis = engine()
    feed(diagnosis, [xfs(function="xfs_bnobt_read_verify", source="kmsg")])
    ended(diagnosis, looked_at(group(BNOBT, 1), verdict="CLEAN"), 10)
    assert state_name(only(diagnosis)) == "open"
    ended_whole = looked_at(group(BNOBT, 1), whole=True)
    now = START + 20 * SECOND
    diagnosis.observe_update("a1", "c2", target("xfs"), ended_whole, now, now, f"{PART_OF}repair_xfs")
    assert state_name(only(diagnosis)) == "resolved"


def test_the_pieces_that_the_policy_names_are_what_is_proven():
    diagnosis = engine()
    feed(diagnosis, [sick_group(3, SICK_BNOBT), xfs(1, ino=131, generation=7, source="kmsg")])
    items = items_of(only(diagnosis).places)
    assert {item.ino for item in items} == {0, 131}
    ended(diagnosis, looked_at(*items), 10)
    assert state_name(only(diagnosis)) == "resolved"


def test_what_fails_elsewhere_during_a_check_of_pieces_is_a_fault():
    diagnosis = engine()
    feed(diagnosis, [sick_group(1, SICK_BNOBT)])
    now = START + 5 * SECOND
    running = update("RUNNING")
    diagnosis.observe_update("a1", "c1", target("xfs"), running, now, now, f"{PART_OF}repair_xfs")
    feed(diagnosis, [xfs(6, ino=999, source="kmsg"), sick_group(2, SICK_BNOBT, 6), sick_group(1, SICK_CNTBT, 7)])
    ended(diagnosis, looked_at(group(BNOBT, 1)), 10)
    incident = only(diagnosis)
    assert state_name(incident) == "open"
    assert {place.ino for place in incident.places} == {0, 999}
    assert {place.xfs_number for place in incident.places if place.xfs_sick} == {1, 2}
    feed(diagnosis, [xfs(11, ino=1000, source="kmsg")])
    assert 1000 in {place.ino for place in only(diagnosis).places}


def test_a_scrub_of_one_device_proves_nothing_of_another():
    diagnosis = engine()
    feed(diagnosis, [btrfs("FS_DATA_CORRUPTION", 0, devid=1), btrfs("FS_DATA_CORRUPTION", 1, devid=2)])
    ended(diagnosis, update("SUCCEEDED", "HEALED", devid=2), 10, "scrub_btrfs", "btrfs")
    assert state_name(only(diagnosis)) == "open"
    both = update("SUCCEEDED", "HEALED", devid=2)
    both.result.scrubs.add(devid=1)
    now = START + 20 * SECOND
    diagnosis.observe_update("a1", "c2", target(), both, now, now, f"{PART_OF}scrub_btrfs")
    assert state_name(only(diagnosis)) == "resolved"


@pytest.mark.parametrize(
    ("command", "part"),
    [
        (pb.Command(scrub_xfs=pb.ScrubXfs()), False),
        (pb.Command(scrub_xfs=pb.ScrubXfs(items=[group(BNOBT, 1)])), True),
        (pb.Command(repair_xfs=pb.RepairXfs(items=[group(BNOBT, 1)])), True),
        (pb.Command(scrub_btrfs=pb.ScrubBtrfs()), False),
        (pb.Command(scrub_btrfs=pb.ScrubBtrfs(devids=[2])), True),
        (pb.Command(collect_evidence=pb.CollectEvidence()), False),
    ],
)
def test_a_command_that_names_pieces_is_a_part(command, part):
    assert is_part(command) is part


def test_after_merged_errors_pieces_prove_nothing_until_the_whole_was_checked():
    diagnosis = engine()
    feed(diagnosis, [xfs(ino=131, source="fanotify", count=2, others_unknown=True), sick_group(1, SICK_BNOBT)])
    merged = only(diagnosis)
    assert merged.others_unknown
    assert items_of(merged.places, others_unknown=merged.others_unknown) == []
    ended(diagnosis, looked_at(*items_of(merged.places)), 10)
    assert state_name(only(diagnosis)) == "open"

    now = START + 20 * SECOND
    diagnosis.observe_update("a1", "c2", target("xfs"), looked_at(whole=True), now, now, "repair_xfs")
    assert state_name(only(diagnosis)) == "resolved"
    feed(diagnosis, [xfs(30, ino=132, source="fanotify")])
    again = only(diagnosis)
    assert (state_name(again), again.others_unknown) == ("open", False)


def test_that_errors_were_merged_outlives_a_restart():
    diagnosis = engine()
    feed(diagnosis, [xfs(ino=131, source="fanotify", count=2, others_unknown=True)])
    later = engine()
    later.restore(diagnosis.incidents(), START + SECOND)
    assert only(later).others_unknown


def test_what_the_kernel_called_healthy_before_the_end_of_its_repair_is_proven_too():
    diagnosis = engine()
    directory = {"scope": "inode 137", "xfs_scope": INODE, "ino": 137, "generation": 7}
    feed(diagnosis, [xfs(sick=True, xfs_sick=1 << 4, **directory), xfs(1, ino=137, generation=7, source="fanotify")])
    items = items_of(only(diagnosis).places)
    healthy = finding("FS_HEALTHY", 5, filesystem_uuid=UUID, filesystem_type="xfs", sick=False, **directory)
    feed(diagnosis, [healthy, xfs(6, ino=137, generation=7, source="fanotify")])
    assert state_name(only(diagnosis)) == "open"
    ended(diagnosis, looked_at(*items), 10)
    assert state_name(only(diagnosis)) == "resolved"


def test_of_a_check_that_found_it_and_the_repair_after_it_the_repair_explains_what_comes_late():
    diagnosis = engine()
    feed(diagnosis, [sick_group(1, SICK_BNOBT)])
    for command, state, verdict, at in (
        ("check", "RUNNING", "UNSPECIFIED", 1),
        ("check", "SUCCEEDED", "NOT_HEALED", 2),
        ("repair", "RUNNING", "UNSPECIFIED", 3),
    ):
        now = START + at * SECOND
        diagnosis.observe_update("a1", command, target("xfs"), update(state, verdict), now, now, "scrub_xfs")
    now = START + 5 * SECOND
    report = looked_at(group(BNOBT, 1))
    diagnosis.observe_update("a1", "repair", target("xfs"), report, now, now, f"{PART_OF}repair_xfs")
    assert state_name(only(diagnosis)) == "resolved"
    assert feed(diagnosis, [xfs(5.5, function="xfs_bnobt_read_verify", source="kmsg")]) == []
    assert state_name(only(diagnosis)) == "resolved"


def test_what_was_received_at_one_time_is_in_the_order_of_the_hosts_clock():
    diagnosis = engine()
    part = {"scope": "inode 137", "xfs_scope": INODE, "ino": 137}
    healthy = {"kind": "FS_HEALTHY", "filesystem_uuid": UUID, "filesystem_type": "xfs", "sick": False, **part}
    feed(
        diagnosis,
        [
            xfs(0, sick=True, xfs_sick=0x90, host_ns=1, **part),
            finding(healthy.pop("kind"), 5, host_ns=3, **healthy),
            finding("FS_HEALTHY", 5, host_ns=2, **{**healthy, "sick": True, "xfs_sick": 0x80}),
        ],
    )
    assert state_name(only(diagnosis)) == "resolved"
