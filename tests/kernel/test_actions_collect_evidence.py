"""Evidence of this machine's real kernel."""

import json

import pytest
from kernel.commanding import Host
from kernel.loopfs import wait_for

from fsmend_agent import evidence
from fsmend_proto.v1 import command_pb2 as pb

pytestmark = pytest.mark.kernel


def collect(lines=0):
    return {"collect_evidence": pb.CollectEvidence(kernel_log_lines=lines)}


def files_of(end):
    assert end.state == pb.COMMAND_STATE_SUCCEEDED, end
    return {file.name: file.content for file in end.result.evidence}


async def test_of_an_ext4_error_log_counters_and_device_are_collected(ext4_fs, write_trigger, tmp_path):
    mount_point = ext4_fs.mount()
    write_trigger(ext4_fs.loop)
    wait_for(lambda: b"EXT4-fs error" in evidence.kernel_log(50).content)
    host = Host(tmp_path, mount_point)
    end = await host.run(host.command(mount_point, **collect(500)))
    files = files_of(end)
    assert set(files) == {"kernel_log", "mountinfo", "ext4_health", "devices", "diskstats"}
    assert f"EXT4-fs error (device {ext4_fs.loop.name})".encode() in files["kernel_log"]
    assert bytes(mount_point) in files["mountinfo"]
    told = json.loads(files["ext4_health"])
    assert told["counters"]["errors_count"] == 1
    assert told["first_error"]["function"] == "trigger_test_error"
    assert json.loads(files["devices"])[ext4_fs.loop.name]["loop/backing_file"] == str(ext4_fs.loop.path)
    assert files["diskstats"].split()[2] == ext4_fs.loop.name.encode()
    assert end.result.verdict == pb.VERDICT_NOT_APPLICABLE
    assert end.result.before.counters["errors_count"] == 1


@pytest.mark.parametrize(("kind", "name"), [("btrfs_raid1", "btrfs_health"), ("xfs_fs", "xfs_health")])
async def test_other_filesystems_tell_theirs(request, kind, name, tmp_path):
    filesystem = request.getfixturevalue(kind)
    mount_point = filesystem.mount()
    host = Host(tmp_path, mount_point)
    files = files_of(await host.run(host.command(mount_point, **collect())))
    assert json.loads(files[name])["uuid"] == host.table.by_mount_point(bytes(mount_point)).uuid
    assert set(json.loads(files["devices"])) == {loop.name for loop in filesystem.loops}


async def test_the_host_alone_has_log_and_mounts(tmp_path):
    host = Host(tmp_path, tmp_path)
    end = await host.run(pb.Command(id="1", time_to_live_seconds=60, **collect(3)))
    files = files_of(end)
    assert set(files) == {"kernel_log", "mountinfo"}
    assert len(files["kernel_log"].splitlines()) <= 3
