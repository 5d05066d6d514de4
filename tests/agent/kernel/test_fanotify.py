"""Decoding of fanotify records: captured vectors, odd orders, hostile bytes."""

import errno
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsmend_agent.errors import DecodeError
from fsmend_agent.kernel import fanotify
from fsmend_agent.kernel.fanotify import FsError, QueueOverflow, decode, decode_handle

# Captured on Linux 6.18.
INODE_ERROR = bytes.fromhex(
    "40000000030018000080000000000000ffffffff8a18000001001c00d9d2c35b6d803ed308000000010000000c000000ea65072705000c00"
    "4a00000001000000"
)
TWO_ERRORS = bytes.fromhex(
    "40000000030018000080000000000000ffffffff1f54000001001c0052d1f19aafdea29e08000000010000000d000000746e3bca05000c00"
    "7500000002000000"
)
SUPERBLOCK_ERROR = bytes.fromhex(
    "38000000030018000080000000000000ffffffffde090000010014005202a2efb418871d00000000ff00000005000c007500000001000000"
)
VECTORS = [INODE_ERROR, TWO_ERRORS, SUPERBLOCK_ERROR]
OVERFLOW = struct.pack("=IBxHQii", 24, 3, 24, 0x4000, -1, 7)


def metadata(length, version=3, metadata_length=24, mask=0x8000, pid=1):
    return struct.pack("=IBxHQii", length, version, metadata_length, mask, -1, pid)


def fid(handle, handle_type, fsid=b"fsidfsid", handle_bytes=None):
    body = fsid + struct.pack("=Ii", len(handle) if handle_bytes is None else handle_bytes, handle_type) + handle
    return struct.pack("=BxH", 1, 4 + len(body)) + body


def error(number=errno.EIO, count=1):
    return struct.pack("=BxHiI", 5, 12, number, count)


def event(*infos):
    body = b"".join(infos)
    return metadata(24 + len(body)) + body


def decode_all(data):
    """Return the records, and what the DecodeError kept."""
    records = []
    try:
        for record in decode(data):
            records.append(record)  # noqa: PERF402  the error comes in between
    except DecodeError as bad:
        return records, bad.raw
    return records, b""


def test_a_bad_directory_inode_is_decoded_in_full():
    (record,) = decode(INODE_ERROR)
    assert record == FsError(
        fsid="d9d2c35b6d803ed3",
        handle_type=1,
        handle=bytes.fromhex("0c000000ea650727"),
        inode=12,
        generation=0x270765EA,
        root=None,
        error=errno.EBADMSG,
        error_count=1,
        pid=6282,
    )
    assert not record.is_superblock


def test_a_merged_record_tells_its_count_and_the_first_inode():
    (record,) = decode(TWO_ERRORS)
    assert (record.inode, record.error, record.error_count) == (13, errno.EUCLEAN, 2)


def test_a_superblock_error_has_no_inode():
    (record,) = decode(SUPERBLOCK_ERROR)
    assert record.is_superblock
    assert (record.handle_type, record.handle, record.inode, record.generation) == (0xFF, b"", None, None)


def test_one_read_may_hold_many_records():
    records = list(decode(b"".join(VECTORS) + OVERFLOW))
    assert [type(record) for record in records] == [FsError, FsError, FsError, QueueOverflow]
    assert records[3].pid == 7


def test_nothing_read_is_nothing_decoded():
    assert list(decode(b"")) == []


def test_xfs_and_btrfs_handles_tell_their_inodes():
    xfs_handle = struct.pack("=QI", 1 << 40, 5)
    btrfs_handle = struct.pack("=QQI", 257, 5, 9)
    one, other = decode(event(fid(xfs_handle, 0x81), error()) + event(fid(btrfs_handle, 0x4D), error()))
    assert (one.inode, one.generation, one.root) == (1 << 40, 5, None)
    assert (other.inode, other.generation, other.root) == (257, 9, 5)


def test_a_handle_of_unknown_type_or_short_bytes_has_no_inode_but_keeps_its_bytes():
    assert decode_handle(0x77, b"12345678") == (None, None, None)
    assert decode_handle(0x01, b"1234") == (None, None, None)
    (record,) = decode(event(fid(b"12345678", 0x77), error()))
    assert (record.handle, record.inode) == (b"12345678", None)
    assert not record.is_superblock


