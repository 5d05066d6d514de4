"""Frames of a segment file: pure, no I/O.

A segment is a 64-byte header and then frames. All numbers are little endian::

    header   magic 8s "fsmspool" · format u16 · reserved u16 · crc u32 · epoch 16s · first sequence u64 ·
             created u64 (wall clock, ns) · boot id 16s
    frame    crc u32 · marker 2s · weight u8 · reserved u8 · length u32 · written u32 (wall clock, seconds) ·
             first u64 · last u64 · payload

`first` and `last` are the sequences that the payload stands for: the same one for a record, a range for a Gap that
took the place of evicted records. The payload is a serialised Record. A frame's CRC-32C covers all that follows it and
begins with the epoch's own CRC, so bytes that were copied from another spool, or forged inside a record by someone who
cannot know the epoch, are no frame.
"""

import struct
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from fsmend_agent.errors import SpoolError
from fsmend_agent.spool.crc32c import crc32c
from fsmend_agent.spool.limits import MAX_RECORD_BYTES

MAGIC = b"fsmspool"
FORMAT = 1
MARKER = b"\xf5\x5e"
SEGMENT_HEADER = struct.Struct("<8sHHI16sQQ16s")
FRAME_HEADER = struct.Struct("<I2sBBIIQQ")
_AFTER_CRC = struct.Struct("<2sBBIIQQ")
_MARKER_OFFSET = 4
MAX_SEQUENCE = (1 << 63) - 1


class Frame(NamedTuple):
    """One frame: what it stands for, and its payload."""

    first: int
    last: int
    weight: int
    written_seconds: int
    payload: bytes

    @property
    def size_bytes(self) -> int:
        """Return the size in the file."""
        return FRAME_HEADER.size + len(self.payload)


class Damage(NamedTuple):
    """Bytes of a segment, from `start` to before `end`, that are no frame."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class SegmentHeader:
    """What the first 64 bytes of a segment say."""

    epoch: str
    first: int
    created_wall_ns: int
    boot_id: str

    def encode(self) -> bytes:
        """Return the 64 bytes."""
        fields = (uuid.UUID(self.epoch).bytes, self.first, self.created_wall_ns, uuid.UUID(self.boot_id).bytes)
        blank = SEGMENT_HEADER.pack(MAGIC, FORMAT, 0, 0, *fields)
        return SEGMENT_HEADER.pack(MAGIC, FORMAT, 0, crc32c(blank), *fields)

    @classmethod
    def decode(cls, data: bytes) -> "SegmentHeader":
        """Decode the header.

        Raises:
            SpoolError: it is not one, or of a newer format.
        """
        if len(data) < SEGMENT_HEADER.size:
            raise SpoolError("the segment is shorter than its header")
        magic, form, reserved, crc, epoch, first, created, boot = SEGMENT_HEADER.unpack_from(data)
        if magic != MAGIC or crc != crc32c(SEGMENT_HEADER.pack(magic, form, reserved, 0, epoch, first, created, boot)):
            raise SpoolError("the segment's header does not pass its checksum")
        if form != FORMAT or not 0 < first <= MAX_SEQUENCE:
            raise SpoolError(f"segment format {form} is not known here")
        return cls(uuid.UUID(bytes=epoch).hex, first, created, str(uuid.UUID(bytes=boot)))


def seed_of(epoch: str) -> int:
    """Return what the checksums of an epoch's frames begin with."""
    return crc32c(bytes.fromhex(epoch))


def encode(frame: Frame, seed: int) -> bytes:
    """Return the bytes of a frame."""
    first, last, weight, written_seconds, payload = frame
    rest = _AFTER_CRC.pack(MARKER, weight, 0, len(payload), written_seconds, first, last) + payload
    return crc32c(rest, seed).to_bytes(4, "little") + rest


def decode(data: bytes, offset: int, seed: int) -> Frame | None:
    """Return the frame at `offset`, or nothing when there is no whole and sound one."""
    if len(data) - offset < FRAME_HEADER.size:
        return None
    crc, marker, weight, _, length, written_seconds, first, last = FRAME_HEADER.unpack_from(data, offset)
    end = offset + FRAME_HEADER.size + length
    if marker != MARKER or length > MAX_RECORD_BYTES or end > len(data) or not 0 < first <= last <= MAX_SEQUENCE:
        return None
    if crc32c(data[offset + _MARKER_OFFSET : end], seed) != crc:
        return None
    return Frame(first, last, weight, written_seconds, data[offset + FRAME_HEADER.size : end])


def scan(data: bytes, seed: int, offset: int = SEGMENT_HEADER.size) -> Iterator[Frame | Damage]:
    """Yield every sound frame in file order, and what lies between them.

    After damage it looks for the next marker that begins a sound frame, so that one bad record does not cost the rest.
    Frames that would repeat or step back behind an earlier sequence count as damage.
    """
    reached = 0
    damaged_from: int | None = None
    while offset < len(data):
        frame = decode(data, offset, seed)
        if frame is not None and frame.first > reached:
            if damaged_from is not None:
                yield Damage(damaged_from, offset)
                damaged_from = None
            yield frame
            reached = frame.last
            offset += frame.size_bytes
            continue
        if damaged_from is None:
            damaged_from = offset
        marker = data.find(MARKER, offset + _MARKER_OFFSET + 1)
        offset = marker - _MARKER_OFFSET if marker >= 0 else len(data)
    if damaged_from is not None:
        yield Damage(damaged_from, len(data))
