"""Print how fast kernel bytes become events: kmsg_lines_per_second and fanotify_records_per_second, on one core.

The mix of log lines is that of a host in trouble: one line in five is about storage. A second figure each tells of the
worst case: only storage lines, every record of another inode.
"""

import struct
import time

from fsmend_agent.config import SourcesConfig
from fsmend_agent.devices import DeviceTable
from fsmend_agent.event import Clock
from fsmend_agent.filesystems import FilesystemTable, MountedFilesystem
from fsmend_agent.kernel import fanotify
from fsmend_agent.sources import Watch
from fsmend_agent.sources._units import Units
from fsmend_agent.sources.fanotify import FanotifySource
from fsmend_agent.sources.kmsg import KmsgSource

ROUNDS = 7
RECORDS = 1000
STORAGE = (
    b"EXT4-fs error (device loop0): ext4_lookup:1787: inode #13: comm ls: iget: bogus i_mode (377)",
    b"EXT4-fs warning (device loop0): ext4_end_bio:368: I/O error 3 writing to inode 12 starting block 44289)",
    b"XFS (loop1): Metadata CRC error detected at xfs_dir3_data_read_verify+0x71/0x100, xfs_dir3_data block 0x78",
    b"BTRFS warning (device loop2): csum failed root 5 ino 257 off 0 csum 0x89 expected csum 0xb8 mirror 2",
    b"I/O error, dev loop1, sector 122880 op 0x0:(READ) flags 0x84700 phys_seg 9 prio class 2",
)
OTHER = (
    b"usb 1-1: new high-speed USB device number 2 using xhci_hcd",
    b"br0: port 2(veth12ab) entered forwarding state",
    b"audit: type=1400 audit(1700000000.123:45): apparmor=DENIED operation=open profile=x name=/etc/x pid=1",
    b"TCP: request_sock_TCP: Possible SYN flooding on port 443. Sending cookies.",
)


def mounted(minor, kind, fsid):
    return MountedFilesystem(
        uuid=f"00000000-0000-0000-0000-00000000000{minor}",
        type=kind,
        fsid=fsid,
        major=7,
        minor=minor,
        device_names=(f"loop{minor}",),
        mount_points=(b"/mnt/%d" % minor,),
        read_only=False,
        options="rw",
    )


def watch():
    """Return a watch with a filesystem of each kind, whose findings go nowhere."""
    table = FilesystemTable(
        [mounted(0, "ext4", "d9d2c35b6d803ed3"), mounted(1, "xfs", "07"), mounted(2, "btrfs", "08")]
    )
    return Watch(SourcesConfig(), Clock(), table, DeviceTable(), lambda _event: None, lambda _gap: None)


def best_rate(work, number):
    """Return how many of `number` a second the fastest of some rounds did: the others were disturbed."""
    seconds = []
    for _ in range(ROUNDS):
        # Processor time: the figure is of one core, whatever else the machine does meanwhile.
        began = time.thread_time()
        work()
        seconds.append(time.thread_time() - began)
    return number / min(seconds)


def kmsg_rate(lines):
    source = KmsgSource(watch())
    units = Units(source.watch)
    records = [b"3,%d,%d,-;%s\n" % (number, 10**9 + number, lines[number % len(lines)]) for number in range(20_000)]

    def work():
        source._last_sequence = None
        for record in records:
            source._take(record, units)

    return best_rate(work, len(records))


def fanotify_record(ino):
    return (
        struct.pack("=IBxHQii", 64, 3, 24, 0x8000, -1, 77)
        + struct.pack("=BxH8sIiII", 1, 28, bytes.fromhex("d9d2c35b6d803ed3"), 8, 1, ino, 99)
        + struct.pack("=BxHiI", 5, 12, 117, 1)
    )


def fanotify_rate(inodes):
    source = FanotifySource(watch())
    units = Units(source.watch)
    reads = [
        b"".join(fanotify_record(12 + (start + number) % inodes) for number in range(RECORDS))
        for start in range(0, 20 * RECORDS, RECORDS)
    ]

    def work():
        for data in reads:
            clocks = source.watch.clock.now()
            for record in fanotify.decode(data):
                source._convert(record, units, clocks)

    return best_rate(work, len(reads) * RECORDS)


def measure():
    """Return the figures by name."""
    return {
        "kmsg_lines_per_second": kmsg_rate((*STORAGE[:1], *OTHER)),
        "kmsg_storage_lines_per_second": kmsg_rate(STORAGE),
        "fanotify_records_per_second": fanotify_rate(64),
        "fanotify_distinct_inodes_per_second": fanotify_rate(10**6),
    }


if __name__ == "__main__":
    for name, value in measure().items():
        print(f"{name:40} {value:12,.0f}")  # noqa: T201  a bench prints
