"""Sick bits of a real XFS become events."""

import asyncio
import os
import re
from contextlib import suppress

import pytest
from kernel.loopfs import overwrite, run
from kernel.watching import mounted_table, watching

from fsmend_agent.sources.kmsg import KmsgSource
from fsmend_agent.sources.xfs_health import XfsHealthSource
from fsmend_proto.v1 import event_pb2 as pb

pytestmark = pytest.mark.kernel
SECTOR = 512


def xfs_db(filesystem, *commands):
    arguments = [part for command in commands for part in ("-c", command)]
    return run("xfs_db", "-r", *arguments, filesystem.loop.device)


def sector_of(filesystem, *commands):
    """Return the 512-byte sector where a walk of xfs_db ended."""
    return int(
        re.search(r"current\s+daddr is (\d+)|daddr (\d+)", xfs_db(filesystem, *commands, "daddr"))[0].split()[-1]
    )


def listing(path):
    with suppress(OSError):
        list(path.iterdir())


async def test_a_bad_directory_block_makes_its_inode_sick(xfs_fs):
    mount_point = xfs_fs.mount()
    directory = mount_point / "broken"
    directory.mkdir()
    for number in range(100):
        (directory / f"a file with a long name {number}").touch()
    inode = directory.stat().st_ino
    xfs_fs.unmount()
    sector = sector_of(xfs_fs, f"inode {inode}", "dblock 0")
    overwrite(xfs_fs.loop.device, sector * SECTOR, b"\xa5" * 4096)
    async with watching(XfsHealthSource, KmsgSource) as seen:
        mount_point = xfs_fs.mount()
        filesystem = await mounted_table(seen, xfs_fs)
        await asyncio.to_thread(listing, mount_point / "broken")
        await seen.until(lambda: seen.of("xfs_health"))
        event = seen.of("xfs_health")[0]
        (logged, *_) = seen.of("kmsg")
    # Neither the filesystem's nor the group's mask tells of a sick inode: only the walk finds it.
    assert [one.xfs_health.scope for one in seen.of("xfs_health")] == [pb.XFS_SCOPE_INODE]
    assert (event.inode.ino, event.inode.path) == (inode, b"broken")
    assert "dir" in event.xfs_health.sick_names
    assert event.filesystem.uuid == logged.filesystem.uuid == filesystem.uuid
    assert event.device.id == logged.device.id
    assert logged.kernel_log.form in {"xfs_crc", "xfs_corruption"}
    assert logged.sectors.start == sector


async def test_a_bad_free_space_btree_makes_its_group_sick(xfs_fs):
    xfs_fs.mount()
    xfs_fs.unmount()
    sector = sector_of(xfs_fs, "agf 0", "addr bnoroot")
    overwrite(xfs_fs.loop.device, sector * SECTOR, b"\xa5" * 4096)
    async with watching(XfsHealthSource, KmsgSource) as seen:
        mount_point = xfs_fs.mount()
        await mounted_table(seen, xfs_fs)

        def allocate():
            with suppress(OSError):
                (mount_point / "file").write_bytes(os.urandom(1 << 20))
                os.sync()

        await asyncio.to_thread(allocate)
        await seen.until(lambda: [one for one in seen.of("xfs_health") if one.xfs_health.scope == pb.XFS_SCOPE_AG])
    (event, *_) = [one for one in seen.of("xfs_health") if one.xfs_health.scope == pb.XFS_SCOPE_AG]
    assert event.xfs_health.number == 0
    assert "bnobt" in event.xfs_health.sick_names
    assert event.kind == pb.EVENT_KIND_FS_METADATA_CORRUPTION


async def test_a_healthy_filesystem_says_nothing_and_is_never_kept_busy(xfs_fs):
    mount_point = xfs_fs.mount()
    for number in range(50):
        (mount_point / str(number)).touch()
    async with watching(XfsHealthSource) as seen:
        await mounted_table(seen, xfs_fs)
        await asyncio.sleep(1.0)
        assert seen.of("xfs_health") == []
        for _ in range(20):
            with suppress(AssertionError):
                xfs_fs.unmount()
                break
            await asyncio.sleep(0.02)
        assert xfs_fs.mount_point is None
