"""System calls that need no privilege, and what they raise."""

import errno
import os

import pytest

from fsmend_agent.kernel import syscall


def test_a_failed_call_names_errno_and_path():
    with pytest.raises(FileNotFoundError) as missing:
        syscall.statfs_fsid(b"/nowhere/\xff")
    assert missing.value.errno == errno.ENOENT
    assert os.fsencode(missing.value.filename) == b"/nowhere/\xff"


def test_an_ioctl_on_a_closed_descriptor_is_refused():
    with pytest.raises(OSError, match="Bad file descriptor") as refused:
        syscall.ioctl(-1, 0x80111500, bytearray(17), "/somewhere")
    assert (refused.value.errno, refused.value.filename) == (errno.EBADF, "/somewhere")


def test_an_ioctl_fills_the_callers_buffer():
    reading, writing = os.pipe()
    try:
        os.write(writing, b"12345")
        buffer = bytearray(4)
        syscall.ioctl(reading, 0x541B, buffer)  # FIONREAD
        assert int.from_bytes(buffer, "little") == 5
    finally:
        os.close(reading)
        os.close(writing)


def test_an_fsid_has_eight_bytes_and_is_the_same_twice(tmp_path):
    assert len(syscall.statfs_fsid(tmp_path)) == 8
    assert syscall.statfs_fsid(tmp_path) == syscall.statfs_fsid(str(tmp_path))


def test_two_files_have_different_handles_of_one_mount(tmp_path):
    paths = [tmp_path / name for name in ("one", "other")]
    for path in paths:
        path.touch()
    try:
        one, other = (syscall.name_to_handle_at(str(path)) for path in paths)
    except OSError as error:
        assert error.errno == errno.EOPNOTSUPP  # noqa: PT017  a filesystem without handles, such as overlay
        pytest.skip("no file handles here")
    assert one.handle != other.handle
    assert one.mount_id == other.mount_id


def test_a_bad_handle_is_refused():
    with pytest.raises(OSError, match=r"Operation not permitted|Stale|Invalid|Bad file"):
        syscall.open_by_handle_at(-1, 1, b"12345678", syscall.O_PATH)


def test_an_unknown_machine_cannot_set_io_priority(monkeypatch):
    monkeypatch.setattr(syscall, "_SYS_IOPRIO_SET", {})
    with pytest.raises(OSError, match="not implemented"):
        syscall.ioprio_set(3)


def test_ioprio_of_an_unknown_class_is_refused():
    with pytest.raises(OSError, match="Invalid argument"):
        syscall.ioprio_set(7)
