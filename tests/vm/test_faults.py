"""With nobody at the keyboard: every fault is found, reported in its place, mended by the command that it caused."""

import os

import pytest
from vm.faults import FAULTS, INODE
from vm.filesystem import Xfs
from vm.fleet import wait_for
from vm.healing import SECONDS, corruption, found_by, meet, resolved, seconds_to_heal, story

from fsmend_agent.kernel.xfs_health import ScrubType
from fsmend_proto.v1 import command_pb2, event_pb2

pytestmark = [pytest.mark.vm, pytest.mark.timeout(3600)]
ROUNDS = int(os.environ.get("FSMEND_VM_TIMED_ROUNDS", "5"))
REPEATED = {
    "free space by size (cntbt), checksum",
    "inodes (inobt), checksum",
    "inode, its format",
    "directory, checksum",
    "symlink, checksum",
}


@pytest.fixture
def place(request, fault):
    """The host of a fault: what the kernel cannot notice by itself lies where the calendar checks."""
    return request.getfixturevalue("host" if fault.touch else "watched_host")


@pytest.fixture
def xfs(place):
    made = Xfs(place)
    yield made
    made.release()


@pytest.mark.parametrize("fault", [pytest.param(fault, id=fault.name) for fault in FAULTS])
def test_a_fault_is_found_reported_mended_and_verified(fault, place, collector, xfs, report):
    pieces, seconds = heal(fault, place, collector, xfs)
    found = found_by(collector, xfs.uuid, touched=bool(fault.touch))
    report.add(fault, found, pieces, "repaired online", seconds)


@pytest.mark.parametrize("fault", [pytest.param(one, id=one.name) for one in FAULTS if one.name in REPEATED])
def test_the_same_again_and_again_for_the_times(fault, place, collector, xfs, report):
    for _ in range(ROUNDS):
        _pieces, seconds = heal(fault, place, collector, xfs)
        report.add_time(fault, seconds)


def heal(fault, place, collector, xfs):
    """Make it, wait until it is healed, check everything; return how many pieces were ordered, and the seconds."""
    uuid = xfs.make()
    inode = fault.damage(xfs)
    xfs.mount()
    wait_for(lambda: collector.filesystem(uuid), 60, place.log_end)

    meet(place, collector, uuid, fault)

    incident = wait_for(lambda: resolved(collector, uuid), SECONDS, lambda: story(place, collector, uuid))
    told = [one.event for one in corruption(collector, uuid) if one.event.source == "xfs_health"]
    if fault.scope == INODE:
        assert inode in {event.inode.ino for event in (one.event for one in corruption(collector, uuid))}
    else:
        places = {(event.xfs_health.scope, event.xfs_health.number) for event in told}
        assert (fault.scope, 0 if fault.scope != event_pb2.XFS_SCOPE_AG else 1) in places
    repairs = collector.commands_of(uuid, "repair_xfs")
    assert {view.command.ordered_by for view in repairs} == {"policy"}
    (view,) = repairs
    view = collector.end_of(view.command.id)
    items = view.command.repair_xfs.items
    assert fault.scrub_type in {item.type for item in items}
    assert view.last_update.result.verdict == command_pb2.VERDICT_HEALED, view
    assert list(view.last_update.result.after.sick) == []
    xfs.unmount()
    assert xfs.problems() == ""
    return len(items), seconds_to_heal(place, collector, uuid, incident, view)


@pytest.mark.parametrize(
    "fault", [pytest.param(one, id=one.name) for one in FAULTS if one.scrub_type != ScrubType.RMAPBT]
)
def test_without_rmapbt_offline_is_needed_and_nothing_changes(fault, place, collector, xfs, report):
    uuid = xfs.make("-m rmapbt=0,reflink=1")
    fault.damage(xfs)
    before = xfs.problems()
    assert before
    xfs.mount(exchange=False)
    wait_for(lambda: collector.filesystem(uuid), 60, place.log_end)
    if fault.unseen_without_rmapbt:
        meet(place, collector, uuid, fault, command_pb2.VERDICT_CLEAN)
        report.add_without_rmapbt(fault, "not seen by the kernel")
        return

    meet(place, collector, uuid, fault)

    repair = wait_for(
        lambda: collector.commands_of(uuid, "repair_xfs"), SECONDS, lambda: story(place, collector, uuid)
    )[0]
    view = collector.end_of(repair.command.id)
    xfs.unmount()
    after = xfs.problems()
    if fault.without_rmapbt:
        assert view.last_update.result.verdict == command_pb2.VERDICT_HEALED, view
        assert after == ""
        report.add_without_rmapbt(fault, "repaired online")
        return
    assert view.last_update.result.verdict == command_pb2.VERDICT_OFFLINE_NEEDED, view
    assert "made without rmapbt" in view.last_update.message
    assert after == before
    report.add_without_rmapbt(fault, "offline needed")
