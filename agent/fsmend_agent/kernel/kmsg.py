"""Read the kernel log, record by record (Documentation/ABI/testing/dev-kmsg).

The kernel rate-limits what it logs, so the log is the detail and never the count.
"""

import errno
import os
import re
from enum import Enum
from typing import NamedTuple

from fsmend_agent.errors import DecodeError

KMSG = "/dev/kmsg"
READ_BYTES = 8192
"""Room for any record: the kernel refuses (EINVAL) to read one into less than it needs, at most 2 KiB of text."""

_HEADER = re.compile(rb"(\d{1,10}),(\d{1,20}),(\d{1,20}),([^,;]*)(?:,[^;]*)?;")
_ESCAPE = re.compile(rb"\\x([0-9a-f]{2})")


class KmsgRecord(NamedTuple):
    r"""One record. A tuple and no dataclass: it is faster to make, and logs come in storms.

    Attributes:
        priority: 0 (emergency) to 7 (debug).
        facility: 0 is the kernel; anything else was written by a process, also under a kernel-like text.
        sequence: counts every record; a jump means that records were lost.
        usec: microseconds of the kernel's log clock (monotonic, stops in suspend) since boot.
        continuation: the record continues the line before it.
        text: the message, with the kernel's \xNN escapes undone: may hold control characters and any byte.
        fields: properties such as SUBSYSTEM and DEVICE.
    """

    priority: int
    facility: int
    sequence: int
    usec: int
    continuation: bool
    text: bytes
    fields: dict[bytes, bytes]


class Lost(Enum):
    """What a read may find instead of a record."""

    OVERWRITTEN = "overwritten"
    """Records were overwritten before they were read; the next read goes on with the oldest that is left."""


def decode(record: bytes) -> KmsgRecord:
    """Return the record that one read from /dev/kmsg gave.

    Raises:
        DecodeError: it does not begin with `priority,sequence,usec,flags;`.
    """
    header = _HEADER.match(record)
    if header is None:
        raise DecodeError("kernel log record without header", record)
    level, sequence, usec, flags = header.groups()
    # The text ends at the first newline, since control characters in it are escaped; properties follow, each
    # behind a blank.
    text, *properties = record[header.end() :].split(b"\n")
    fields = {}
    for line in properties:
        if line.startswith(b" ") and b"=" in line:
            name, _, value = line[1:].partition(b"=")
            fields[unescape(name)] = unescape(value)
    return KmsgRecord(
        priority=int(level) & 7,
        facility=int(level) >> 3,
        sequence=int(sequence),
        usec=int(usec),
        continuation=flags == b"c",
        text=unescape(text),
        fields=fields,
    )


def unescape(text: bytes) -> bytes:
    r"""Return the bytes that the kernel logged; it writes what is not printable ASCII, and \, as \xNN."""
    return _ESCAPE.sub(lambda match: bytes([int(match[1], 16)]), text) if b"\\x" in text else text


def lost_between(previous: int, current: int) -> int:
    """Return how many records are missing between two sequence numbers that were read one after the other."""
    return max(0, current - previous - 1)


def open_log(*, from_start: bool = False, path: str = KMSG) -> int:
    """Return a non-blocking descriptor, readable when there is a record. Needs CAP_SYSLOG where dmesg is restricted.

    Args:
        from_start: begin with the oldest record that the kernel still has, instead of the next one.
        path: the device.
    """
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    os.lseek(fd, 0, os.SEEK_SET if from_start else os.SEEK_END)
    return fd


def read_record(fd: int) -> bytes | Lost | None:
    """Return the next record's bytes, `Lost.OVERWRITTEN`, or None when there is none at present.

    Raises:
        OSError: anything besides EAGAIN and EPIPE.
    """
    try:
        return os.read(fd, READ_BYTES)
    except BlockingIOError:
        return None
    except OSError as error:
        if error.errno == errno.EPIPE:
            return Lost.OVERWRITTEN
        raise
