"""Linux 7: XFS tells by itself, and has realtime groups and a metadata directory; with an xfsprogs that knows them.

Neither comes from the package sources of the machine that runs this, so both are given: FSMEND_VM_KERNEL_7, a kernel's
image with tests/vm/kernel.config, and FSMEND_VM_XFSPROGS_7, a program that runs another by its name.
"""

import os
from pathlib import Path

import pytest
from vm.filesystem import MOUNT, Xfs
from vm.fleet import wait_for
from vm.healing import SECONDS, corruption, resolved, see_scheduled_check, story

from fsmend_agent.kernel.xfs_health import ScrubType
from fsmend_proto.v1 import command_pb2 as pb
from fsmend_proto.v1 import event_pb2

KERNEL, TOOLS = os.environ.get("FSMEND_VM_KERNEL_7", ""), os.environ.get("FSMEND_VM_XFSPROGS_7", "")
pytestmark = [
    pytest.mark.vm,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(not (KERNEL and TOOLS), reason="FSMEND_VM_KERNEL_7 and FSMEND_VM_XFSPROGS_7 are not given"),
]
EVERYTHING = "-m rmapbt=1,reflink=1 -i exchange=1 -n parent=1"


@pytest.fixture(scope="module")
def newest(new_host):
    return new_host("vm-newest", kernel=Path(KERNEL), calendar="daily")


@pytest.fixture
def xfs(newest):
    made = Xfs(newest, tools=TOOLS)
    yield made
    made.release()


def told(collector, uuid):
    """Return who told what of the health."""
    return {
        (one.event.source, name)
        for one in corruption(collector, uuid)
        for name in one.event.xfs_health.sick_names
        if one.event.source in {"xfs_health", "xfs_monitor"}
    }


def healed(newest, collector, uuid, *types):
    """See the incident end; return the repair that the policy ordered, with these pieces in it."""
    wait_for(lambda: resolved(collector, uuid), SECONDS, lambda: story(newest, collector, uuid))
    (repair,) = collector.commands_of(uuid, "repair_xfs")
    view = collector.end_of(repair.command.id)
    assert set(types) <= {item.type for item in view.command.repair_xfs.items}
    assert view.last_update.result.verdict == pb.VERDICT_HEALED, view
    return view


def test_the_monitor_tells_of_a_directory_once_and_it_is_mended(newest, collector, xfs):
    uuid = xfs.make(EVERYTHING)
    inode = xfs.inode("big")
    xfs.scribble(f"inode {inode}", "dblock 0")
    xfs.mount(exchange=False)
    known = wait_for(lambda: collector.filesystem(uuid), 60, newest.log_end)
    able = {one.name: one.available for one in known.capabilities}
    assert able["xfs.health_monitor"]
    assert able["xfs.parent"]
    see_scheduled_check(newest, collector, uuid)

    healed(newest, collector, uuid, ScrubType.DIR)

    assert told(collector, uuid) == {("xfs_monitor", "dir")}
    assert {one.event.inode.ino for one in corruption(collector, uuid) if one.event.source == "xfs_monitor"} == {inode}
    xfs.unmount()
    assert xfs.problems() == ""


def test_a_shutdown_is_told_by_the_monitor(newest, collector, xfs):
    uuid = xfs.make(EVERYTHING)
    xfs.mount(exchange=False)
    wait_for(lambda: collector.filesystem(uuid), 60, newest.log_end)
    newest.sh(f"xfs_io -x -c shutdown {MOUNT}")

    def shutdowns():
        kind = event_pb2.EVENT_KIND_FS_SHUTDOWN
        return [one for one in collector.events_of(uuid) if (one.event.kind, one.event.source) == (kind, "xfs_monitor")]

    wait_for(shutdowns, 60, newest.log_end)


def test_the_summary_of_a_realtime_group_is_mended(newest, collector, xfs):
    realtime = f"rtdev={newest.realtime_disk}"
    uuid = xfs.make(f"{EVERYTHING} -m metadir=1 -r {realtime},rgsize=32m", mounted_with=realtime)
    xfs.scribble("path -m /rtgroups/1.summary", "dblock 0")
    xfs.mount(realtime, exchange=False)

    see_scheduled_check(newest, collector, uuid)

    healed(newest, collector, uuid, ScrubType.RTSUM)
    places = {
        (one.event.xfs_health.scope, one.event.xfs_health.number)
        for one in corruption(collector, uuid)
        if one.event.source == "xfs_monitor"
    }
    assert (event_pb2.XFS_SCOPE_RTGROUP, 1) in places
    xfs.unmount()
    assert xfs.problems("-r", newest.realtime_disk) == ""
