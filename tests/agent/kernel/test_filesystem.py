"""The calls that any filesystem answers, or not."""

import errno
import os

import pytest

from fsmend_agent.kernel import filesystem


def test_what_has_no_uuid_says_so():
    reading, writing = os.pipe()
    try:
        with pytest.raises(OSError, match="Inappropriate") as refused:
            filesystem.fs_uuid(reading, "pipe")
        assert (refused.value.errno, refused.value.filename) == (errno.ENOTTY, "pipe")
        with pytest.raises(OSError, match="Inappropriate"):
            filesystem.shutdown(reading, filesystem.SHUTDOWN_NO_LOG_FLUSH)
    finally:
        os.close(reading)
        os.close(writing)


def test_a_uuid_of_another_length_is_none(monkeypatch):
    def answer(_fd, _request, buffer, _path):
        buffer[0:1] = b"\x08"

    monkeypatch.setattr(filesystem.syscall, "ioctl", answer)
    assert filesystem.fs_uuid(0) is None


def test_a_uuid_is_read_behind_its_length(monkeypatch):
    def answer(_fd, _request, buffer, _path):
        buffer[0:17] = b"\x10" + bytes(range(16))

    monkeypatch.setattr(filesystem.syscall, "ioctl", answer)
    assert filesystem.fs_uuid(0).bytes == bytes(range(16))


def test_shutdown_hands_its_mode_over(monkeypatch):
    seen = []
    monkeypatch.setattr(filesystem.syscall, "ioctl", lambda *arguments: seen.append(arguments))
    filesystem.shutdown(3, filesystem.SHUTDOWN_NO_LOG_FLUSH, "/mnt")
    assert seen == [(3, 0x8004587D, bytearray(b"\x02\0\0\0"), "/mnt")]
