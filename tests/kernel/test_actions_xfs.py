"""Check and repair of XFS on this machine's own kernel: where scrub is not built in, it is refused as such."""

import asyncio
import os

import pytest
from kernel.commanding import Host
from kernel.loopfs import run

from fsmend_agent.actions.repair_xfs import RepairXfs
from fsmend_agent.actions.scrub_xfs import ScrubXfs
from fsmend_agent.kernel import xfs, xfs_scrub
from fsmend_agent.kernel.xfs import ScrubSupport
from fsmend_agent.kernel.xfs_health import ScrubType
from fsmend_agent.survey import filesystem_capabilities
from fsmend_agent.xfs.autofsck import ATTRIBUTE, Autofsck, read_autofsck
from fsmend_agent.xfs.capability import facts
from fsmend_proto.v1 import command_pb2 as pb

pytestmark = pytest.mark.kernel


@pytest.fixture
def mount_point(xfs_fs):
    return xfs_fs.mount()


def support_of(path):
    fd = os.open(path, os.O_RDONLY)
    try:
        return xfs.scrub_support(fd)
    finally:
        os.close(fd)


async def test_what_probe_says_is_what_a_command_meets(mount_point, tmp_path):
    support = support_of(mount_point)
    host = Host(tmp_path, mount_point)
    filesystem = host.table.by_mount_point(bytes(mount_point))
    check, repair = ScrubXfs.probe(filesystem), RepairXfs.probe(filesystem)
    assert (check.available, repair.available) == (support is not ScrubSupport.NONE, support is ScrubSupport.REPAIR)
    items = [pb.XfsScrubItem(type=ScrubType.AGF)]
    scrubbed = await host.run(host.command(mount_point, scrub_xfs=pb.ScrubXfs(items=items)))
    repaired = await host.run(host.command(mount_point, repair_xfs=pb.RepairXfs(items=items)))
    if support is ScrubSupport.NONE:
        for update, capability in ((scrubbed, check), (repaired, repair)):
            assert (update.state, update.refusal) == (pb.COMMAND_STATE_REFUSED, pb.REFUSAL_CODE_NOT_SUPPORTED)
            assert "not built into this kernel" in update.message
            assert update.message == capability.reason
    else:
        assert scrubbed.result.verdict == pb.VERDICT_CLEAN


async def test_a_filesystem_that_shut_down_is_refused_as_such(xfs_fs, mount_point, tmp_path):
    host = Host(tmp_path, mount_point)
    command = host.command(mount_point, repair_xfs=pb.RepairXfs())
    await asyncio.to_thread(run, "xfs_io", "-x", "-c", "shutdown", mount_point)
    update = await host.run(command)
    assert (update.state, update.refusal) == (pb.COMMAND_STATE_REFUSED, pb.REFUSAL_CODE_SHUT_DOWN), update


def test_the_root_directory_is_found_from_anywhere(mount_point):
    below = mount_point / "a" / "b"
    below.mkdir(parents=True)
    fd = os.open(below, os.O_RDONLY)
    try:
        assert xfs_scrub.bulkstat_root(fd).inode == mount_point.stat().st_ino
        assert read_autofsck(fd) is Autofsck.UNSET
        os.setxattr(mount_point, ATTRIBUTE, b"check")
        assert read_autofsck(fd) is Autofsck.CHECK
    finally:
        os.close(fd)


def test_a_kernel_without_vectors_or_scrub_says_so(mount_point):
    if support_of(mount_point) is not ScrubSupport.NONE:
        pytest.skip("scrub is built in")
    fd = os.open(mount_point, os.O_RDONLY)
    try:
        with pytest.raises(OSError, match="ioctl"):
            xfs_scrub.scrub_vector(fd, [ScrubType.AGF, ScrubType.AGI])
        assert xfs_scrub.scrub_one(fd, ScrubType.AGF).errno == 25
    finally:
        os.close(fd)


def test_the_inventory_says_what_the_filesystem_has_for_repair(mount_point, tmp_path):
    filesystem = Host(tmp_path, mount_point).table.by_mount_point(bytes(mount_point))
    found = {name: (available, reason) for name, available, reason in facts(filesystem)}
    features = run("xfs_info", mount_point)
    assert found["xfs.rmapbt"][0] is ("rmapbt=1" in features)
    assert found["xfs.scrub"][0] is (support_of(mount_point) is not ScrubSupport.NONE)
    assert found["xfs.autofsck"] == (True, "the filesystem's own property: unset")
    assert not found["xfs.healer"][0]
    names = {one.name for one in filesystem_capabilities(filesystem, [], os.uname().release)}
    assert set(found) <= names
