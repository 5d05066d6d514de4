"""Containment of real filesystems, of the right ones only."""

import base64
import os
import socket
import time

import pytest
from agent.signing import Signer
from kernel.commanding import Host
from kernel.loopfs import MIB, run

from fsmend_agent.policy import load
from fsmend_agent.signature import OPENSSL
from fsmend_proto.v1 import command_pb2 as pb

pytestmark = pytest.mark.kernel

REMOUNT = {"remount_read_only": pb.RemountReadOnly()}


def options_of(mount_point):
    return run("findmnt", "-n", "-o", "VFS-OPTIONS,FS-OPTIONS", mount_point).split()


async def test_ext4_becomes_read_only_on_all_its_mounts_and_keeps_its_options(ext4_fs, tmp_path, undo):
    mount_point = ext4_fs.mount("errors=continue,nosuid,noatime,commit=17")
    second = tmp_path / "second"
    second.mkdir()
    run("mount", "--bind", mount_point, second)
    undo.callback(run, "umount", second)
    before = options_of(mount_point)
    host = Host(tmp_path, mount_point)
    end = await host.run(host.command(mount_point, **REMOUNT))
    assert end.state == pb.COMMAND_STATE_SUCCEEDED, end
    assert end.result.verdict == pb.VERDICT_NOT_APPLICABLE
    assert (end.result.before.read_only, end.result.after.read_only) == (False, True)
    for path in (mount_point, second):
        with pytest.raises(OSError, match="Read-only"):
            (path / "file").write_text("x")
    vfs, fs = options_of(mount_point)
    assert (vfs, fs.replace("ro", "rw", 1)) == (before[0], before[1])
    assert "nosuid" in vfs
    assert "commit=17" in fs


@pytest.mark.parametrize("kind", ["btrfs_raid1", "xfs_fs"])
async def test_others_become_read_only_as_well(request, kind, tmp_path):
    mount_point = request.getfixturevalue(kind).mount()
    host = Host(tmp_path, mount_point)
    end = await host.run(host.command(mount_point, **REMOUNT))
    assert end.state == pb.COMMAND_STATE_SUCCEEDED, end
    with pytest.raises(OSError, match="Read-only"):
        (mount_point / "file").write_text("x")


@pytest.mark.parametrize("kind", ["btrfs_raid1", "ext4_fs"])
async def test_a_writer_is_named(request, kind, tmp_path):
    mount_point = request.getfixturevalue(kind).mount()
    host = Host(tmp_path, mount_point)
    with (mount_point / "held\nopen").open("wb"), (mount_point / "read").open("wb") as read:
        read.close()
        with (mount_point / "read").open("rb"):
            end = await host.run(host.command(mount_point, **REMOUNT))
    assert end.state == pb.COMMAND_STATE_FAILED, end
    assert end.errno == 16
    assert f"[{os.getpid()}] {mount_point}/held" in end.message
    assert f"{mount_point}/read" not in end.message
    (mount_point / "file").write_text("still writable")


async def test_a_reused_loop_device_is_not_touched(ext4_fs, tmp_path):
    mount_point = ext4_fs.mount()
    host = Host(tmp_path, mount_point)
    command = host.command(mount_point, **REMOUNT)
    run("umount", mount_point)
    run("mkfs.ext4", "-q", "-F", "-U", "random", ext4_fs.loop.device)
    run("mount", ext4_fs.loop.device, mount_point)
    # The table still says what was; only the last look sees what is.
    end = await host.run(command)
    assert (end.state, end.refusal) == (pb.COMMAND_STATE_REFUSED, pb.REFUSAL_CODE_TARGET_CHANGED), end
    (mount_point / "file").write_text("still writable")


async def test_another_device_on_the_mount_point_is_not_touched(ext4_fs, make_loop, tmp_path):
    mount_point = ext4_fs.mount()
    host = Host(tmp_path, mount_point)
    command = host.command(mount_point, **REMOUNT)
    run("umount", mount_point)
    other = make_loop(64 * MIB)
    run("mkfs.ext4", "-q", "-F", other.device)
    run("mount", other.device, mount_point)
    end = await host.run(command)
    assert (end.state, end.refusal) == (pb.COMMAND_STATE_REFUSED, pb.REFUSAL_CODE_TARGET_CHANGED), end
    (mount_point / "file").write_text("still writable")


async def test_an_unmounted_filesystem_is_not_mounted(ext4_fs, tmp_path):
    mount_point = ext4_fs.mount()
    host = Host(tmp_path, mount_point)
    command = host.command(mount_point, **REMOUNT)
    run("umount", mount_point)
    end = await host.run(command)
    assert (end.state, end.refusal) == (pb.COMMAND_STATE_REFUSED, pb.REFUSAL_CODE_NOT_MOUNTED), end
    (mount_point / "file").write_text("what lies below is not touched either")


async def test_what_lies_under_another_mount_is_reached_by_its_other_mount(ext4_fs, tmp_path, undo):
    mount_point = ext4_fs.mount()
    second = tmp_path / "second"
    second.mkdir()
    run("mount", "--bind", mount_point, second)
    undo.callback(run, "umount", second)
    run("mount", "-t", "tmpfs", "none", mount_point)
    undo.callback(run, "umount", mount_point)
    host = Host(tmp_path, second)
    end = await host.run(host.command(second, **REMOUNT))
    assert end.state == pb.COMMAND_STATE_SUCCEEDED, end
    (mount_point / "file").write_text("the tmpfs is another filesystem")
    with pytest.raises(OSError, match="Read-only"):
        (second / "file").write_text("x")


@pytest.mark.skipif(not OPENSSL.exists(), reason="needs openssl")
async def test_by_default_only_an_operators_signature_contains(ext4_fs, tmp_path):
    mount_point = ext4_fs.mount()
    host = Host(tmp_path, mount_point, policy=load(tmp_path / "no policy"))
    unsigned = await host.run(host.command(mount_point, **REMOUNT))
    assert (unsigned.state, unsigned.refusal) == (pb.COMMAND_STATE_REFUSED, pb.REFUSAL_CODE_SIGNATURE)

    ada, eve = Signer(tmp_path / "ada"), Signer(tmp_path / "eve")
    host = Host(tmp_path, mount_point, policy=signers_policy(tmp_path, ada))
    host.executor.set_clock(0, 1000)

    def order():
        command = host.command(mount_point, not_after_wall_ns=time.time_ns() + 60 * 10**9, **REMOUNT)
        command.target.boot_id, command.target.host_name = host.clock.boot_id, socket.gethostname()
        return command

    forged = await host.run(eve.sign(order()))
    assert (forged.state, forged.refusal) == (pb.COMMAND_STATE_REFUSED, pb.REFUSAL_CODE_SIGNATURE)
    (mount_point / "file").write_text("still writable")
    end = await host.run(ada.sign(order()))
    assert end.state == pb.COMMAND_STATE_SUCCEEDED, end


def signers_policy(folder, signer):
    path = folder / "policy.toml"
    path.write_text(f'[signers]\nada = "{base64.b64encode(signer.public).decode()}"\n')
    return load(path)
