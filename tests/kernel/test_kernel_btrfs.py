"""btrfs device counters and scrub against a real RAID1 with one damaged half."""

import errno
import os
import threading

import pytest
from kernel.loopfs import MIB, overwrite, run, wait_for

from fsmend_agent.kernel import btrfs

pytestmark = pytest.mark.kernel


@pytest.fixture
def opened(undo):
    def open_directory(path):
        fd = os.open(path, os.O_RDONLY)
        undo.callback(os.close, fd)
        return fd

    return open_directory


def fill_and_damage(filesystem):
    """Write 32 MiB of data, then zero 16 MiB of the second device where data lies; return the mount point."""
    mount_point = filesystem.mount()
    (mount_point / "data").write_bytes(os.urandom(32 * MIB))
    filesystem.unmount()
    second = filesystem.loops[1].device
    image = second.read_bytes()
    start = max(range(64 * MIB, len(image), 4 * MIB), key=lambda at: len(image[at : at + MIB].strip(b"\0")))
    overwrite(second, start, bytes(16 * MIB))
    return filesystem.mount()


def test_devices_and_their_counters_are_told(btrfs_raid1, opened):
    fd = opened(btrfs_raid1.mount())
    info = btrfs.fs_info(fd)
    devices = btrfs.devices(fd)
    assert str(info.uuid) == run("blkid", "-p", "-o", "value", "-s", "UUID", btrfs_raid1.loop.device).strip()
    assert info.num_devices == len(devices) == 2
    assert [device.path for device in devices] == [os.fsencode(loop.device) for loop in btrfs_raid1.loops]
    assert [device.total_bytes for device in devices] == [256 * MIB] * 2
    assert btrfs.device_stats(fd, 1) == btrfs.DeviceStats(1, 0, 0, 0, 0, 0)
    with pytest.raises(OSError, match="No such device") as refused:
        btrfs.device_stats(fd, 7)
    assert refused.value.errno == errno.ENODEV


def test_scrub_corrects_what_the_mirror_still_has(btrfs_raid1, opened):
    fd = opened(fill_and_damage(btrfs_raid1))
    found = btrfs.scrub(fd, 2, read_only=True)
    assert found.csum_errors > 0
    assert found.uncorrectable_errors == 0
    # It wrote nothing: the same errors are there again. (6.18 counts them as corrected even so.)
    assert btrfs.scrub(fd, 2, read_only=True).csum_errors == found.csum_errors
    mended = btrfs.scrub(fd, 2)
    assert mended.corrected_errors == mended.csum_errors == found.csum_errors
    assert mended.uncorrectable_errors == 0
    assert btrfs.device_stats(fd, 2, reset=True).corruption_errors >= mended.csum_errors
    assert btrfs.device_stats(fd, 2).corruption_errors == 0
    again = btrfs.scrub(fd, 2)
    assert (again.csum_errors, again.corrected_errors) == (0, 0)
    assert again.data_bytes_scrubbed >= 32 * MIB


def test_a_part_of_a_device_can_be_scrubbed(btrfs_raid1, opened):
    fd = opened(fill_and_damage(btrfs_raid1))
    whole = btrfs.scrub(fd, 1, read_only=True)
    part = btrfs.scrub(fd, 1, read_only=True, start=whole.last_physical)
    assert part.data_bytes_scrubbed < whole.data_bytes_scrubbed


def test_idle_scrubs_have_no_progress_and_nothing_to_cancel(btrfs_raid1, opened):
    fd = opened(btrfs_raid1.mount())
    assert btrfs.scrub_progress(fd, 1) is None
    assert btrfs.scrub_cancel(fd) is False


def test_a_cancelled_scrub_says_how_far_it_came(btrfs_raid1, opened):
    mount_point = btrfs_raid1.mount()
    (mount_point / "data").write_bytes(os.urandom(100 * MIB))
    os.sync()
    fd = opened(mount_point)
    # Linux 5.14: a speed limit for scrubs, so that there is something to cancel.
    limit = f"/sys/fs/btrfs/{btrfs.fs_info(fd).uuid}/devinfo/1/scrub_speed_max"
    with open(limit, "w", encoding="ascii") as file:  # noqa: PTH123
        file.write(str(4 * MIB))
    outcome = []

    def scrub():
        try:
            outcome.append(btrfs.scrub(fd, 1, read_only=True))
        except btrfs.ScrubStopped as stopped:
            outcome.append(stopped)

    thread = threading.Thread(target=scrub)
    thread.start()
    progress = wait_for(lambda: btrfs.scrub_progress(fd, 1))
    assert progress.data_bytes_scrubbed < 100 * MIB
    assert btrfs.scrub_cancel(fd) is True
    thread.join(30)
    (stopped,) = outcome
    assert isinstance(stopped, btrfs.ScrubStopped)
    assert stopped.errno == errno.ECANCELED
    assert stopped.progress.data_bytes_scrubbed < 100 * MIB


def test_the_files_behind_a_logical_address_are_named(btrfs_raid1, opened):
    mount_point = btrfs_raid1.mount()
    path = mount_point / "data"
    path.write_bytes(os.urandom(MIB))
    os.sync()
    extent = run("filefrag", "-v", path).splitlines()[3].split()
    logical = int(extent[3].rstrip(".").rstrip(":")) * 4096
    answer = btrfs.logical_inodes(opened(mount_point), logical)
    assert answer.missed == 0
    assert [(reference.inode, reference.offset_bytes, reference.root) for reference in answer.references] == [
        (path.stat().st_ino, 0, 5)
    ]
