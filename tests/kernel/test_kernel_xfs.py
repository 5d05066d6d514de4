"""XFS health, bulkstat and scrub calls against a real filesystem, sound and broken."""

import contextlib
import errno
import os
import stat
import uuid

import pytest
from kernel.loopfs import overwrite, run

from fsmend_agent.kernel import xfs, xfs_monitor
from fsmend_agent.kernel.xfs_health import HealthDomain, ScrubType, names

pytestmark = pytest.mark.kernel

SECTOR = 512


@pytest.fixture
def opened(undo):
    def open_directory(path):
        fd = os.open(path, os.O_RDONLY)
        undo.callback(os.close, fd)
        return fd

    return open_directory


def daddr(device, *commands):
    """Ask xfs_db where the current block is."""
    arguments = [part for command in (*commands, "daddr") for part in ("-c", command)]
    return int(run("xfs_db", "-r", *arguments, device).split()[-1])


def test_geometry_matches_what_mkfs_made(xfs_fs, opened):
    fd = opened(xfs_fs.mount())
    geometry = xfs.geometry(fd)
    expected = run("blkid", "-p", "-o", "value", "-s", "UUID", xfs_fs.loop.device).strip()
    assert geometry.uuid == uuid.UUID(expected)
    assert (geometry.ag_count, geometry.block_bytes, geometry.sick) == (4, 4096, 0)
    assert geometry.data_blocks * geometry.block_bytes == 400 << 20
    assert geometry.rtgroup_count == 0


def test_every_allocation_group_tells_its_size_and_health(xfs_fs, opened):
    fd = opened(xfs_fs.mount())
    groups = [xfs.ag_geometry(fd, number) for number in range(4)]
    assert [group.number for group in groups] == [0, 1, 2, 3]
    assert sum(group.blocks for group in groups) == xfs.geometry(fd).data_blocks
    assert all(group.sick == 0 for group in groups)
    with pytest.raises(OSError, match="Invalid argument") as refused:
        xfs.ag_geometry(fd, 4, "here")
    assert (refused.value.errno, refused.value.filename) == (errno.EINVAL, "here")


def test_bulkstat_walks_every_inode_once_in_small_batches(xfs_fs, opened):
    mount_point = xfs_fs.mount()
    for number in range(50):
        (mount_point / f"file{number}").touch()
    expected = {path.stat().st_ino for path in mount_point.iterdir()} | {mount_point.stat().st_ino}
    found = list(xfs.bulkstat(opened(mount_point), batch=7))
    assert len(found) == len({record.inode for record in found})
    assert expected <= {record.inode for record in found}
    modes = {record.inode: record.mode for record in found}
    assert stat.S_ISDIR(modes[mount_point.stat().st_ino])
    assert all(record.sick == 0 for record in found)


def test_a_bad_directory_block_makes_its_inode_sick(xfs_fs, opened):
    directory = xfs_fs.mount() / "broken"
    directory.mkdir()
    for number in range(100):
        (directory / f"a-rather-long-file-name-{number}").touch()
    inode = directory.stat().st_ino
    xfs_fs.unmount()
    block = daddr(xfs_fs.loop.device, f"inode {inode}", "dblock 0")
    overwrite(xfs_fs.loop.device, block * SECTOR, b"\xa5" * 4096)

    mount_point = xfs_fs.mount()
    with pytest.raises(OSError, match=r"cleaning|Bad message"):
        list((mount_point / "broken").iterdir())
    sick = {
        record.inode: names(HealthDomain.INODE, record.sick)
        for record in xfs.bulkstat(opened(mount_point))
        if record.sick
    }
    assert sick == {inode: ("dir",)}


def test_a_bad_free_space_btree_makes_its_group_sick(xfs_fs, opened):
    block = daddr(xfs_fs.loop.device, "agf 1", "addr bnoroot")
    overwrite(xfs_fs.loop.device, block * SECTOR, b"\xa5" * 4096)
    mount_point = xfs_fs.mount()
    fd = opened(mount_point)
    # XFS spreads directories over the groups; the first inode in group 1 needs space there.
    with contextlib.suppress(OSError):
        for number in range(8):
            (mount_point / f"directory{number}").mkdir()
    assert "bnobt" in names(HealthDomain.AG, xfs.ag_geometry(fd, 1).sick)
    assert xfs.ag_geometry(fd, 0).sick == 0


def test_scrub_says_what_the_kernel_can(xfs_fs, opened):
    fd = opened(xfs_fs.mount())
    support = xfs.scrub_support(fd)
    if support is xfs.ScrubSupport.NONE:
        with pytest.raises(OSError, match="Inappropriate ioctl") as refused:
            xfs.scrub(fd, ScrubType.SB)
        assert refused.value.errno == errno.ENOTTY
    else:
        assert xfs.scrub(fd, ScrubType.SB) == 0


def test_the_health_monitor_opens_or_the_kernel_is_too_old(xfs_fs, opened):
    fd = opened(xfs_fs.mount())
    if tuple(map(int, os.uname().release.split(".")[:2])) < (7, 0):
        with pytest.raises(OSError, match="Inappropriate ioctl") as refused:
            xfs_monitor.open_monitor(fd)
        assert refused.value.errno == errno.ENOTTY
    else:
        monitor = xfs_monitor.open_monitor(fd)
        first, *_ = xfs_monitor.decode_monitor_events(os.read(monitor, 4096))
        os.close(monitor)
        assert first.type is xfs_monitor.EventType.RUNNING


def test_another_filesystem_is_refused_with_its_path(ext4_fs, opened):
    mount_point = ext4_fs.mount()
    with pytest.raises(OSError, match="Inappropriate ioctl") as refused:
        xfs.geometry(opened(mount_point), str(mount_point))
    assert refused.value.filename == str(mount_point)
