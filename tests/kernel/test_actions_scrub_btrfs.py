"""Scrub commands against a real btrfs RAID1."""

import asyncio
import errno
import os

import pytest
from kernel.commanding import Host
from kernel.loopfs import MIB, overwrite, run

from fsmend_agent.kernel import btrfs
from fsmend_proto.v1 import command_pb2 as pb

pytestmark = pytest.mark.kernel

SLOW = 8 * MIB


@pytest.fixture
def damaged(btrfs_raid1):
    """100 MiB of data, mounted again after 60 MiB of the second device were zeroed."""
    mount_point = btrfs_raid1.mount()
    (mount_point / "data").write_bytes(os.urandom(100 * MIB))
    btrfs_raid1.unmount()
    second = btrfs_raid1.loops[1].device
    image = second.read_bytes()
    used = [bool(image[at : at + MIB].strip(b"\0")) for at in range(0, len(image), MIB)]
    # Past the superblock's copy at 64 MiB: a scrub finds that as well, and the next transaction mends it.
    start = max(range(65, len(used) - 60), key=lambda at: sum(used[at : at + 60]))
    overwrite(second, start * MIB, bytes(60 * MIB))
    return btrfs_raid1.mount()


@pytest.fixture
def filled(btrfs_raid1):
    mount_point = btrfs_raid1.mount()
    (mount_point / "data").write_bytes(os.urandom(100 * MIB))
    os.sync()
    return mount_point


def scrub(**fields):
    return {"scrub_btrfs": pb.ScrubBtrfs(**fields)}


async def test_a_scrub_heals_a_damaged_mirror_and_tells_how_it_goes(damaged, tmp_path):
    host = Host(tmp_path, damaged)
    command = host.command(damaged, **scrub())
    end = await host.run(command)
    assert end.state == pb.COMMAND_STATE_SUCCEEDED, end
    result = end.result
    assert result.verdict == pb.VERDICT_HEALED
    assert [outcome.devid for outcome in result.scrubs] == [1, 2]
    found = sum(outcome.errors_found for outcome in result.scrubs)
    assert found > 10_000
    assert sum(outcome.errors_corrected for outcome in result.scrubs) == found
    assert sum(outcome.errors_uncorrectable for outcome in result.scrubs) == 0
    assert result.after.counters["devid 2 corruption_errors"] > result.before.counters["devid 2 corruption_errors"]
    assert result.duration_ns > 0
    states = [update.state for update in host.of(command)]
    assert states[:2] == [pb.COMMAND_STATE_ACCEPTED, pb.COMMAND_STATE_RUNNING]
    progress = [update.progress for update in host.of(command) if update.HasField("progress")]
    assert progress[-1].percent == 100
    assert progress[-1].errors_corrected == found
    assert progress[-1].bytes_total > 200 * MIB
    again = await host.run(host.command(damaged, **scrub()))
    assert again.result.verdict == pb.VERDICT_CLEAN


async def test_a_read_only_scrub_finds_and_mends_nothing(damaged, tmp_path):
    host = Host(tmp_path, damaged)
    end = await host.run(host.command(damaged, **scrub(read_only=True, devids=[2])))
    assert end.state == pb.COMMAND_STATE_SUCCEEDED, end
    (outcome,) = end.result.scrubs
    assert outcome.errors_found > 10_000
    assert outcome.errors_corrected == 0
    assert end.result.verdict == pb.VERDICT_NOT_HEALED
    again = await host.run(host.command(damaged, **scrub(read_only=True, devids=[2])))
    assert again.result.scrubs[0].errors_found == outcome.errors_found


async def test_a_slow_scrub_is_cancelled_and_can_be_resumed(filled, tmp_path):
    host = Host(tmp_path, filled)
    command = host.command(filled, **scrub(devids=[1], limit_bytes_per_second=SLOW))
    uuid = command.target.filesystem_uuid
    limit = f"/sys/fs/btrfs/{uuid}/devinfo/1/scrub_speed_max"
    before = run("cat", limit)
    host.executor.submit(command)
    await host.until(command, lambda update: update.progress.bytes_done > 0)
    assert run("cat", limit).strip() == str(SLOW)
    host.executor.cancel(pb.CancelCommand(command_id=command.id, ordered_by="operator ada", reason="enough"))
    end = await host.end_of(command, 20)
    assert end.state == pb.COMMAND_STATE_CANCELLED, end
    assert "operator ada" in end.message
    (outcome,) = end.result.scrubs
    assert outcome.errno == errno.ECANCELED
    assert 0 < outcome.bytes < 100 * MIB
    assert outcome.last_physical > 0
    assert run("cat", limit) == before
    resumed = await host.run(host.command(filled, **scrub(devids=[1], start_byte=outcome.last_physical)))
    assert resumed.state == pb.COMMAND_STATE_SUCCEEDED, resumed
    assert resumed.result.verdict == pb.VERDICT_CLEAN
    assert 0 < resumed.result.scrubs[0].bytes < outcome.bytes + 100 * MIB


