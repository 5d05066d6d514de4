"""Format files of tracefs and events taken apart by them."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsmend_agent.errors import DecodeError
from fsmend_agent.kernel.trace_format import FieldKind, parse_format

COMMON = """format:
	field:unsigned short common_type;	offset:0;	size:2;	signed:0;
	field:unsigned char common_flags;	offset:2;	size:1;	signed:0;
	field:unsigned char common_preempt_count;	offset:3;	size:1;	signed:0;
	field:int common_pid;	offset:4;	size:4;	signed:1;

"""
# Linux 6.18.
BLOCK = (
    "name: block_rq_error\nID: 2106\n" + COMMON + "	field:dev_t dev;	offset:8;	size:4;	signed:0;\n"
    "	field:sector_t sector;	offset:16;	size:8;	signed:0;\n"
    "	field:unsigned int nr_sector;	offset:24;	size:4;	signed:0;\n"
    "	field:int error;	offset:28;	size:4;	signed:1;\n"
    "	field:unsigned short ioprio;	offset:32;	size:2;	signed:0;\n"
    "	field:char rwbs[10];	offset:34;	size:10;	signed:0;\n"
    "	field:__data_loc char[] cmd;	offset:44;	size:4;	signed:0;\n"
    '\nprint fmt: "%d,%d %s", REC->dev\n'
)
BLOCK_EVENT = (
    struct.pack("=HBBiI4xQIiH10sI", 2106, 16, 0, 14, 7340032, 64000, 128, -5, 16388, b"RS", 3 << 16 | 48) + b"ab\0\0"
)


def test_a_real_format_is_read():
    layout = parse_format("block", BLOCK)
    assert (layout.system, layout.name, layout.event_id, layout.size) == ("block", "block_rq_error", 2106, 48)
    kinds = {field.name: field.kind for field in layout.fields}
    assert kinds["sector"] is FieldKind.INTEGER
    assert kinds["rwbs"] is FieldKind.TEXT
    assert kinds["cmd"] is FieldKind.DATA_LOC
    assert len(kinds) == 11


def test_an_event_is_taken_apart():
    values = parse_format("block", BLOCK).values(BLOCK_EVENT)
    assert values["common_pid"] == 14
    assert (values["dev"], values["sector"], values["nr_sector"], values["error"]) == (7340032, 64000, 128, -5)
    assert (values["rwbs"], values["cmd"]) == (b"RS", b"ab")


def test_a_location_outside_the_event_is_empty():
    event = BLOCK_EVENT[:44] + struct.pack("=I", 99 << 16 | 60000)
    assert parse_format("block", BLOCK).values(event)["cmd"] == b""


def test_relative_locations_pointers_and_byte_arrays_are_understood():
    text = (
        "name: x\nID: 5\n" + COMMON + "	field:const char * function;	offset:8;	size:8;	signed:0;\n"
        "	field:__u8 uuid[16];	offset:16;	size:16;	signed:0;\n"
        "	field:__rel_data_loc char[] text;	offset:32;	size:4;	signed:0;\n"
    )
    data = struct.pack("=HBBiQ16sI", 5, 0, 0, 1, 1 << 63, b"\0" * 15 + b"\1", 4 << 16 | 2) + b"..abcd"
    values = parse_format("s", text).values(data)
    assert values["function"] == 1 << 63
    assert values["uuid"] == b"\0" * 15 + b"\1"
    assert values["text"] == b"abcd"


def test_a_short_event_is_kept_raw():
    with pytest.raises(DecodeError) as error:
        parse_format("block", BLOCK).values(BLOCK_EVENT[:47])
    assert error.value.raw == BLOCK_EVENT[:47]


@pytest.mark.parametrize("bad", ["", "name: x\n", "name: x\nID: 1\n", COMMON, "ID: 1\n" + COMMON])
def test_half_a_format_is_refused(bad):
    with pytest.raises(DecodeError):
        parse_format("s", bad)


def test_fields_that_overlap_or_lie_far_out_are_refused():
    for offset in (7, 1 << 20):
        line = f"	field:int x;	offset:{offset};	size:4;	signed:1;\n"
        with pytest.raises(DecodeError, match="field x"):
            parse_format("s", "name: x\nID: 5\n" + COMMON + line)


@given(st.binary(min_size=48, max_size=80))
def test_any_bytes_of_the_right_length_give_every_field(data):
    assert len(parse_format("block", BLOCK).values(data)) == 11


@given(st.text(max_size=200))
def test_random_text_is_a_format_or_refused(text):
    try:
        fields = parse_format("s", text).fields
    except DecodeError:
        return
    assert fields
