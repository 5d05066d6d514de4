"""Frames and segment headers, whole and broken."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsmend_agent.errors import SpoolError
from fsmend_agent.spool.frame import (
    FRAME_HEADER,
    SEGMENT_HEADER,
    Damage,
    Frame,
    SegmentHeader,
    encode,
    scan,
    seed_of,
)

EPOCH = "00112233445566778899aabbccddeeff"
SEED = seed_of(EPOCH)
HEADER = SegmentHeader(EPOCH, 7, 1_700_000_000_000_000_000, "01234567-89ab-cdef-0123-456789abcdef")
payloads = st.lists(st.binary(max_size=200), min_size=1, max_size=12)


def frames_of(some):
    return [Frame(index, index, 1, 100, payload) for index, payload in enumerate(some, 7)]


def segment(frames):
    return HEADER.encode() + b"".join(encode(frame, SEED) for frame in frames)


def test_header_survives_the_way_to_disk_and_back():
    assert SegmentHeader.decode(HEADER.encode()) == HEADER


@pytest.mark.parametrize("offset", range(SEGMENT_HEADER.size))
def test_header_with_any_byte_changed_is_refused(offset):
    data = bytearray(HEADER.encode())
    data[offset] ^= 0x40
    with pytest.raises(SpoolError):
        SegmentHeader.decode(bytes(data))


@given(payloads)
def test_scan_returns_what_was_encoded(some):
    frames = frames_of(some)
    assert list(scan(segment(frames), SEED)) == frames


@given(payloads, st.data())
def test_a_torn_tail_costs_only_the_torn_record(some, draw):
    frames = frames_of(some)
    data = segment(frames)
    cut = draw.draw(st.integers(1, frames[-1].size_bytes - 1))
    found = list(scan(data[:-cut], SEED))
    assert found[:-1] == frames[:-1]
    assert isinstance(found[-1], Damage)


@given(payloads, st.data())
def test_one_changed_byte_costs_only_its_record(some, draw):
    frames = frames_of(some)
    data = bytearray(segment(frames))
    at = draw.draw(st.integers(SEGMENT_HEADER.size, len(data) - 1))
    data[at] ^= draw.draw(st.integers(1, 255))
    offset, hit = SEGMENT_HEADER.size, None
    for frame in frames:
        if offset <= at < offset + frame.size_bytes:
            hit = frame
        offset += frame.size_bytes
    found = [item for item in scan(bytes(data), SEED) if isinstance(item, Frame)]
    assert found == [frame for frame in frames if frame is not hit]


@given(st.binary(max_size=3000))
def test_garbage_is_damage_and_nothing_else(data):
    assert all(isinstance(item, Damage) for item in scan(data, SEED, 0))


def test_frames_of_another_epoch_are_none():
    frames = frames_of([b"x" * 50])
    other = seed_of("ff" * 16)
    assert [type(item) for item in scan(segment(frames), other)] == [Damage]


def test_a_frame_inside_a_damaged_record_of_another_epoch_is_not_believed():
    forged = encode(Frame(8, 8, 1, 1, b"forged"), seed_of("ab" * 16))
    data = bytearray(segment(frames_of([b"a" * 20 + forged + b"b" * 20, b"good"])))
    data[SEGMENT_HEADER.size + FRAME_HEADER.size] ^= 1
    found = [item for item in scan(bytes(data), SEED) if isinstance(item, Frame)]
    assert [frame.payload for frame in found] == [b"good"]
