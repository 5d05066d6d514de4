"""Linux 7: media errors, file I/O errors and losses of the health monitor; and the mount that xfs_healer has."""

import re

import pytest
from vm.filesystem import MOUNT
from vm.fleet import wait_for
from vm.healing import corruption
from vm.newest import EVERYTHING, FLAKY, MARKS, TOOLS, Dusty, mounted, told_by_monitor

from fsmend_agent.kernel.xfs_monitor import Domain, EventType
from fsmend_proto.v1 import event_pb2 as pb
from fsmend_proto.v1 import query_pb2

pytestmark = MARKS
FILE = f"{MOUNT}/data"
BAD_SECTORS = 8
# XFS_IOC_VERIFY_MEDIA of XFS_DEV_DATA with XFS_VERIFY_MEDIA_REPORT, fs/xfs/libxfs/xfs_fs.h
VERIFY = (
    "import fcntl, os, struct; fd = os.open('{mount}', os.O_RDONLY); argument = bytearray(struct.pack("
    "'=IIQQIIII', 1, 1, {first}, {end}, 0, 4096, 0, 0)); fcntl.ioctl(fd, 0xC0285846, argument)"
)
FILES = 900  # the kernel keeps 32 KiB of events, some 500
HEALER = "libexec/xfsprogs/xfs_healer"


@pytest.fixture
def dusty(newest):
    made = Dusty(newest, tools=TOOLS).set_up()
    yield made
    made.tear_down()


def io_errors(collector, uuid):
    """Return what the monitor told of files: (type, inode)."""
    events = told_by_monitor(collector, uuid, pb.EVENT_KIND_FS_IO_ERROR)
    return {(EventType(one.xfs_monitor.type), one.inode.ino) for one in events}


def wait_for_errors(newest, collector, uuid, expected):
    wait_for(
        lambda: expected <= io_errors(collector, uuid),
        60,
        lambda: f"{io_errors(collector, uuid)}\n{collector.events_of(uuid)}\n{newest.log_end()}",
    )


def test_reads_that_fail_and_a_medium_that_is_verified(newest, collector, dusty):
    uuid = dusty.make(EVERYTHING, more="head -c 65536 /dev/urandom >data")
    known = mounted(newest, collector, dusty)
    assert any(one.available for one in known.capabilities if one.name == "xfs.health_monitor")
    ino = int(newest.sh(f"stat -c %i {FILE}"))
    first = int(re.search(r": (\d+)\.\.\d+", newest.sh(f"xfs_bmap {FILE}"))[1])
    dusty.fail_reads(first, BAD_SECTORS)

    assert newest.machine.run("dd", f"if={FILE}", "of=/dev/null", "bs=4096", "count=1").status != 0
    assert newest.machine.run("dd", f"if={FILE}", "of=/dev/null", "bs=4096", "count=1", "iflag=direct").status != 0
    wait_for_errors(newest, collector, uuid, {(EventType.BUFREAD, ino), (EventType.DIOREAD, ino)})

    verify = VERIFY.format(mount=MOUNT, first=first, end=first + BAD_SECTORS)
    newest.machine.run("python3", "-c", verify)
    wait_for_errors(newest, collector, uuid, {(EventType.DATALOST, ino)})
    (media, *_) = wait_for(
        lambda: told_by_monitor(collector, uuid, pb.EVENT_KIND_DEVICE_MEDIUM_ERROR), 60, newest.log_end
    )
    assert media.xfs_monitor.domain == Domain.DATADEV
    assert first <= media.sectors.start < first + BAD_SECTORS

    def incidents():
        found = collector.list(query_pb2.OBJECT_KIND_INCIDENT)
        return [one for one in found if one.code == "DEVICE_MEDIUM_ERRORS" and one.unit.host_name == newest.name]

    assert wait_for(incidents, 60, newest.log_end)[0].unit.device_id


def test_writes_that_fail_on_the_realtime_device(newest, collector, dusty):
    uuid = dusty.make(f"{EVERYTHING} -d rtinherit=1 -r rtdev={FLAKY}", mounted_with=f"rtdev={FLAKY}")
    mounted(newest, collector, dusty, f"rtdev={FLAKY}")
    newest.sh(f"touch {FILE} {FILE}2; sync")
    dusty.fail_realtime_writes()

    newest.machine.run("/bin/sh", "-c", f"head -c 65536 /dev/zero >{FILE}; sync {FILE}")
    newest.machine.run("dd", "if=/dev/zero", f"of={FILE}2", "bs=65536", "count=1", "oflag=direct", "conv=notrunc")

    buffered, direct = (int(newest.sh(f"stat -c %i {one}")) for one in (FILE, f"{FILE}2"))
    wait_for_errors(newest, collector, uuid, {(EventType.BUFWRITE, buffered), (EventType.DIOWRITE, direct)})


def test_what_the_monitor_loses_is_a_gap_and_all_is_read_again(newest, collector, xfs):
    uuid = xfs.make(EVERYTHING, more=f"seq {FILES} | xargs touch")
    inode = xfs.inode("big")
    xfs.scribble(f"inode {inode}", "dblock 0")
    mounted(newest, collector, xfs)
    newest.sh("kill -STOP $(cat /run/agent.pid) $(pgrep -P $(cat /run/agent.pid))")
    try:
        # Each inode that is checked is an event: more than the kernel keeps for who does not read them.
        newest.machine.run(*TOOLS.split(), "xfs_scrub", "-n", MOUNT, timeout=600.0)
    finally:
        newest.sh("kill -CONT $(cat /run/agent.pid) $(pgrep -P $(cat /run/agent.pid))")

    def lost():
        gaps = [one for one in collector.list(query_pb2.OBJECT_KIND_GAP) if one.gap.source == "xfs_monitor"]
        return sum(one.gap.lost for one in gaps)

    wait_for(lost, 120, newest.log_end)
    wait_for(lambda: inode in {one.event.inode.ino for one in corruption(collector, uuid)}, 120, newest.log_end)


def test_the_mount_that_xfs_healer_has_is_left_to_it(newest, collector, xfs):
    uuid = xfs.make(EVERYTHING)
    newest.stop_agent()
    root = newest.sh(f"sed -n 's/^R=//p' {TOOLS}").strip()
    libraries = f"{root}/usr/lib/x86_64-linux-gnu"
    xfs.mount(exchange=False)
    # Under its own name, which the loader's would be otherwise.
    newest.sh(
        f"cp {libraries}/ld-linux-x86-64.so.2 /run/xfs_healer;"
        f"/run/xfs_healer --library-path {libraries} {root}/usr/{HEALER} --foreground {MOUNT} >/run/healer.log 2>&1 &"
        "echo $! >/run/healer.pid; sleep 3; kill -0 $(cat /run/healer.pid)"
    )
    try:
        newest.start_agent()
        states = wait_for(lambda: told_by_monitor(collector, uuid, pb.EVENT_KIND_SOURCE_STATE), 60, newest.log_end)
        assert "xfs_healer" in states[0].message
        known = wait_for(lambda: collector.filesystem(uuid), 60, newest.log_end)
        assert any(one.available for one in known.capabilities if one.name == "xfs.healer")
    finally:
        newest.sh("kill $(cat /run/healer.pid)")
