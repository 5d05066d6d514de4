"""The spool: what the agent must not lose, until the collector has it durably.

Sequences count from 1 within an epoch and have no holes on the wire. **A Gap whose `from_sequence` is not 0 stands for
all sequences from `from_sequence` to `to_sequence`**: its own `sequence` equals `from_sequence`, and the next record's
is `to_sequence + 1`. A Gap with `from_sequence` 0 is an ordinary record with one sequence of its own. Under that rule
every batch that `read` returns is contiguous, whatever was evicted, quarantined or damaged.

Threads: any thread may call any method. One lock serialises what changes the spool; `read` takes it only when a segment
turns out to be damaged, so a reader does not wait for the fsync of a writer. Records become readable after their fsync.
"""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fsmend_agent.errors import ProtocolError
from fsmend_agent.event import Clock
from fsmend_agent.spool.core import SpoolCore
from fsmend_agent.spool.eviction import rewrite
from fsmend_agent.spool.files import remove
from fsmend_agent.spool.gaps import rejected
from fsmend_agent.spool.limits import SpoolLimits
from fsmend_agent.spool.reader import UnreadableSegment
from fsmend_agent.spool.storage import Storage, StorageChange
from fsmend_proto.v1 import record_pb2
from fsmend_proto.v1.event_pb2 import Clocks

# How often a read looks again at a segment that changed or failed under it, before it gives the records up.
_READ_ATTEMPTS = 4


@dataclass(frozen=True, slots=True)
class SpoolBatch:
    """Records in sequence.

    Attributes:
        first_sequence: of the first record; what was asked for, when there are records.
        next_sequence: what to ask for next; a Gap among the records may stand for many sequences.
        records: serialised Record messages.
    """

    epoch: str
    first_sequence: int
    next_sequence: int
    records: list[bytes]


