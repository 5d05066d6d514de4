"""btrfs requests and answers without a kernel."""

import ctypes
import errno
import struct
import uuid

import pytest

from fsmend_agent.kernel import btrfs

PROGRESS = tuple(range(101, 116))


@pytest.fixture
def kernel(monkeypatch):
    """Let a function answer the ioctls: `kernel(answer)` with answer(request, buffer)."""

    def install(answer):
        monkeypatch.setattr(btrfs.syscall, "ioctl", lambda _fd, request, buffer, _path: answer(request, buffer))

    return install


def test_counters_are_named_in_the_kernels_order(kernel):
    def answer(request, buffer):
        assert (request, struct.unpack_from("=QQQ", buffer)) == (0xC4089434, (2, 5, 1))
        struct.pack_into("=5Q", buffer, 24, 1, 2, 3, 4, 5)

    kernel(answer)
    assert btrfs.device_stats(3, 2, reset=True) == btrfs.DeviceStats(2, 1, 2, 3, 4, 5)


def test_a_scrub_hands_its_range_over_and_returns_progress(kernel):
    def answer(request, buffer):
        assert (request, len(buffer)) == (0xC400941B, 1024)
        assert struct.unpack_from("=QQQQ", buffer) == (2, 10, 20, 1)
        struct.pack_into("=15Q", buffer, 32, *PROGRESS)

    kernel(answer)
    progress = btrfs.scrub(3, 2, read_only=True, start=10, end=20)
    assert (progress.data_extents_scrubbed, progress.read_errors, progress.csum_errors) == (101, 105, 106)
    assert (progress.uncorrectable_errors, progress.corrected_errors) == (112, 113)
    assert (progress.last_physical, progress.unverified_errors) == (114, 115)


def test_a_scrub_covers_the_whole_device_and_repairs_by_default(kernel):
    seen = []
    kernel(lambda _request, buffer: seen.append(struct.unpack_from("=QQQQ", buffer)))
    btrfs.scrub(3, 1)
    assert seen == [(1, 0, 2**64 - 1, 0)]


def test_a_stopped_scrub_carries_its_progress(kernel):
    def answer(_request, buffer):
        struct.pack_into("=15Q", buffer, 32, *PROGRESS)
        raise OSError(errno.ECANCELED, "Operation canceled", "/mnt")

    kernel(answer)
    with pytest.raises(btrfs.ScrubStopped) as stopped:
        btrfs.scrub(3, 1)
    assert (stopped.value.errno, stopped.value.filename) == (errno.ECANCELED, "/mnt")
    assert stopped.value.progress.last_physical == 114


def test_a_refused_scrub_is_no_stopped_one(kernel):
    def answer(_request, _buffer):
        raise OSError(errno.EINPROGRESS, "Operation now in progress")

    kernel(answer)
    with pytest.raises(OSError, match="in progress") as refused:
        btrfs.scrub(3, 1)
    assert not isinstance(refused.value, btrfs.ScrubStopped)


def test_only_not_running_is_taken_for_idle(kernel):
    def refuse(number):
        def answer(_request, _buffer):
            raise OSError(number, "refused")

        return answer

    kernel(refuse(errno.ENOTCONN))
    assert btrfs.scrub_progress(3, 1) is None
    assert btrfs.scrub_cancel(3) is False
    kernel(refuse(errno.ENODEV))
    with pytest.raises(OSError, match="refused"):
        btrfs.scrub_progress(3, 1)
    with pytest.raises(OSError, match="refused"):
        btrfs.scrub_cancel(3)


def test_devices_are_listed_over_holes_in_their_numbers(kernel):
    identity = uuid.uuid4()

    def answer(request, buffer):
        if request == btrfs.BTRFS_IOC_FS_INFO:
            struct.pack_into("=QQ16sII", buffer, 0, 4, 2, identity.bytes, 16384, 4096)
            return
        (device_id,) = struct.unpack_from("=Q", buffer)
        if device_id not in {1, 4}:
            raise OSError(errno.ENODEV, "No such device")
        path = b"/dev/sd\xff" if device_id == 1 else b""
        struct.pack_into("=Q16sQQ3032x1024s", buffer, 0, device_id, identity.bytes, 5, 10, path)

    kernel(answer)
    assert btrfs.fs_info(3) == btrfs.FsInfo(identity, 2, 4, 16384, 4096)
    assert btrfs.devices(3) == [
        btrfs.DeviceInfo(1, identity, 5, 10, b"/dev/sd\xff"),
        btrfs.DeviceInfo(4, identity, 5, 10, b""),
    ]


def test_the_files_behind_an_address_come_with_what_did_not_fit(kernel):
    def answer(request, buffer):
        assert request == 0xC0389424
        logical, size, *_reserved, _flags, pointer = struct.unpack_from("=7Q", buffer)
        assert (logical, size) == (4096, 65536)
        ctypes.memmove(pointer, struct.pack("=IIII6Q", 0, 0, 6, 3, 257, 0, 5, 258, 512, 256), 64)

    kernel(answer)
    answered = btrfs.logical_inodes(3, 4096)
    assert answered.references == (btrfs.InodeReference(257, 0, 5), btrfs.InodeReference(258, 512, 256))
    assert answered.missed == 1
