"""Decode pages of the kernel's trace ring buffer, as read from `per_cpu/cpuN/trace_pipe_raw`.

See Documentation/trace/ring-buffer-map.rst, include/linux/ring_buffer.h and events/header_page of tracefs.
"""

import re
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from fsmend_agent.errors import DecodeError

_COMMIT_MASK = (1 << 20) - 1
_MISSED_EVENTS = 1 << 31
_MISSED_STORED = 1 << 30
_HEADER_FIELD = re.compile(r"field:\s*\S+ (\w+);\s*offset:(\d+);\s*size:(\d+);")

_TYPE_PADDING = 29
_TYPE_TIME_EXTEND = 30
_TYPE_TIME_STAMP = 31
_TIME_SHIFT = 27
# An absolute time stamp has 59 bits; the rest is that of the time before it (ring_buffer.c, TS_MSB).
_ABSOLUTE_BITS = 59

_U32 = struct.Struct("=I")


@dataclass(frozen=True, slots=True)
class PageLayout:
    """Where the parts of a page are; it depends on the word size and on the sub-buffer's size."""

    commit_offset: int
    commit_bytes: int
    data_offset: int
    page_bytes: int


@dataclass(frozen=True, slots=True)
class RawEvent:
    """One event of a page: clock of the trace instance in ns, and its bytes, which begin with the common fields."""

    timestamp_ns: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Missed:
    """Events were overwritten before this page was read; `count` is None when the kernel had no room to tell."""

    count: int | None


def parse_header_page(text: str) -> PageLayout:
    """Return the page layout that events/header_page describes.

    Raises:
        DecodeError: a field is missing.
    """
    fields = {name: (int(offset), int(size)) for name, offset, size in _HEADER_FIELD.findall(text)}
    if not {"commit", "data"} <= fields.keys():
        raise DecodeError("header_page without commit or data", text.encode())
    data_offset, data_bytes = fields["data"]
    return PageLayout(*fields["commit"], data_offset, data_offset + data_bytes)


def missed(page: bytes, layout: PageLayout) -> Missed | None:
    """Return how many events were lost before this page, or None when none was.

    Raises:
        DecodeError: the page has no header.
    """
    _time, commit, flags = _header(page, layout)
    if not flags & _MISSED_EVENTS:
        return None
    start = layout.data_offset + commit
    stored = page[start : start + layout.commit_bytes]
    if not flags & _MISSED_STORED or len(stored) < layout.commit_bytes:
        return Missed(None)
    return Missed(int.from_bytes(stored, sys.byteorder))


def decode_page(page: bytes, layout: PageLayout) -> Iterator[RawEvent]:
    """Yield the events of one page, oldest first.

    Raises:
        DecodeError: after the events before it, with the rest of the page that made no sense.
    """
    time_ns, commit, _flags = _header(page, layout)
    offset, end = layout.data_offset, layout.data_offset + commit
    if end > len(page):
        raise DecodeError(f"trace page of {commit} bytes", page)
    while offset < end:
        kind, delta, start, length = _event_header(page, offset, end)
        if kind == _TYPE_PADDING and not delta:
            return
        if kind == _TYPE_TIME_STAMP:
            time_ns = _absolute(delta, time_ns)
        else:
            # Padding that takes time is an event that was discarded; the next delta counts from it.
            time_ns += delta
        if kind < _TYPE_PADDING:
            yield RawEvent(time_ns, page[start : start + length])
        offset = start + length


def _header(page: bytes, layout: PageLayout) -> tuple[int, int, int]:
    """Return time, number of data bytes and flags of a page."""
    if len(page) < layout.data_offset:
        raise DecodeError("truncated trace page header", page)
    (time_ns,) = struct.unpack_from("=Q", page)
    commit = int.from_bytes(page[layout.commit_offset : layout.commit_offset + layout.commit_bytes], sys.byteorder)
    return time_ns, commit & _COMMIT_MASK, commit & (_MISSED_EVENTS | _MISSED_STORED)


def _event_header(page: bytes, offset: int, end: int) -> tuple[int, int, int, int]:
    """Return type, time delta, and begin and length of the data of the event at `offset`."""
    if offset + _U32.size > end:
        raise DecodeError("truncated trace event header", page[offset:end])
    (word,) = _U32.unpack_from(page, offset)
    # A bit field: which end it begins at follows the byte order.
    kind, delta = (word & 0x1F, word >> 5) if sys.byteorder == "little" else (word >> _TIME_SHIFT, word & 0x7FFFFFF)
    start = offset + _U32.size
    if 0 < kind < _TYPE_PADDING:
        length = kind * 4
    elif kind == _TYPE_PADDING and not delta:
        return kind, 0, start, 0
    else:
        if start + _U32.size > end:
            raise DecodeError("truncated trace event", page[offset:end])
        (array,) = _U32.unpack_from(page, start)
        start += _U32.size
        if kind in {_TYPE_TIME_EXTEND, _TYPE_TIME_STAMP}:
            return kind, (array << _TIME_SHIFT) + delta, start, 0
        # The length in array[0] counts array[0] itself.
        length = array - _U32.size
    if length < 0 or start + length > end:
        raise DecodeError(f"trace event of {length} bytes", page[offset:end])
    return kind, delta, start, length


def _absolute(stamp: int, previous_ns: int) -> int:
    """Return an absolute time stamp with the upper bits of the time before it, which it does not carry."""
    upper = previous_ns >> _ABSOLUTE_BITS << _ABSOLUTE_BITS
    time_ns = stamp | upper
    return time_ns + (1 << _ABSOLUTE_BITS) if upper and time_ns < previous_ns else time_ns
