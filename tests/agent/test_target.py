"""The proof of a target where the kernel is too old to tell, or does not answer (tests/kernel has the real cases)."""

import errno
import os
from dataclasses import replace
from uuid import UUID

import pytest

from fsmend_agent import target
from fsmend_agent.errors import ActionRefused, DecodeError
from fsmend_agent.filesystems import MountedFilesystem
from fsmend_agent.kernel.mounts import Mount
from fsmend_proto.v1 import command_pb2 as pb

UUID_TEXT = "0f5ac0de-1111-4222-8333-444444444444"


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder that stands for a mounted ext4; the filesystem, and what the mount table says."""
    device = tmp_path.stat().st_dev
    major, minor = os.major(device), os.minor(device)
    point = os.fsencode(tmp_path)
    filesystem = MountedFilesystem(UUID_TEXT, "ext4", "", major, minor, ("sdx",), (point,), read_only=False, options="")
    table = [Mount(7, 1, major, minor, b"/", point, "ext4", b"/dev/sdx", (b"rw",), (b"rw",), read_only=False)]
    opened = []

    def open_mount(mount_point, mount_id):
        opened.append(os.open(mount_point, os.O_RDONLY))
        return opened[-1]

    monkeypatch.setattr(target, "mount_table", lambda: table)
    monkeypatch.setattr(target, "open_mount", open_mount)
    return filesystem, table, opened


def answer(monkeypatch, uuid=None, number=0):
    def fs_uuid(fd):
        if number:
            raise OSError(number, os.strerror(number))
        return uuid

    monkeypatch.setattr(target, "fs_uuid", fs_uuid)


def closed(fd):
    try:
        os.fstat(fd)
    except OSError as error:
        return error.errno == errno.EBADF
    return False


def test_the_right_uuid_is_proof(place, monkeypatch):
    filesystem, _, opened = place
    answer(monkeypatch, UUID(UUID_TEXT))
    fd = target.open_proven(filesystem)
    assert fd == opened[0]
    os.close(fd)


@pytest.mark.parametrize("uuid", [UUID(int=5), None])
def test_another_uuid_or_none_is_a_changed_target_and_nothing_stays_open(place, monkeypatch, uuid):
    filesystem, _, opened = place
    answer(monkeypatch, uuid)
    with pytest.raises(ActionRefused) as refused:
        target.open_proven(filesystem)
    assert refused.value.code == pb.REFUSAL_CODE_TARGET_CHANGED
    assert closed(opened[0])


@pytest.mark.parametrize(("found", "good"), [(UUID_TEXT, True), ("", False), (str(UUID(int=5)), False)])
def test_an_old_kernel_is_asked_through_the_superblock(place, monkeypatch, found, good):
    filesystem, _, opened = place
    answer(monkeypatch, number=errno.ENOTTY)
    monkeypatch.setattr(target.superblock, "read_uuid", lambda fs_type, name: found if name == "sdx" else "")
    if good:
        os.close(target.open_proven(filesystem))
        return
    with pytest.raises(ActionRefused):
        target.open_proven(filesystem)
    assert closed(opened[0])


def test_the_superblock_of_another_device_proves_nothing(place, monkeypatch):
    filesystem, table, _ = place
    answer(monkeypatch, number=errno.ENOTTY)
    monkeypatch.setattr(target.superblock, "read_uuid", lambda fs_type, name: UUID_TEXT)
    table[0] = replace(table[0], minor=filesystem.minor + 1)
    with pytest.raises(ActionRefused):
        target.open_proven(replace(filesystem, minor=filesystem.minor + 1))


def test_other_errors_prove_nothing(place, monkeypatch):
    answer(monkeypatch, number=errno.EIO)
    with pytest.raises(ActionRefused) as refused:
        target.open_proven(place[0])
    assert refused.value.code == pb.REFUSAL_CODE_TARGET_CHANGED


def test_a_writable_mount_is_preferred(place, monkeypatch):
    filesystem, table, opened = place
    answer(monkeypatch, UUID(UUID_TEXT))
    table.insert(0, replace(table[0], mount_id=6, mount_point=b"/read/only", read_only=True))
    os.close(target.open_proven(filesystem))
    assert len(opened) == 1


def test_a_mount_that_cannot_be_opened_gives_way_to_the_next(place, monkeypatch):
    filesystem, table, _ = place
    answer(monkeypatch, UUID(UUID_TEXT))
    table.insert(0, replace(table[0], mount_id=6, mount_point=b"/does/not/exist"))
    os.close(target.open_proven(filesystem))
    table.pop()
    with pytest.raises(ActionRefused, match="No such file") as refused:
        target.open_proven(filesystem)
    assert refused.value.code == pb.REFUSAL_CODE_NOT_MOUNTED


def test_an_absent_filesystem_is_not_mounted_and_a_taken_place_has_changed(place):
    filesystem, table, _ = place
    other = replace(table[0], minor=filesystem.minor + 1)
    table[:] = [replace(other, mount_point=b"/elsewhere")]
    with pytest.raises(ActionRefused) as refused:
        target.open_proven(filesystem)
    assert refused.value.code == pb.REFUSAL_CODE_NOT_MOUNTED
    table[:] = [other]
    with pytest.raises(ActionRefused) as refused:
        target.open_proven(filesystem)
    assert refused.value.code == pb.REFUSAL_CODE_TARGET_CHANGED


def test_strange_lines_of_the_mount_table_hide_no_mount(monkeypatch):
    def decode(_data):
        yield "good"
        raise DecodeError("mountinfo lines", b"bad")

    monkeypatch.setattr(target.mounts, "decode", decode)
    assert target.mount_table() == ["good"]
