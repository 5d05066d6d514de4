"""Read records in sequence from the published segments, without parsing them."""

import os
from dataclasses import dataclass

from fsmend_agent.spool.frame import FRAME_HEADER, SEGMENT_HEADER, Frame, decode, seed_of
from fsmend_agent.spool.gaps import as_now
from fsmend_agent.spool.limits import MAX_RECORD_BYTES
from fsmend_agent.spool.segment import Segment

_LARGEST_FRAME = FRAME_HEADER.size + MAX_RECORD_BYTES
_HOP_BYTES = 1 << 20


class UnreadableSegment(Exception):  # noqa: N818  a signal inside the spool, never seen outside
    """Say that the frame with `sequence` is not where it must be; `segment` has to be looked at."""

    def __init__(self, segment: Segment, sequence: int) -> None:
        super().__init__(segment.path.name, sequence)
        self.segment = segment
        self.sequence = sequence


@dataclass(slots=True)
class Cursor:
    """Where the next frame is expected."""

    segment: Segment
    sequence: int
    offset: int


class Reader:
    """A sequential reader with one open file; not thread-safe, the spool holds a lock around it.

    A segment may be replaced on disk at any time; then the frame read is not the one expected, and the caller tries
    again with the list of segments as it is by then.
    """

    def __init__(self) -> None:
        self._cursor: Cursor | None = None
        self._opened: Segment | None = None
        self._descriptor = -1

    def take(
        self, segments: list[Segment], from_sequence: int, end: int, max_bytes: int, max_records: int
    ) -> list[Frame]:
        """Return frames from `from_sequence` to before `end`, at least one.

        Raises:
            UnreadableSegment: a frame is damaged, or the segment was replaced.
            OSError: the file cannot be read.
        """
        frames: list[Frame] = []
        sequence, room_bytes = from_sequence, max_bytes
        while sequence < end and len(frames) < max_records and room_bytes > 0:
            segment = _segment_with(segments, sequence)
            if segment is None:
                break
            try:
                taken = self._take_from(segment, sequence, room_bytes, max_records - len(frames))
            except (UnreadableSegment, OSError):
                if frames:
                    break  # the next call begins where it is bad, and says so
                raise
            for frame in taken:
                room_bytes -= len(frame.payload)
                if (room_bytes < 0 and frames) or frame.first >= end:
                    return frames
                frames.append(frame)
            sequence = frames[-1].last + 1
        return frames

    def _take_from(self, segment: Segment, sequence: int, max_bytes: int, max_records: int) -> list[Frame]:
        cursor = self._cursor
        if cursor is None or cursor.segment is not segment or cursor.sequence != sequence:
            cursor = self._cursor = Cursor(segment, segment.first, SEGMENT_HEADER.size)
            if segment.shift or sequence != segment.first:
                self._seek(cursor, sequence)
        data = os.pread(self._open(segment), max_bytes + FRAME_HEADER.size * min(max_records, 4096), cursor.offset)
        seed, offset, taken = seed_of(segment.epoch), 0, list[Frame]()
        while len(taken) < max_records and cursor.sequence <= segment.last:
            frame = decode(data, offset, seed)
            if frame is None:
                if taken:
                    break
                data, offset = os.pread(self._open(segment), _LARGEST_FRAME, cursor.offset), 0
                frame = decode(data, 0, seed)
            if frame is None or not frame.first - segment.shift <= cursor.sequence <= frame.last - segment.shift:
                self._cursor = None
                if taken:
                    break
                raise UnreadableSegment(segment, cursor.sequence)
            offset += frame.size_bytes
            cursor.offset += frame.size_bytes
            taken.append(as_now(frame, cursor.sequence, segment.shift))
            cursor.sequence = taken[-1].last + 1
        return taken

    def _seek(self, cursor: Cursor, sequence: int) -> None:
        """Hop from header to header to the frame that holds `sequence`; payloads are not looked at."""
        wanted = sequence + cursor.segment.shift
        data, base = b"", cursor.offset
        descriptor = self._open(cursor.segment)
        while True:
            if cursor.offset + FRAME_HEADER.size > base + len(data):
                data, base = os.pread(descriptor, _HOP_BYTES, cursor.offset), cursor.offset
                if len(data) < FRAME_HEADER.size:
                    self._cursor = None
                    raise UnreadableSegment(cursor.segment, sequence)
            _, _, _, _, length, _, first, last = FRAME_HEADER.unpack_from(data, cursor.offset - base)
            if first <= wanted <= last:
                cursor.sequence = sequence
                return
            if first > wanted or length > MAX_RECORD_BYTES:
                self._cursor = None
                raise UnreadableSegment(cursor.segment, sequence)
            cursor.offset += FRAME_HEADER.size + length

    def _open(self, segment: Segment) -> int:
        if self._opened is not segment:
            self.close()
            self._descriptor = os.open(segment.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
            self._opened = segment
        return self._descriptor

    def close(self) -> None:
        """Close the open file and forget the place."""
        self._cursor = None
        self._opened = None
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            os.close(descriptor)


def _segment_with(segments: list[Segment], sequence: int) -> Segment | None:
    """Return the segment that holds `sequence`, by bisection."""
    low, high = 0, len(segments)
    while low < high:
        middle = (low + high) // 2
        if segments[middle].last < sequence:
            low = middle + 1
        else:
            high = middle
    return segments[low] if low < len(segments) and segments[low].first <= sequence else None
