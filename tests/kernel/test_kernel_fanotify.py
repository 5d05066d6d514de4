"""FAN_FS_ERROR records of a real kernel: decoded, named by fsid, resolved to a path."""

import errno
import os
import select

import pytest
from kernel.loopfs import corrupt_ext4_directory, run

from fsmend_agent.kernel import btrfs, fanotify, filesystem, handles, mounts, syscall

pytestmark = pytest.mark.kernel


@pytest.fixture
def group():
    fd = fanotify.init()
    yield fd
    os.close(fd)


def read_records(group_fd, seconds=5.0):
    poll = select.poll()
    poll.register(group_fd, select.POLLIN)
    assert poll.poll(seconds * 1000), "no fanotify event"
    return list(fanotify.decode(os.read(group_fd, fanotify.READ_BYTES)))


def test_a_triggered_superblock_error_arrives_without_inode(ext4_fs, group, write_trigger):
    mount_point = ext4_fs.mount()
    fanotify.mark_filesystem(group, str(mount_point))
    write_trigger(ext4_fs.loop)
    (record,) = read_records(group)
    assert record.is_superblock
    assert (record.inode, record.error_count) == (None, 1)
    assert record.error == errno.EUCLEAN
    assert record.fsid == mounts.fsid(str(mount_point))
    assert record.pid == os.getpid()


def test_a_corrupt_directory_arrives_with_inode_generation_and_path(ext4_fs, group):
    directory = ext4_fs.mount() / "broken"
    directory.mkdir()
    (directory / "file").write_text("x")
    inode = directory.stat().st_ino
    ext4_fs.unmount()
    corrupt_ext4_directory(ext4_fs, "broken")

    mount_point = ext4_fs.mount()
    fanotify.mark_filesystem(group, str(mount_point))
    with pytest.raises(OSError, match=r"Bad message|Structure needs cleaning"):
        list((mount_point / "broken").iterdir())
    record, *_ = read_records(group)
    assert record.inode == inode
    assert record.error in {errno.EBADMSG, errno.EUCLEAN}
    assert record.fsid == mounts.fsid(str(mount_point))
    handle = syscall.name_to_handle_at(str(mount_point / "broken"))
    assert (record.handle_type, record.handle) == (handle.handle_type, handle.handle)
    mount_fd = os.open(mount_point, os.O_RDONLY)
    try:
        assert handles.resolve(mount_fd, record.handle_type, record.handle) == os.fsencode(mount_point / "broken")
    finally:
        os.close(mount_fd)


def test_a_deleted_file_resolves_to_a_path_that_says_so_and_then_to_none(ext4_fs):
    mount_point = ext4_fs.mount()
    path = mount_point / "gone"
    path.write_text("x")
    handle = syscall.name_to_handle_at(str(path))
    mount_fd = os.open(mount_point, os.O_RDONLY)
    try:
        with path.open():
            path.unlink()
            assert handles.resolve(mount_fd, handle.handle_type, handle.handle) == os.fsencode(path) + b" (deleted)"
        assert handles.resolve(mount_fd, handle.handle_type, handle.handle) is None
    finally:
        os.close(mount_fd)


def test_an_unmarked_filesystem_stays_silent(ext4_fs, group, write_trigger):
    mount_point = ext4_fs.mount()
    fanotify.mark_filesystem(group, str(mount_point))
    fanotify.unmark_filesystem(group, str(mount_point))
    write_trigger(ext4_fs.loop)
    with pytest.raises(BlockingIOError):
        os.read(group, fanotify.READ_BYTES)


def test_marking_a_filesystem_without_fsid_says_why(group):
    with pytest.raises(OSError, match="/proc") as refused:
        fanotify.mark_filesystem(group, "/proc")
    assert refused.value.errno in {errno.ENODEV, errno.EXDEV, errno.EOPNOTSUPP}


def test_ext4_and_xfs_tell_their_uuid_and_btrfs_has_its_own_call(ext4_fs, xfs_fs, btrfs_raid1):
    seen = set()
    for made, call in ((ext4_fs, filesystem.fs_uuid), (xfs_fs, filesystem.fs_uuid), (btrfs_raid1, btrfs_uuid)):
        mount_point = made.mount()
        fd = os.open(mount_point, os.O_RDONLY)
        try:
            seen.add(str(call(fd)))
        finally:
            os.close(fd)
    expected = {run("blkid", "-p", "-o", "value", "-s", "UUID", made.loop.device).strip() for made in (ext4_fs, xfs_fs)}
    expected.add(run("blkid", "-p", "-o", "value", "-s", "UUID", btrfs_raid1.loop.device).strip())
    assert seen == expected


def btrfs_uuid(fd):
    return btrfs.fs_info(fd).uuid


def test_handles_of_xfs_and_btrfs_tell_inode_and_generation(xfs_fs, btrfs_raid1):
    for made, has_root in ((xfs_fs, False), (btrfs_raid1, True)):
        path = made.mount() / "file"
        path.write_text("x")
        handle = syscall.name_to_handle_at(str(path))
        inode, generation, root = fanotify.decode_handle(handle.handle_type, handle.handle)
        assert inode == path.stat().st_ino
        assert generation is not None
        assert (root is not None) is has_root
