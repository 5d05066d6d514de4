"""CRC-32C against RFC 3720, B.4, and against the definition."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsmend_agent.spool.crc32c import crc32c


def by_definition(data, seed=0):
    state = seed ^ 0xFFFFFFFF
    for byte in data:
        state ^= byte
        for _ in range(8):
            state = (state >> 1) ^ (0x82F63B78 if state & 1 else 0)
    return state ^ 0xFFFFFFFF


ISCSI_READ = bytes.fromhex(
    "01c00000000000000000000000000000140000000000040000000014000000182800000000000000" + "0200000000000000"
)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(reversed(range(32))), 0x113FDB5C),
        (ISCSI_READ, 0xD9963A56),
        (b"123456789", 0xE3069283),
        (b"", 0),
    ],
)
def test_vectors_of_rfc_3720(data, expected):
    assert crc32c(data) == expected


@given(st.binary(max_size=700), st.integers(0, 0xFFFFFFFF))
def test_folding_gives_what_the_definition_gives(data, seed):
    assert crc32c(data, seed) == by_definition(data, seed)


@given(st.binary(max_size=400), st.integers(0, 400))
def test_a_message_may_be_taken_in_parts(data, cut):
    assert crc32c(data[cut:], crc32c(data[:cut])) == crc32c(data)


@pytest.mark.parametrize("size", [54, 55, 56, 57, 110, 111, 112, 443, 444, 4096, 70_001])
def test_sizes_around_the_folds(size):
    data = bytes(i * 7 % 251 for i in range(size))
    assert crc32c(data) == by_definition(data)


@given(st.binary(min_size=1, max_size=600), st.data())
def test_one_flipped_bit_always_shows(data, draw):
    bit = draw.draw(st.integers(0, len(data) * 8 - 1))
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << (bit % 8)
    assert crc32c(bytes(changed)) != crc32c(data)