def test_the_order_of_info_records_is_free_and_unknown_ones_are_skipped():
    unknown = struct.pack("=BxH", 42, 12) + b"whatever"
    usual = event(fid(b"", 0xFF), error())
    swapped = event(unknown, error(), unknown, fid(b"", 0xFF), unknown)
    assert list(decode(usual)) == list(decode(swapped))


def test_longer_metadata_of_a_later_kernel_is_skipped():
    body = fid(b"", 0xFF) + error()
    data = metadata(32 + len(body), metadata_length=32) + b"newfield" + body
    assert list(decode(data)) == list(decode(event(body)))


@pytest.mark.parametrize("number", [5, -5])
def test_the_error_is_positive_whatever_its_sign(number):
    (record,) = decode(event(fid(b"", 0xFF), error(number)))
    assert record.error == 5


@pytest.mark.parametrize("length", [0, 1, 23, 65, 1 << 31])
def test_an_impossible_event_length_ends_the_walk_and_keeps_the_rest(length):
    bad = metadata(length) + INODE_ERROR[24:]
    records, raw = decode_all(INODE_ERROR + bad)
    assert len(records) == 1
    assert raw == bad


def test_an_unknown_version_ends_the_walk_and_keeps_the_rest():
    bad = metadata(64, version=4) + INODE_ERROR[24:]
    assert decode_all(bad + INODE_ERROR) == ([], bad + INODE_ERROR)


@pytest.mark.parametrize(
    "bad",
    [
        event(struct.pack("=BxH", 1, 0), error()),
        event(struct.pack("=BxH", 1, 3), error()),
        event(struct.pack("=BxH", 5, 13), b"12345678"),
        event(b"abc"),
        event(fid(b"", 0xFF)),
        event(error()),
        event(fid(b"1234", 1, handle_bytes=99), error()),
        metadata(24, mask=0x2) + b"",
        metadata(24, metadata_length=0),
    ],
)
def test_a_bad_event_of_good_length_does_not_hide_the_ones_behind_it(bad):
    records, raw = decode_all(bad + INODE_ERROR + bad + SUPERBLOCK_ERROR)
    assert len(records) == 2
    assert raw == bad * 2


@given(st.binary(max_size=300))
def test_random_bytes_end_in_records_or_a_decode_error(data):
    decode_all(data)


@given(
    st.lists(st.sampled_from(VECTORS), min_size=1, max_size=4).map(b"".join),
    st.lists(st.tuples(st.integers(0, 255), st.integers(0, 255)), max_size=4),
    st.integers(0, 256),
)
def test_damaged_vectors_end_in_records_or_a_decode_error(data, changes, cut):
    damaged = bytearray(data)
    for position, value in changes:
        damaged[position % len(damaged)] = value
    records, raw = decode_all(bytes(damaged[: len(damaged) - cut % len(damaged)]))
    assert all(isinstance(record, FsError | QueueOverflow) for record in records)
    assert len(raw) <= len(damaged)


@given(
    st.lists(st.sampled_from(VECTORS), min_size=1, max_size=4).map(b"".join),
    st.lists(st.tuples(st.integers(0, 255), st.integers(0, 255)), max_size=3),
)
def test_the_fast_path_and_the_general_walk_agree(data, changes):
    damaged = bytearray(data)
    for position, value in changes:
        damaged[position % len(damaged)] = value
    fast = decode_all(bytes(damaged))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fanotify, "_decode_usual", lambda *_arguments: None)
        assert decode_all(bytes(damaged)) == fast


@pytest.mark.parametrize("vector", VECTORS)
def test_captured_vectors_take_the_fast_path(vector):
    assert fanotify._decode_usual(vector, 0, len(vector)) is not None


@given(st.integers(1, 191))
def test_a_truncated_read_loses_no_whole_record(length):
    data = b"".join(VECTORS)[:length]
    records, raw = decode_all(data)
    whole = sum(length >= end for end in (64, 128, 184))
    assert len(records) == whole
    assert raw == data[[0, 64, 128, 184][whole] :]


def test_init_asks_for_handles_without_names(monkeypatch):
    seen = []
    monkeypatch.setattr(fanotify.syscall, "fanotify_init", lambda *flags: seen.append(flags) or 5)
    assert fanotify.init() == 5
    assert seen == [(0x203, 0)]
