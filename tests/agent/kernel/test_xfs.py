"""Bulkstat buffers and scrub requests without a kernel."""

import errno
import struct
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsmend_agent.errors import DecodeError
from fsmend_agent.kernel import xfs
from fsmend_agent.kernel._ffi import ffi
from fsmend_agent.kernel.xfs_health import ScrubFlag, ScrubType


def bulkstat_buffer(*inodes, next_inode=0, count=None):
    header = struct.pack("=QIIII40x", next_inode, 0, 99, len(inodes) if count is None else count, 0)
    records = (
        ffi.new(
            "struct xfs_bulkstat *",
            dict(zip(("bs_ino", "bs_gen", "bs_sick", "bs_checked", "bs_mode"), inode, strict=True)),
        )
        for inode in inodes
    )
    return header + b"".join(bytes(ffi.buffer(record)) for record in records)


def test_a_bulkstat_buffer_gives_inodes_and_where_to_go_on():
    data = bulkstat_buffer((128, 7, 0, 0, 0o40755), (131, 8, 0x10, 0x1F, 0o40700), next_inode=132)
    assert xfs.decode_bulkstat(data) == (
        [xfs.InodeHealth(128, 7, 0, 0, 0o40755), xfs.InodeHealth(131, 8, 0x10, 0x1F, 0o40700)],
        132,
    )


def test_unused_room_behind_the_records_is_left_alone():
    data = bulkstat_buffer((128, 7, 0, 0, 0o40755)) + b"\xff" * 192
    assert len(xfs.decode_bulkstat(data)[0]) == 1


@pytest.mark.parametrize("bad", [b"", b"x" * 63, bulkstat_buffer((1, 1, 0, 0, 0), count=2)])
def test_a_buffer_that_promises_too_much_is_kept_raw(bad):
    with pytest.raises(DecodeError) as error:
        xfs.decode_bulkstat(bad)
    assert error.value.raw == bad


@given(st.binary(max_size=600))
def test_random_bytes_decode_or_raise(data):
    try:
        inodes, _next = xfs.decode_bulkstat(data)
    except DecodeError:
        inodes = []
    assert len(inodes) <= len(data) // 192


@given(st.binary(max_size=300))
def test_random_chunks_decode_or_raise(data):
    try:
        chunks, _next = xfs.decode_inumbers(data)
    except DecodeError:
        chunks = []
    assert all(len(one.inodes) <= 64 for one in chunks)


def test_a_chunk_names_the_inodes_in_use():
    data = struct.pack("=QIIII40x", 192, 1, 16, 1, 0) + struct.pack("=QQ8x", 128, 1 << 63 | 0b101)
    ((chunk,), following) = xfs.decode_inumbers(data)
    assert (chunk.inodes, following) == ([128, 130, 191], 192)


def test_the_walk_goes_on_from_batch_to_batch_until_one_is_empty(monkeypatch):
    answers = {0: ([xfs.InodeHealth(1, 1, 0, 0, 0)], 2), 2: ([xfs.InodeHealth(5, 1, 0, 0, 0)], 6), 6: ([], 6)}
    monkeypatch.setattr(xfs, "bulkstat_batch", lambda _fd, start, _count, _path: answers[start])
    assert [inode.inode for inode in xfs.bulkstat(3, batch=1)] == [1, 5]


def fake_geometry(**fields):
    def answer(_fd, request, buffer, _path):
        assert request == xfs.XFS_IOC_FSGEOMETRY
        buffer[:] = bytes(ffi.buffer(ffi.new("struct xfs_fsop_geom *", fields)))

    return answer


def test_geometry_names_the_kernels_fields(monkeypatch):
    identity = uuid.uuid4()
    answer = fake_geometry(uuid=list(identity.bytes), blocksize=4096, agcount=4, sick=0x1, checked=0x3, rgcount=2)
    monkeypatch.setattr(xfs.syscall, "ioctl", answer)
    geometry = xfs.geometry(3)
    assert (geometry.uuid, geometry.block_bytes, geometry.ag_count) == (identity, 4096, 4)
    assert (geometry.sick, geometry.checked, geometry.rtgroup_count) == (1, 3, 2)


def test_an_rtgroup_tells_its_health(monkeypatch):
    def answer(_fd, _request, buffer, _path):
        fields = {"rg_number": int.from_bytes(buffer[0:4], "little"), "rg_length": 100, "rg_sick": 8, "rg_checked": 31}
        buffer[:] = bytes(ffi.buffer(ffi.new("struct xfs_rtgroup_geometry *", fields)))

    monkeypatch.setattr(xfs.syscall, "ioctl", answer)
    assert xfs.rtgroup_geometry(3, 2) == xfs.RtGroupGeometry(2, 100, 8, 31)


class FakeScrub:
    """Answer SCRUB_METADATA as a kernel does that is able to do some of it."""

    def __init__(self, *, outcome=0, refuse=None):
        self.outcome, self.refuse, self.requests = outcome, refuse or {}, []

    def __call__(self, _fd, request, buffer, _path):
        assert request == xfs.XFS_IOC_SCRUB_METADATA
        scrub_type, flags, inode, generation, group = struct.unpack_from("=IIQII", buffer)
        self.requests.append((scrub_type, flags, inode, generation, group))
        if flags in self.refuse:
            raise OSError(self.refuse[flags], "refused")
        struct.pack_into("=I", buffer, 4, flags | self.outcome)


def test_a_repair_names_its_target_and_returns_only_the_outcome(monkeypatch):
    kernel = FakeScrub(outcome=ScrubFlag.CORRUPT)
    monkeypatch.setattr(xfs.syscall, "ioctl", kernel)
    outcome = xfs.scrub(3, ScrubType.DIR, repair=True, force_rebuild=True, inode=131, generation=9)
    assert outcome == ScrubFlag.CORRUPT
    assert xfs.scrub(3, ScrubType.BNOBT, group=2) == ScrubFlag.CORRUPT
    assert kernel.requests == [(15, 0x101, 131, 9, 0), (5, 0, 0, 0, 2)]


@pytest.mark.parametrize(
    ("refuse", "support"),
    [
        ({}, xfs.ScrubSupport.REPAIR),
        ({1: errno.EOPNOTSUPP}, xfs.ScrubSupport.CHECK),
        ({1: errno.EROFS}, xfs.ScrubSupport.CHECK),
        ({1: errno.ENOTTY, 0: errno.ENOTTY}, xfs.ScrubSupport.NONE),
    ],
)
def test_the_probe_tells_none_check_and_repair_apart(monkeypatch, refuse, support):
    monkeypatch.setattr(xfs.syscall, "ioctl", FakeScrub(refuse=refuse))
    assert xfs.scrub_support(3) is support


def test_the_probe_does_not_take_a_shut_down_filesystem_for_a_missing_feature(monkeypatch):
    monkeypatch.setattr(xfs.syscall, "ioctl", FakeScrub(refuse={1: errno.ESHUTDOWN}))
    with pytest.raises(OSError, match="refused"):
        xfs.scrub_support(3)
