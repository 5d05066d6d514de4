"""What Linux 7 brings: a health monitor, realtime groups and a metadata directory; with an xfsprogs that knows them.

Neither comes from the package sources of the machine that runs this, so both are given: FSMEND_VM_KERNEL_7, a kernel's
image that has what tests/vm/kernel.config asks for (XFS with scrub, repair and realtime, device-mapper, virtio, 9p), and
FSMEND_VM_XFSPROGS_7, a program that runs another by its name.
"""

import os
from dataclasses import dataclass

import pytest
from vm.filesystem import Xfs
from vm.fleet import wait_for

KERNEL, TOOLS = os.environ.get("FSMEND_VM_KERNEL_7", ""), os.environ.get("FSMEND_VM_XFSPROGS_7", "")
MARKS = [
    pytest.mark.vm,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(not (KERNEL and TOOLS), reason="FSMEND_VM_KERNEL_7 and FSMEND_VM_XFSPROGS_7 are not given"),
]
EVERYTHING = "-m rmapbt=1,reflink=1 -i exchange=1 -n parent=1"
DUST, FLAKY = "/dev/mapper/dust", "/dev/mapper/flaky"


@dataclass
class Dusty(Xfs):
    """A filesystem whose disk, and whose realtime device, can be told to fail."""

    device: str = DUST

    @property
    def disk(self):
        return self.device

    def set_up(self):
        """Put the devices that fail on demand over the host's disks; at first they do not."""
        for name, below, table in (
            (DUST, self.host.disk, "dust {} 0 512"),
            (FLAKY, self.host.realtime_disk, "linear {} 0"),
        ):
            self.host.sh(
                f'dmsetup create {name.rsplit("/")[-1]} --table "$(echo 0 $(blockdev --getsz {below}) '
                f'{table.format(below)})"; dmsetup mknodes'
            )
        return self

    def fail_reads(self, first, count):
        """Let reads of some sectors of the disk fail."""
        self.host.sh(
            f"for at in $(seq {first} {first + count - 1}); do dmsetup message dust 0 addbadblock $at; done;"
            "dmsetup message dust 0 enable; echo 3 >/proc/sys/vm/drop_caches"
        )

    def fail_realtime_writes(self):
        """Let every write of the realtime device fail."""
        below = self.host.realtime_disk
        self.host.sh(
            f'dmsetup reload flaky --table "$(echo 0 $(blockdev --getsz {below}) '
            f'flakey {below} 0 0 60 1 error_writes)"; dmsetup suspend --nolockfs flaky; dmsetup resume flaky'
        )

    def tear_down(self):
        self.release()
        self.host.machine.run("dmsetup", "remove", "--retry", "dust", "flaky")


def mounted(newest, collector, xfs, options=""):
    """Mount a filesystem, and wait until the collector knows it; return what it knows."""
    xfs.mount(options, exchange=False)
    return wait_for(lambda: collector.filesystem(xfs.uuid), 60, newest.log_end)


def told_by_monitor(collector, uuid, kind):
    """Return the monitor's events of a kind."""
    return [
        one.event for one in collector.events_of(uuid) if (one.event.kind, one.event.source) == (kind, "xfs_monitor")
    ]