class Spool(SpoolCore):
    """A durable, bounded queue of records. Make one with `Spool.open`."""

    @classmethod
    def open(
        cls,
        directory: Path,
        limits: SpoolLimits | None = None,
        *,
        clocks: Callable[[], Clocks] | None = None,
        on_change: Callable[[StorageChange], object] = lambda _: None,
    ) -> "Spool":
        """Open the spool in `directory`, or begin one; recover from any end, kill -9 and power loss included.

        A torn tail was never fsynced and is no loss. What is damaged or missing before the tail becomes a Gap.

        Args:
            directory: made when absent; this process is its only writer.
            limits: the bounds; None for the defaults.
            clocks: reads the host's clocks; None for the real ones.
            on_change: called, in the thread that notices, when the storage fails or works again.

        Raises:
            SpoolError: neither the directory nor the fallback can be used.
        """
        limits = limits or SpoolLimits()
        storage = Storage(directory, limits, on_change)
        storage.prepare()
        return cls(storage, limits, clocks or Clock().now)

    @property
    def epoch(self) -> str:
        """Return the name of this life of the spool."""
        return self._ledger.epoch

    @property
    def oldest_sequence(self) -> int:
        """Return the first sequence that is not acknowledged; equal to the next one when all are."""
        return self._ledger.durable_through + 1

    @property
    def next_sequence(self) -> int:
        """Return the sequence that the next record gets."""
        return self._next

    @property
    def durable(self) -> bool:
        """Tell whether what is appended now outlives a reboot."""
        return self._storage.durable

    @property
    def used_bytes(self) -> int:
        """Return what the segments take, wherever they lie."""
        return sum(segment.size_bytes for segment in self._segments)

    def append(self, records: Sequence[record_pb2.Record]) -> range:
        """Keep records: number them, write them, one fsync; then they can be read.

        Sets `sequence` and `non_durable` on the records given. When neither disk nor memory takes them, they are
        counted, a Gap says so as soon as there is room, and the range is empty; no OSError gets out.
        """
        with self._mutex:
            if not records:
                return range(self._next, self._next)
            bounded = [self._bounded(record) for record in records]
            owed = [self._unkept_record()] if self._unkept else []
            error = self._keep([*owed, *bounded])
            if error is not None:
                self._storage.give_up(error)
                self._note_unkept(bounded)
                return range(self._next, self._next)
            self._unkept = None
            return range(self._next - len(bounded), self._next)

    def read(self, from_sequence: int, max_bytes: int, max_records: int) -> SpoolBatch:
        """Return fsynced records from `from_sequence` on; none when there are none yet.

        At least one record is returned when there is one, even if it is larger than `max_bytes`.

        Raises:
            ProtocolError: `from_sequence` is 0 or lies beyond what was ever written.
        """
        for attempt in range(_READ_ATTEMPTS):
            epoch, end, segments = self._ledger.epoch, self._next, self._segments
            if not 0 < from_sequence <= end:
                raise ProtocolError(f"sequence {from_sequence} was asked for, and {end} is the next one")
            try:
                frames = self._frames(segments, from_sequence, end, max_bytes, max_records)
            except (UnreadableSegment, OSError) as error:
                self._look_at(error, from_sequence, last_attempt=attempt == _READ_ATTEMPTS - 2)
                continue
            if epoch == self._ledger.epoch:
                after = frames[-1].last + 1 if frames else from_sequence
                return SpoolBatch(epoch, from_sequence, after, [frame.payload for frame in frames])
        return SpoolBatch(self._ledger.epoch, from_sequence, from_sequence, [])

    def ack(self, epoch: str, durable_through: int) -> None:
        """Forget what the collector has. The ledger that says so is durable before a segment is unlinked.

        Raises:
            ProtocolError: another epoch, or a sequence that was never written; nothing is forgotten.
        """
        with self._mutex:
            self._check_epoch(epoch)
            if durable_through >= self._next:
                raise ProtocolError(f"sequence {durable_through} was acknowledged, and {self._next} is the next one")
            if durable_through <= self._ledger.durable_through:
                return
            self._ledger = self._ledger.acknowledged(durable_through)
            writing = self._writer.segment if self._writer else None
            done = [one for one in self._segments if one.last <= durable_through and one is not writing]
            if done and self._write_ledger():
                self._segments = [one for one in self._segments if one not in done]
                for segment in done:
                    remove(segment.path)

    def reject(self, epoch: str, sequence: int, reason: str) -> None:
        """Put one record into quarantine; from now on a Gap is read in its place.

        Raises:
            ProtocolError: another epoch, or a sequence that is not kept; nothing is changed.
            OSError: the Gap cannot be written.
        """
        with self._mutex:
            self._check_epoch(epoch)
            segment = next((one for one in self._segments if one.first <= sequence <= one.last), None)
            if segment is None or sequence < self.oldest_sequence:
                raise ProtocolError(f"sequence {sequence} was rejected, and it is not in the spool")
            self._close_writer()
            clocks = self._clocks()
            frames = segment.whole(clocks)
            for index, frame in enumerate(frames):
                if frame.first <= sequence <= frame.last:
                    self._quarantine.keep(epoch, sequence, frame.payload)
                    frames[index] = rejected(frame, reason, clocks)
            self._swap(segment, rewrite([segment], frames, self._storage.current, self._ledger.epoch, clocks))

    def new_epoch(self) -> str:
        """Begin a new epoch; what is not acknowledged goes on in it from sequence 1. Costs one small write.

        Raises:
            OSError: the ledger cannot be written; the old epoch goes on.
        """
        with self._mutex, self._reading:
            self._close_writer()
            ledger = self._ledger.successor(self._next, {one.epoch for one in self._segments})
            ledger.write(self._storage.current)
            self._reader.close()
            self._renumber_from(ledger)
            self._memory_epoch = "" if self._storage.durable else ledger.epoch
            return ledger.epoch

    def tend(self) -> None:
        """Do what time asks for: age, ballast, the way back to the disk. Call it every few seconds."""
        with self._mutex:
            if self._storage.returns():
                self._move_back()
            self._storage.tend()
            if any(segment.directory == self._storage.current for segment in self._segments):
                with contextlib.suppress(OSError):  # the next append tries again, and says so
                    self._leave_disk()
            before = self._clocks().wall_ns // 1_000_000_000 - self._limits.max_age_seconds
            if any(segment.newest_seconds < before for segment in self._segments):
                self._close_writer()
                # A disk that fails is left at the next append; what is old can wait for that.
                with contextlib.suppress(OSError):
                    self._evict(lambda eviction: eviction.expire(before))

    def close(self) -> None:
        """Write the ledger and close the files."""
        with self._mutex, self._reading:
            self._close_writer()
            self._write_ledger()
            self._reader.close()
