"""Kernel log records: real lines, escapes, properties, hostile bytes."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsmend_agent.errors import DecodeError
from fsmend_agent.kernel import kmsg


def test_a_record_of_the_kernel_is_taken_apart():
    record = kmsg.decode(b"2,1234,567890,-;EXT4-fs error (device loop0): ext4_lookup:1787: inode #13: comm ls: iget\n")
    assert record == kmsg.KmsgRecord(
        priority=2,
        facility=0,
        sequence=1234,
        usec=567890,
        continuation=False,
        text=b"EXT4-fs error (device loop0): ext4_lookup:1787: inode #13: comm ls: iget",
        fields={},
    )


def test_properties_follow_the_text():
    record = kmsg.decode(b"6,1,2,-;sd 0:0:0:0: [sda] Attached\n SUBSYSTEM=scsi\n DEVICE=+scsi:0:0:0:0\n")
    assert record.text == b"sd 0:0:0:0: [sda] Attached"
    assert record.fields == {b"SUBSYSTEM": b"scsi", b"DEVICE": b"+scsi:0:0:0:0"}


def test_escapes_are_undone_in_text_and_properties():
    record = kmsg.decode(rb"4,1,2,-;a\x0ab\x1bc\x5cd\xff" + b"\n" + rb" KEY=x\x0ay" + b"\n")
    assert record.text == b"a\nb\x1bc\\d\xff"
    assert record.fields == {b"KEY": b"x\ny"}


def test_an_escaped_backslash_does_not_make_a_new_escape():
    assert kmsg.unescape(rb"\x5cx41") == rb"\x41"


def test_a_line_of_a_process_has_its_facility():
    record = kmsg.decode(b"14,1,2,-;EXT4-fs error (device vda): forged\n")
    assert (record.facility, record.priority) == (1, 6)


def test_a_continuation_and_further_header_fields_are_understood():
    record = kmsg.decode(b"6,1,2,c,caller=T1,more;text;with;semicolons\n")
    assert record.continuation
    assert record.text == b"text;with;semicolons"


@pytest.mark.parametrize("bad", [b"", b";", b"text", b"1,2;text", b"1,2,3;text", b"x,1,2,-;text", b"-1,1,2,-;t"])
def test_what_has_no_header_is_kept_raw(bad):
    with pytest.raises(DecodeError) as error:
        kmsg.decode(bad)
    assert error.value.raw == bad


def test_a_jump_of_the_sequence_tells_how_many_are_missing():
    assert kmsg.lost_between(5, 6) == 0
    assert kmsg.lost_between(5, 9) == 3
    assert kmsg.lost_between(9, 5) == 0


def test_reading_gives_records_then_none_and_tells_of_overwritten_ones(monkeypatch):
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    try:
        assert kmsg.read_record(reading) is None
        os.write(writing, b"6,1,2,-;x\n")
        assert kmsg.read_record(reading) == b"6,1,2,-;x\n"
    finally:
        os.close(reading)
        os.close(writing)

    def overwritten(*_arguments):
        raise BrokenPipeError(32, "overwritten")

    monkeypatch.setattr(kmsg.os, "read", overwritten)
    assert kmsg.read_record(0) is kmsg.Lost.OVERWRITTEN


@given(st.binary(max_size=200))
def test_random_bytes_decode_or_are_kept_raw(data):
    try:
        raw = b"" if kmsg.decode(data).sequence >= 0 else None
    except DecodeError as error:
        raw = error.raw
    assert raw in {b"", data}


@given(st.integers(0, 191), st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1), st.binary(max_size=60))
def test_what_the_kernel_escapes_comes_back_as_it_was(level, sequence, usec, text):
    escaped = b"".join(b"%c" % byte if 32 <= byte < 127 and byte != 92 else b"\\x%02x" % byte for byte in text)
    record = kmsg.decode(b"%d,%d,%d,-;%s\n" % (level, sequence, usec, escaped))
    assert (record.facility << 3 | record.priority, record.sequence, record.usec) == (level, sequence, usec)
    assert record.text == text
