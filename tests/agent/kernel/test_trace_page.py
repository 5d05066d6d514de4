"""Ring buffer pages: a captured one, every kind of event header, loss, hostile bytes."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsmend_agent.errors import DecodeError
from fsmend_agent.kernel.trace_page import Missed, PageLayout, RawEvent, decode_page, missed, parse_header_page

LAYOUT = PageLayout(commit_offset=8, commit_bytes=8, data_offset=16, page_bytes=4096)
# Linux 6.18, one ext4_error; the rest of the page was zero.
CAPTURED = bytes.fromhex(
    "74eb2307730000002400000000000000080000008e040000cd1700000000700000000000c0dc4582ffffffff8100000000000000"
)
HEADER_PAGE = """	field: u64 timestamp;	offset:0;	size:8;	signed:0;
	field: local_t commit;	offset:8;	size:8;	signed:1;
	field: int overwrite;	offset:8;	size:1;	signed:1;
	field: char data;	offset:16;	size:4080;	signed:0;
"""


def header(kind, delta, *array):
    return struct.pack(f"=I{len(array)}I", kind | delta << 5, *array)


def page(*parts, time_ns=1000, flags=0, behind=b""):
    data = b"".join(parts)
    return struct.pack("=QQ", time_ns, len(data) | flags) + data + behind


def decode_all(data):
    events = []
    try:
        events.extend(decode_page(data, LAYOUT))
    except DecodeError as error:
        return events, error.raw
    return events, b""


def test_the_header_page_tells_the_layout():
    assert parse_header_page(HEADER_PAGE) == LAYOUT
    with pytest.raises(DecodeError):
        parse_header_page("field: u64 timestamp; offset:0; size:8;")


def test_a_captured_page_gives_its_event():
    (event,) = decode_page(CAPTURED + bytes(4000), LAYOUT)
    # The kernel's own text said 494.041034.
    assert event.timestamp_ns == 494041033588
    assert struct.unpack_from("=HBBi", event.data) == (1166, 0, 0, 6093)
    assert missed(CAPTURED, LAYOUT) is None


def test_times_add_up_over_events_and_extensions():
    data = page(
        header(1, 0) + b"aaaa",
        header(2, 5) + b"bbbbbbbb",
        header(30, 3, 2),
        header(1, 1) + b"cccc",
    )
    assert list(decode_page(data, LAYOUT)) == [
        RawEvent(1000, b"aaaa"),
        RawEvent(1005, b"bbbbbbbb"),
        RawEvent(1005 + (2 << 27) + 3 + 1, b"cccc"),
    ]


def test_an_absolute_time_takes_its_upper_bits_from_the_time_before():
    stamp = (1 << 40) + 7
    parts = header(31, stamp & (1 << 27) - 1, stamp >> 27), header(1, 0) + b"aaaa"
    (event,) = decode_page(page(*parts), LAYOUT)
    assert event.timestamp_ns == stamp
    (event,) = decode_page(page(*parts, time_ns=3 << 59), LAYOUT)
    assert event.timestamp_ns == stamp | 3 << 59
    (event,) = decode_page(page(*parts, time_ns=(3 << 59) + (1 << 50)), LAYOUT)
    assert event.timestamp_ns == stamp | 4 << 59


def test_long_events_carry_their_length():
    (event,) = decode_page(page(header(0, 2, 204) + b"x" * 200), LAYOUT)
    assert event == RawEvent(1002, b"x" * 200)


def test_discarded_events_are_skipped_and_their_time_counts():
    (event,) = decode_page(page(header(29, 4, 12) + b"oldstuff", header(1, 1) + b"aaaa"), LAYOUT)
    assert event == RawEvent(1005, b"aaaa")


def test_empty_padding_ends_the_page():
    assert list(decode_page(page(header(29, 0), b"\xff" * 40), LAYOUT)) == []


def test_lost_events_are_counted_where_the_kernel_had_room_to_say_how_many():
    event = header(1, 0) + b"aaaa"
    assert missed(page(event), LAYOUT) is None
    assert missed(page(event, flags=1 << 31), LAYOUT) == Missed(None)
    stored = page(event, flags=3 << 30, behind=struct.pack("=Q", 17))
    assert missed(stored, LAYOUT) == Missed(17)
    assert len(list(decode_page(stored, LAYOUT))) == 1
    assert missed(page(event, flags=3 << 30, behind=b"1234"), LAYOUT) == Missed(None)


@pytest.mark.parametrize(
    "bad",
    [
        header(28, 1) + b"short",
        header(0, 1, 0) + b"1234",
        header(0, 1, 3) + b"1234",
        header(0, 1, 1 << 31) + b"1234",
        header(29, 1, 2),
        header(30, 1),
        header(0, 1),
        b"\x01\x00",
    ],
)
def test_an_impossible_event_keeps_the_rest_of_the_page_and_the_events_before(bad):
    events, raw = decode_all(page(header(1, 0) + b"aaaa", bad))
    assert [event.data for event in events] == [b"aaaa"]
    assert raw == bad


@pytest.mark.parametrize("bad", [b"", b"x" * 15, page(header(1, 0) + b"aaaa")[:-1]])
def test_a_truncated_page_is_kept_raw(bad):
    assert decode_all(bad) == ([], bad)


@given(st.binary(max_size=400), st.integers(0, 400))
def test_random_pages_end_in_events_or_a_decode_error(data, commit):
    events, _raw = decode_all(struct.pack("=QQ", 1, commit) + data)
    assert sum(len(event.data) for event in events) <= len(data)


@given(st.lists(st.tuples(st.integers(1, 200), st.integers(0, (1 << 27) - 1)), max_size=20))
def test_what_is_written_is_read(events):
    parts, expected, time_ns = [], [], 1000
    for words, delta in events:
        body = bytes([words]) * (words * 4)
        parts.append((header(words, delta) if words <= 28 else header(0, delta, words * 4 + 4)) + body)
        time_ns += delta
        expected.append(RawEvent(time_ns, body))
    assert list(decode_page(page(*parts), LAYOUT)) == expected
