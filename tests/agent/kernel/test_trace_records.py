"""Trace events turned into records."""

import pytest

from fsmend_agent.errors import DecodeError
from fsmend_agent.kernel.trace_records import (
    BlockRequestError,
    Ext4Error,
    TraceEvent,
    block_request_error,
    device_number,
    ext4_error,
)

BLOCK = {
    "common_pid": 14,
    "dev": 7340032,
    "sector": 64000,
    "nr_sector": 128,
    "error": -5,
    "ioprio": 16388,
    "rwbs": b"RS",
    "cmd": b"",
}


def block_event(**changes):
    return TraceEvent("block", "block_rq_error", {**BLOCK, **changes}, 17, 1)


def test_a_block_error_is_named_in_full():
    assert block_request_error(block_event()) == BlockRequestError(
        timestamp_ns=17,
        cpu=1,
        pid=14,
        major=7,
        minor=0,
        sector=64000,
        sectors=128,
        error=5,
        operation="RS",
        command="",
    )


def test_device_numbers_are_the_kernels_own():
    assert device_number(259 << 20 | 1048575) == (259, 1048575)


def test_odd_bytes_in_texts_do_no_harm():
    assert block_request_error(block_event(cmd=b"\xff\0")).command == "\\xff\x00"


@pytest.mark.parametrize("field", ["dev", "sector", "nr_sector", "error", "common_pid"])
def test_a_kernel_without_a_field_gives_a_decode_error(field):
    event = block_event()
    del event.fields[field]
    with pytest.raises(DecodeError, match=field):
        block_request_error(event)
    with pytest.raises(DecodeError, match=field):
        block_request_error(block_event(**{field: b"text"}))


def test_an_ext4_error_takes_its_functions_name_from_outside():
    event = TraceEvent("ext4", "ext4_error", {"common_pid": 5, "dev": 7340033, "function": 1 << 63, "line": 129}, 9, 0)
    assert ext4_error(event, "ext4_lookup") == Ext4Error(9, 0, 5, 7, 1, "ext4_lookup", 129)
    assert ext4_error(event, None).function is None
