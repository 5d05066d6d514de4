"""Checksum errors of a btrfs: the kernel log names inode and device, the counters are exact."""

import asyncio
import os

import pytest
from kernel.loopfs import MIB, overwrite, run
from kernel.watching import mounted_table, watching

from fsmend_agent.kernel import btrfs
from fsmend_agent.sources.btrfs_stats import BtrfsStatsSource
from fsmend_agent.sources.kmsg import KmsgSource
from fsmend_proto.v1 import event_pb2 as pb

pytestmark = pytest.mark.kernel

PRINTK_RATE_SECONDS = 5.2
"""Ten lines of a kind come through in five seconds, whichever filesystem they are of: the test before may have had them."""


def stats_of(mount_point, device_id):
    fd = os.open(mount_point, os.O_RDONLY)
    try:
        return btrfs.device_stats(fd, device_id)
    finally:
        os.close(fd)


def read_all(path):
    fd = os.open(path, os.O_RDONLY)
    try:
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        return len(os.pread(fd, 64 * MIB, 0))
    finally:
        os.close(fd)


def damage(filesystem):
    """Write 32 MiB of data, then zero 16 MiB of the second device where data lies."""
    mount_point = filesystem.mount()
    (mount_point / "file").write_bytes(os.urandom(32 * MIB))
    filesystem.unmount()
    second = filesystem.loops[1].device
    image = second.read_bytes()
    start = max(range(64 * MIB, len(image), 4 * MIB), key=lambda at: len(image[at : at + MIB].strip(b"\0")))
    overwrite(second, start, bytes(16 * MIB))


def scrubs(seen):
    return [event.scrub.state for event in seen.of("kmsg") if event.HasField("scrub")]


async def test_checksum_errors_are_counted_exactly_and_named_by_inode_and_device(btrfs_raid1):
    damage(btrfs_raid1)
    await asyncio.sleep(PRINTK_RATE_SECONDS)
    async with watching(KmsgSource, BtrfsStatsSource) as seen:
        mount_point = btrfs_raid1.mount()
        filesystem = await mounted_table(seen, btrfs_raid1)
        seen.device = ""
        assert await asyncio.to_thread(read_all, mount_point / "file") == 32 * MIB
        await asyncio.to_thread(run, "btrfs", "scrub", "start", "-B", mount_point)

        def total():
            stats = [stats_of(mount_point, number) for number in (1, 2)]
            return sum(one.corruption_errors + one.generation_errors for one in stats)

        await seen.until(lambda: total() and sum(event.count for event in seen.of("btrfs_stats")) == total())
        counted = seen.of("btrfs_stats")
        await seen.until(lambda: scrubs(seen).count(pb.SCRUB_STATE_FINISHED) == 2)
        lines = seen.of("kmsg")
    assert {event.filesystem.uuid for event in counted} == {filesystem.uuid}
    assert {event.device.name for event in counted} == {btrfs_raid1.loops[1].name}
    assert {event.btrfs_device.devid for event in counted} == {2}
    assert not any(event.btrfs_device.before_agent for event in counted)
    named = [event for event in lines if event.kernel_log.form == "btrfs_csum"]
    assert {event.inode.path for event in named} <= {b"file"}  # which copy is read is chance
    forms = {event.kernel_log.form for event in lines}
    assert forms & {"btrfs_csum", "btrfs_bdev_errors", "btrfs_corrected", "btrfs_fixed_up"}, forms
    at_fault = [event for event in lines if event.kernel_log.form in {"btrfs_bdev_errors", "btrfs_corrected"}]
    assert {event.device.name for event in at_fault} <= {btrfs_raid1.loops[1].name}
    assert scrubs(seen).count(pb.SCRUB_STATE_STARTED) == 2
    assert sum(event.count for event in counted) > 100


async def test_counters_from_before_the_agent_say_so(btrfs_raid1):
    damage(btrfs_raid1)
    mount_point = btrfs_raid1.mount()
    run("btrfs", "scrub", "start", "-B", mount_point)
    async with watching(BtrfsStatsSource) as seen:
        await mounted_table(seen, btrfs_raid1)
        seen.device = ""
        (event,) = await seen.until(lambda: seen.of("btrfs_stats"))
    assert (event.btrfs_device.before_agent, event.count) == (True, 1)
    assert event.btrfs_device.total.corruption_errors == stats_of(mount_point, 2).corruption_errors


async def test_a_missing_device_is_told(btrfs_raid1):
    btrfs_raid1.mount()
    btrfs_raid1.unmount()
    run("losetup", "-d", btrfs_raid1.loops[1].device)
    run("btrfs", "device", "scan", "--forget")
    async with watching(BtrfsStatsSource) as seen:
        btrfs_raid1.mount("degraded")
        await mounted_table(seen, btrfs_raid1)
        await seen.until(lambda: seen.of("btrfs_stats", kind=pb.EVENT_KIND_DEVICE_GONE))
    (gone,) = seen.of("btrfs_stats", kind=pb.EVENT_KIND_DEVICE_GONE)
    assert gone.btrfs_device.devid == 2