async def test_two_commands_on_one_filesystem_are_one_too_many(filled, tmp_path):
    host = Host(tmp_path, filled)
    first = host.command(filled, **scrub(limit_bytes_per_second=SLOW))
    host.executor.submit(first)
    await host.until(first, lambda update: update.state == pb.COMMAND_STATE_RUNNING)
    refused = await host.run(host.command(filled, **scrub()))
    assert (refused.state, refused.refusal) == (pb.COMMAND_STATE_REFUSED, pb.REFUSAL_CODE_BUSY)
    assert first.id in refused.message
    host.executor.cancel(pb.CancelCommand(command_id=first.id))
    assert (await host.end_of(first, 20)).state == pb.COMMAND_STATE_CANCELLED


async def test_a_scrub_that_somebody_else_runs_is_left_alone(filled, tmp_path):
    host, stranger = Host(tmp_path, filled), Host(tmp_path / "mount0", filled)
    first = stranger.command(filled, **scrub(devids=[1], limit_bytes_per_second=SLOW))
    stranger.executor.submit(first)
    await stranger.until(first, lambda update: update.HasField("progress"))
    refused = await host.run(host.command(filled, **scrub(devids=[2])))
    assert (refused.state, refused.refusal) == (pb.COMMAND_STATE_REFUSED, pb.REFUSAL_CODE_BUSY)
    await asyncio.sleep(0.3)
    assert first.id in stranger.executor.unfinished
    await stranger.executor.close(20)


async def test_a_read_only_filesystem_can_only_be_checked(btrfs_raid1, tmp_path):
    mount_point = btrfs_raid1.mount(btrfs_raid1.options + ",ro")
    host = Host(tmp_path, mount_point)
    refused = await host.run(host.command(mount_point, **scrub()))
    assert (refused.state, refused.refusal) == (pb.COMMAND_STATE_REFUSED, pb.REFUSAL_CODE_READ_ONLY)
    checked = await host.run(host.command(mount_point, **scrub(read_only=True)))
    assert checked.state == pb.COMMAND_STATE_SUCCEEDED, checked


async def test_of_several_devices_the_failing_one_is_named(btrfs_raid1, tmp_path):
    mount_point = btrfs_raid1.mount()
    (mount_point / "data").write_bytes(os.urandom(20 * MIB))
    btrfs_raid1.unmount()
    # btrfs remembers scanned devices; forgotten, and with its superblock gone, the second one is missing.
    overwrite(btrfs_raid1.loops[1].device, 64 * 1024, bytes(4096))
    overwrite(btrfs_raid1.loops[1].device, 64 * MIB, bytes(4096))
    run("btrfs", "device", "scan", "--forget", btrfs_raid1.loops[1].device)
    mount_point = btrfs_raid1.mount("degraded")
    host = Host(tmp_path, mount_point)
    end = await host.run(host.command(mount_point, **scrub()))
    assert end.state == pb.COMMAND_STATE_FAILED, end
    assert "devid 2" in end.message
    assert [outcome.errno for outcome in end.result.scrubs] == [0, errno.ENODEV]
    assert end.result.scrubs[0].bytes >= 20 * MIB
    assert end.result.verdict == pb.VERDICT_NOT_HEALED
    assert "devid 2 missing" in end.result.after.sick


async def test_unknown_devices_and_wrong_types_touch_nothing(filled, ext4_fs, tmp_path):
    plain = ext4_fs.mount()
    host = Host(tmp_path, filled, plain)
    unknown = await host.run(host.command(filled, **scrub(devids=[7])))
    assert (unknown.state, unknown.refusal) == (pb.COMMAND_STATE_REFUSED, pb.REFUSAL_CODE_TARGET_CHANGED)
    wrong = await host.run(host.command(plain, **scrub()))
    assert (wrong.state, wrong.refusal) == (pb.COMMAND_STATE_REFUSED, pb.REFUSAL_CODE_NOT_SUPPORTED)


async def test_a_dry_run_scrubs_nothing(damaged, tmp_path):
    host = Host(tmp_path, damaged)
    end = await host.run(host.command(damaged, dry_run=True, **scrub()))
    assert end.state == pb.COMMAND_STATE_SUCCEEDED
    assert end.message.startswith("would scrub devid 1, 2 of btrfs")
    fd = os.open(damaged, os.O_RDONLY)
    try:
        assert btrfs.scrub(fd, 2, read_only=True).csum_errors > 10_000
    finally:
        os.close(fd)
