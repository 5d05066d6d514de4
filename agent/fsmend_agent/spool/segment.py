"""Segment files: one that is being written, and those that are only read."""

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from fsmend_agent.spool.files import read_bounded, remove, replace_file, sync_directory, write_all
from fsmend_agent.spool.frame import SEGMENT_HEADER, Damage, Frame, SegmentHeader, encode, scan, seed_of
from fsmend_agent.spool.gaps import as_now, fill_holes
from fsmend_proto.v1.event_pb2 import Clocks

# What recovery is ready to read at once: honest segments close long before.
MAX_SEGMENT_BYTES = 64 << 20
_NAME = re.compile(r"([0-9a-f]{32})\.([0-9a-f]{16})\.segment")


def segment_path(directory: Path, epoch: str, first: int) -> Path:
    """Return the name of the segment that begins with `first`; names of one epoch sort by sequence."""
    return directory / f"{epoch}.{first:016x}.segment"


def parse_name(name: str) -> tuple[str, int] | None:
    """Return epoch and first sequence of a segment's file name, or nothing when it is no segment."""
    match = _NAME.fullmatch(name)
    return (match[1], int(match[2], 16)) if match else None


@dataclass(slots=True, eq=False)
class Segment:
    """A segment whose records `first` to `last` can be read.

    Attributes:
        epoch: of the file; an earlier one when its records were carried over.
        last: frames beyond it in the file do not count (a failed write left them, and the records went elsewhere).
        shift: a sequence in the file minus the sequence it has now.
        size_bytes: of the file, as far as it counts.
        newest_seconds: wall clock at the last append.
        bytes_by_weight: what an eviction would give back.
    """

    path: Path
    epoch: str
    first: int
    last: int
    shift: int = 0
    size_bytes: int = SEGMENT_HEADER.size
    newest_seconds: int = 0
    bytes_by_weight: Counter[int] = field(default_factory=Counter)

    @property
    def directory(self) -> Path:
        """Return the storage that it lies in."""
        return self.path.parent

    def count(self, frame: Frame) -> None:
        """Take a frame into account that now ends the segment."""
        self.last = frame.last
        self.size_bytes += frame.size_bytes
        self.newest_seconds = max(self.newest_seconds, frame.written_seconds)
        self.bytes_by_weight[frame.weight] += frame.size_bytes

    def scan(self) -> Iterator[Frame | Damage]:
        """Read and yield what the file holds, in order, under the sequences it has now, from `first` to `last`."""
        for item in scan(read_bounded(self.path, MAX_SEGMENT_BYTES), seed_of(self.epoch)):
            if isinstance(item, Damage):
                yield item
                continue
            if item.first - self.shift > self.last:
                return
            if item.last - self.shift >= self.first:
                yield as_now(item, self.first, self.shift)

    def frames(self) -> list[Frame]:
        """Return the sound frames."""
        return [item for item in self.scan() if isinstance(item, Frame)]

    def whole(self, clocks: Clocks) -> list[Frame]:
        """Return the sound frames with a Gap in the place of every damaged one: what takes this segment's place."""
        return list(fill_holes(self.frames(), self.first, self.last, clocks))


class SegmentWriter:
    """Append to a new segment file. One fsync for each append; nothing counts before it.

    After an OSError the file must be left alone: pages that could not be written are clean for the kernel, and a second
    fsync(2) would claim success.
    """

    def __init__(self, directory: Path, header: SegmentHeader) -> None:
        path = segment_path(directory, header.epoch, header.first)
        # Truncated rather than exclusive: a leftover of that name holds no record that counts.
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
        self._descriptor = os.open(path, flags, 0o600)
        self.segment = Segment(path, header.epoch, header.first, header.first - 1)
        try:
            write_all(self._descriptor, header.encode())
            sync_directory(directory)
        except OSError:
            self.close()
            remove(path)
            raise

    def append(self, data: bytes) -> None:
        """Write encoded frames and make them durable. See fdatasync(2)."""
        write_all(self._descriptor, data)
        os.fdatasync(self._descriptor)

    def take_back(self) -> None:
        """Cut off what a failed append may have left, if the disk lets us."""
        try:
            os.ftruncate(self._descriptor, self.segment.size_bytes)
        except OSError:
            return

    def close(self) -> None:
        """Close the file; the segment stays readable."""
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            try:
                os.close(descriptor)
            except OSError:  # close(2) may report an earlier write; what counts was fsynced
                return


def write_segment(directory: Path, header: SegmentHeader, frames: Iterable[Frame]) -> Segment:
    """Write a whole segment atomically and durably, in the place of one that begins with the same sequence."""
    path = segment_path(directory, header.epoch, header.first)
    segment = Segment(path, header.epoch, header.first, header.first - 1)
    seed = seed_of(header.epoch)
    parts = [header.encode()]
    for frame in frames:
        parts.append(encode(frame, seed))
        segment.count(frame)
    replace_file(path, b"".join(parts))
    return segment
