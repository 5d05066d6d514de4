"""Make room in one storage: the lightest records go first, and each run of them leaves a Gap in its place."""

from collections.abc import Callable, Iterable
from pathlib import Path

from fsmend_agent.spool.files import remove
from fsmend_agent.spool.frame import Frame, SegmentHeader
from fsmend_agent.spool.gaps import EVICTION_ORDER, WEIGHT_INVENTORY, WEIGHT_LATEST_INVENTORY, evict
from fsmend_agent.spool.segment import Segment, write_segment
from fsmend_proto.v1 import record_pb2
from fsmend_proto.v1.event_pb2 import Clocks

# How many files there may be for each segment that fits, before small ones are joined.
_FILES_PER_SEGMENT = 2


class Eviction:
    """Work on the closed segments of one storage.

    Args:
        segments: all segments of the spool, in order; closed ones only.
        storage: where space is needed.
        epoch: of what is written anew.
        latest_inventory: the one inventory that still says something.
    """

    def __init__(
        self,
        segments: list[Segment],
        storage: Path,
        *,
        epoch: str,
        clocks: Clocks,
        latest_inventory: int,
    ) -> None:
        self.segments = list(segments)
        self._storage = storage
        self._epoch = epoch
        self._clocks = clocks
        self._latest_inventory = latest_inventory

    @property
    def used_bytes(self) -> int:
        """Return what the segments of the storage take."""
        return sum(segment.size_bytes for segment in self.segments if segment.directory == self._storage)

    def relieve(self, bound_bytes: int, segment_bytes: int) -> None:
        """Evict until no more than `bound_bytes` are used, or nothing more can be gained.

        Raises:
            OSError: a segment cannot be read or written; what was done so far holds.
        """
        for weight in EVICTION_ORDER:
            for segment in self._own():
                if self.used_bytes <= bound_bytes:
                    break
                if any(size for own, size in segment.bytes_by_weight.items() if own <= weight):
                    self._replace([segment], self._chosen(weight), record_pb2.GAP_REASON_SPOOL_FULL)
            # What is left of an evicted segment is a Gap in a file of its own; they must not add up.
            enough = self.used_bytes <= bound_bytes
            if not enough or len(self._own()) > _FILES_PER_SEGMENT * (bound_bytes // segment_bytes + 1):
                self.join_small(segment_bytes)
            if enough:
                return

    def expire(self, before_seconds: int) -> None:
        """Turn segments whose newest record is older than `before_seconds` (wall clock) into Gaps."""
        for segment in self._own():
            if 0 < segment.newest_seconds < before_seconds and not _is_one_gap(segment):
                self._replace([segment], lambda _: True, record_pb2.GAP_REASON_SPOOL_AGED)

    def join_small(self, segment_bytes: int) -> None:
        """Join neighbours that fit in one segment together, so that files stay few."""
        own = self._own()
        run: list[Segment] = []
        for segment in [*own, None]:
            fits = segment is not None and sum(one.size_bytes for one in run) + segment.size_bytes <= segment_bytes
            if segment is not None and fits and (not run or run[-1].last + 1 == segment.first):
                run.append(segment)
                continue
            if len(run) > 1:
                self._replace(run, lambda _: False, record_pb2.GAP_REASON_SPOOL_FULL)
            run = [segment] if segment is not None else []

    def _own(self) -> list[Segment]:
        return [segment for segment in self.segments if segment.directory == self._storage]

    def _chosen(self, weight: int) -> Callable[[Frame], bool]:
        def chosen(frame: Frame) -> bool:
            if frame.weight == WEIGHT_INVENTORY and frame.first == self._latest_inventory:
                return weight >= WEIGHT_LATEST_INVENTORY
            return frame.weight <= weight

        return chosen

    def _replace(
        self,
        run: list[Segment],
        chosen: Callable[[Frame], bool],
        reason: "record_pb2.GapReason.ValueType",
    ) -> None:
        frames = (frame for segment in run for frame in segment.whole(self._clocks))
        new = rewrite(run, evict(frames, chosen, reason, self._clocks), self._storage, self._epoch, self._clocks)
        at = self.segments.index(run[0])
        self.segments[at : at + len(run)] = [new]


def rewrite(run: list[Segment], frames: Iterable[Frame], storage: Path, epoch: str, clocks: Clocks) -> Segment:
    """Write `frames` in the place of a run of segments; the old files go once the new one is durable."""
    header = SegmentHeader(epoch, run[0].first, clocks.wall_ns, clocks.boot_id)
    new = write_segment(storage, header, frames)
    for segment in run:
        if segment.path != new.path:
            remove(segment.path)
    return new


def _is_one_gap(segment: Segment) -> bool:
    return len(segment.bytes_by_weight) == 1 and segment.size_bytes < 4096
