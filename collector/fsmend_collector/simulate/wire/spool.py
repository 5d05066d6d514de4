"""The spool of a simulated agent: the promises of a real one, in memory. Pure.

Sequences count from 1 without holes; what is not acknowledged stays; what has to go leaves a Gap in its place.
"""

from collections import deque
from dataclasses import dataclass, field

from fsmend_proto.v1 import record_pb2

MAX_RECORDS = 20_000
_EVICTED_AT_ONCE = MAX_RECORDS // 10


@dataclass(frozen=True, slots=True)
class Kept:
    """One record as it goes over the wire: the sequences that it accounts for, and its bytes."""

    first: int
    through: int
    raw: bytes


@dataclass(slots=True)
class Spool:
    """Records of one agent, oldest first."""

    epoch: str
    next_sequence: int = 1
    _kept: deque[Kept] = field(default_factory=deque)

    def __len__(self) -> int:
        """Return how many records are not acknowledged."""
        return len(self._kept)

    @property
    def oldest_sequence(self) -> int:
        """Return the first sequence that is kept."""
        return self._kept[0].first if self._kept else self.next_sequence

    def append(self, record: record_pb2.Record) -> int:
        """Give a record its sequence and keep it; when the spool is full the oldest make room for a Gap."""
        if len(self._kept) >= MAX_RECORDS:
            self._evict()
        record.sequence = sequence = self.next_sequence
        self._kept.append(Kept(sequence, sequence, record.SerializeToString()))
        self.next_sequence += 1
        return sequence

    def read(self, sequence: int, most: int) -> list[Kept]:
        """Return records from a sequence on."""
        found = []
        for one in self._kept:
            if one.first >= sequence:
                found.append(one)
                if len(found) == most:
                    break
        return found

    def acknowledge(self, through: int) -> None:
        """Forget what is durable at the collector."""
        while self._kept and self._kept[0].through <= through:
            self._kept.popleft()

    def reject(self, sequence: int) -> None:
        """Set one record aside; a Gap takes its place."""
        for at, one in enumerate(self._kept):
            if one.first == sequence:
                self._kept[at] = _gap(one.first, one.through, record_pb2.GAP_REASON_REJECTED, 1)
                return

    def begin_epoch(self, epoch: str) -> None:
        """Go on from sequence 1 with what is not acknowledged."""
        kept, self.epoch, self.next_sequence, self._kept = self._kept, epoch, 1, deque()
        for one in kept:
            record = record_pb2.Record.FromString(one.raw)
            if record.HasField("gap"):  # the sequences that it stood for are of the old epoch
                record.gap.from_sequence = record.gap.to_sequence = 0
            self.append(record)

    def _evict(self) -> None:
        gone = [self._kept.popleft() for _ in range(_EVICTED_AT_ONCE)]
        first, through = gone[0].first, gone[-1].through
        self._kept.appendleft(_gap(first, through, record_pb2.GAP_REASON_SPOOL_FULL, through - first + 1))


def _gap(first: int, through: int, reason: record_pb2.GapReason.ValueType, lost: int) -> Kept:
    gap = record_pb2.Gap(
        reason=reason, from_sequence=first, to_sequence=through, lost=lost, source="simulated", message="simulated"
    )
    return Kept(first, through, record_pb2.Record(sequence=first, gap=gap).SerializeToString())
