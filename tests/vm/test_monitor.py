"""Linux 7: XFS tells by itself what is sick, and realtime groups are mended too."""

from vm.filesystem import MOUNT
from vm.fleet import wait_for
from vm.healing import SECONDS, corruption, resolved, see_scheduled_check, story
from vm.newest import EVERYTHING, MARKS, mounted, told_by_monitor

from fsmend_agent.kernel.xfs_health import ScrubType
from fsmend_proto.v1 import command_pb2 as pb
from fsmend_proto.v1 import event_pb2

pytestmark = MARKS


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
    known = mounted(newest, collector, xfs)
    able = {one.name: one.available for one in known.capabilities}
    assert able["xfs.health_monitor"]
    assert able["xfs.parent"]
    see_scheduled_check(newest, collector, uuid)

    healed(newest, collector, uuid, ScrubType.DIR)

    # Linux 7.2 cannot look through a broken directory for parents, and calls these sick too.
    assert ("xfs_monitor", "dir") in told(collector, uuid) <= {("xfs_monitor", "dir"), ("xfs_monitor", "parent")}
    assert {one.event.inode.ino for one in corruption(collector, uuid) if one.event.source == "xfs_monitor"} == {inode}
    xfs.unmount()
    assert xfs.problems() == ""


def test_a_shutdown_is_told_by_the_monitor(newest, collector, xfs):
    uuid = xfs.make(EVERYTHING)
    mounted(newest, collector, xfs)
    newest.sh(f"xfs_io -x -c shutdown {MOUNT}")

    kind = event_pb2.EVENT_KIND_FS_SHUTDOWN
    (event,) = wait_for(lambda: told_by_monitor(collector, uuid, kind), 60, newest.log_end)
    assert "force_umount" in event.xfs_monitor.names


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


def test_a_group_is_told_after_the_filesystem_was_mounted_again(newest, collector, xfs):
    uuid = xfs.make(EVERYTHING)
    mounted(newest, collector, xfs)
    xfs.unmount()
    xfs.scribble("agf 1", "addr cntroot")
    mounted(newest, collector, xfs)
    newest.machine.run("/bin/sh", "-c", f"head -c 262144 /dev/zero >{MOUNT}/d1/new; sync {MOUNT}/d1/new")

    healed(newest, collector, uuid, ScrubType.CNTBT)

    assert ("xfs_monitor", "cntbt") in told(collector, uuid)
    assert {source for source, _ in told(collector, uuid)} == {"xfs_monitor"}
    xfs.unmount()
    assert xfs.problems() == ""
