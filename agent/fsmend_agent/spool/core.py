"""How the spool writes, moves and mends: the machinery below the public face in `spool.py`."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from fsmend_agent.errors import ProtocolError, SpoolError
from fsmend_agent.spool.eviction import Eviction, rewrite
from fsmend_agent.spool.files import remove
from fsmend_agent.spool.frame import SEGMENT_HEADER, Damage, Frame, SegmentHeader, encode, seed_of
from fsmend_agent.spool.gaps import WEIGHT_INVENTORY, Loss, fill_holes, lost_earlier, unreadable, weight_of
from fsmend_agent.spool.ledger import NAME as LEDGER_NAME
from fsmend_agent.spool.ledger import Ledger
from fsmend_agent.spool.limits import MAX_RECORD_BYTES, SpoolLimits
from fsmend_agent.spool.quarantine import Quarantine
from fsmend_agent.spool.reader import Reader, UnreadableSegment
from fsmend_agent.spool.recovery import Recovery
from fsmend_agent.spool.segment import Segment, SegmentWriter, write_segment
from fsmend_agent.spool.storage import Storage
from fsmend_proto.v1 import record_pb2
from fsmend_proto.v1.event_pb2 import Clocks

_READER_SECONDS = 1.0


def _epoch_in(directory: Path) -> str | None:
    """Return the epoch that a directory's ledger names, empty when it has none; None when nobody can tell."""
    try:
        ledger = Ledger.read(directory)
    except (SpoolError, OSError):
        return None
    return ledger.epoch if ledger else ""


class SpoolCore:
    """The state of a spool, and what happens to it under the lock.

    `_segments` is replaced, never changed, so that a reader may work on the list it took.
    """

    def __init__(self, storage: Storage, limits: SpoolLimits, clocks: Callable[[], Clocks]) -> None:
        self._mutex = threading.RLock()
        self._reading = threading.Lock()
        self._storage = storage
        self._limits = limits
        self._clocks = clocks
        self._reader = Reader()
        self._writer: SegmentWriter | None = None
        self._quarantine = Quarantine(storage.primary, limits.quarantine_max_bytes)
        self._unkept: Loss | None = None
        on_disk, in_memory = (_epoch_in(directory) for directory in storage.directories)
        # The epoch that no disk knows of for certain; empty while the spool stands on its disk.
        self._memory_epoch = "" if on_disk in {None, in_memory} else in_memory or ""
        self._recover()
        if storage.durable:
            self._move_back()  # an earlier life may have ended while it stood on memory

    def _recover(self) -> None:
        """Take over what lies in the directories.

        Raises:
            SpoolError: no directory can be written.
        """
        while True:
            try:
                recovered = Recovery(self._storage.directories, self._storage.current, self._clocks()).run()
            except OSError as error:
                if not self._storage.give_way(error):
                    raise SpoolError(f"the spool can be kept nowhere: {error}") from error
                continue
            break
        self.damage: tuple[str, ...] = tuple(recovered.damage)
        self._ledger: Ledger = recovered.ledger
        self._segments: list[Segment] = recovered.segments
        self._latest_inventory = recovered.latest_inventory
        self._next = recovered.next_sequence

    def _renumber_from(self, ledger: Ledger) -> None:
        """Give every segment the sequences it has in the new epoch; the files stay as they are."""
        shift = self._ledger.durable_through
        self._segments, old = (
            [
                replace(one, first=max(1, one.first - shift), last=one.last - shift, shift=one.shift + shift)
                for one in self._segments
                if one.last > shift
            ],
            self._segments,
        )
        for segment in old:
            if segment.last <= shift:
                remove(segment.path)
        self._latest_inventory = max(0, self._latest_inventory - shift)
        self._ledger = ledger
        self._next -= shift

    def _check_epoch(self, epoch: str) -> None:
        if epoch != self._ledger.epoch:
            raise ProtocolError(f"epoch {epoch!r} is not the present one, {self._ledger.epoch}")

    # --- writing -----------------------------------------------------------------------------------------------------

    def _keep(self, records: Sequence[record_pb2.Record]) -> OSError | None:
        """Write records where they can be kept, or return why they cannot."""
        while True:
            try:
                self._leave_disk()
                self._write(self._number(records))
            except OSError as error:
                self._abandon_writer()
                if not self._storage.give_way(error):
                    return error
                continue
            self._storage.kept()
            return None

    def _leave_disk(self) -> None:
        """Begin a new epoch in memory, unless there is one, whose sequences a power cut cannot bring back.

        The disk does not learn what is numbered here. In the same epoch those numbers would be given again after a
        power cut, and a collector that has them already would take the new records for the old ones.

        Raises:
            OSError: not even the memory takes the ledger.
        """
        if self._storage.durable or self._memory_epoch == self._ledger.epoch:
            return
        self._close_writer()
        # A read that hangs in the failing disk must not keep new records out; the next append or `tend` tries again.
        if not self._reading.acquire(timeout=_READER_SECONDS):
            return
        try:
            ledger = self._ledger.successor(self._next, {one.epoch for one in self._segments})
            ledger.write(self._storage.current)
            self._reader.close()
            self._renumber_from(ledger)
            self._memory_epoch = ledger.epoch
        finally:
            self._reading.release()

    def _number(self, records: Sequence[record_pb2.Record]) -> list[Frame]:
        frames = []
        seconds = min(self._clocks().wall_ns // 1_000_000_000, 0xFFFFFFFF)
        for sequence, record in enumerate(records, self._next):
            record.sequence = sequence
            record.non_durable = not self._storage.durable
            frames.append(Frame(sequence, sequence, weight_of(record), seconds, record.SerializeToString()))
        return frames

    def _write(self, frames: list[Frame]) -> None:
        seed = seed_of(self._ledger.epoch)
        data = b"".join([encode(frame, seed) for frame in frames])
        if self._writer and self._writer.segment.size_bytes >= self._storage.segment_bytes:
            self._close_writer()
        self._make_room(len(data) + SEGMENT_HEADER.size)  # perhaps into a new segment
        writer = self._writer
        if writer is None or writer.segment.directory != self._storage.current:
            self._close_writer()
            clocks = self._clocks()
            header = SegmentHeader(self._ledger.epoch, self._next, clocks.wall_ns, clocks.boot_id)
            writer = self._writer = SegmentWriter(self._storage.current, header)
        writer.append(data)
        for frame in frames:
            writer.segment.count(frame)
            if frame.weight == WEIGHT_INVENTORY:
                self._latest_inventory = frame.first
        if not self._segments or self._segments[-1] is not writer.segment:
            self._segments = [*self._segments, writer.segment]
        self._next = frames[-1].last + 1  # published last: a reader trusts it

    def _close_writer(self) -> None:
        if self._writer:
            self._writer.close()
            self._writer = None

    def _abandon_writer(self) -> None:
        if self._writer:
            self._writer.take_back()
            self._close_writer()

    def _bounded(self, record: record_pb2.Record) -> record_pb2.Record:
        """Return the record, or a Gap in its place when it is larger than any link can carry."""
        size_bytes = record.ByteSize()
        if size_bytes < MAX_RECORD_BYTES - 64:
            return record
        loss = Loss(record_pb2.GAP_REASON_SPOOL_FULL, 0, 0)
        loss.add(record.SerializeToString())
        payload = loss.frame(self._clocks(), f"a record of {size_bytes} bytes is larger than the wire takes").payload
        return record_pb2.Record.FromString(payload)

    def _note_unkept(self, records: Sequence[record_pb2.Record]) -> None:
        self._unkept = self._unkept or Loss(record_pb2.GAP_REASON_SPOOL_IO, 0, 0)
        for record in records:
            self._unkept.add(record.SerializeToString())

    def _unkept_record(self) -> record_pb2.Record:
        if self._unkept is None:
            raise AssertionError
        frame = self._unkept.frame(self._clocks(), "neither the disk nor the memory fallback took these records")
        return record_pb2.Record.FromString(frame.payload)

    # --- room --------------------------------------------------------------------------------------------------------

    def _make_room(self, incoming_bytes: int) -> None:
        bound = self._storage.bound_bytes
        here = self._storage.current
        used = sum(segment.size_bytes for segment in self._segments if segment.directory == here)
        if used + incoming_bytes <= bound:
            return
        self._close_writer()
        # A segment's worth more than needed, so that not every append has to evict.
        target = max(0, bound - incoming_bytes - self._storage.segment_bytes)
        self._evict(lambda eviction: eviction.relieve(target, self._storage.segment_bytes))

    def _evict(self, work: Callable[[Eviction], None]) -> None:
        eviction = Eviction(
            self._segments,
            self._storage.current,
            epoch=self._ledger.epoch,
            clocks=self._clocks(),
            latest_inventory=self._latest_inventory,
        )
        try:
            work(eviction)
        finally:
            self._segments = eviction.segments

    def _swap(self, old: Segment, new: Segment) -> None:
        self._segments = [new if segment is old else segment for segment in self._segments]

    def _write_ledger(self) -> bool:
        try:
            self._ledger.write(self._storage.current)
        except OSError:
            return False
        return True

    def _move_back(self) -> None:
        """Bring what was kept in memory to the disk, which works again."""
        self._close_writer()
        primary, fallback = self._storage.directories
        clocks = self._clocks()
        try:
            for segment in self._segments:
                if segment.directory == fallback:
                    frames = segment.whole(clocks)
                    self._swap(segment, rewrite([segment], frames, primary, self._ledger.epoch, clocks))
            self._ledger.write(primary)
        except OSError as error:
            self._storage.give_way(error)
            return
        finally:
            self._memory_epoch = ""  # also a write that failed may have told the disk
        remove(fallback / LEDGER_NAME)

    # --- reading -----------------------------------------------------------------------------------------------------

    def _frames(
        self,
        segments: list[Segment],
        from_sequence: int,
        end: int,
        max_bytes: int,
        max_records: int,
    ) -> list[Frame]:
        oldest = segments[0].first if segments else end
        if from_sequence < oldest:
            return [lost_earlier(from_sequence, oldest - 1, self._clocks())]
        with self._reading:
            return self._reader.take(segments, from_sequence, end, max_bytes, max_records)

    def _look_at(self, error: UnreadableSegment | OSError, sequence: int, *, last_attempt: bool) -> None:
        """After a failed read: mend the segment, or give its records up when the disk does not give them back."""
        with self._mutex, self._reading:
            self._reader.close()
            segment = next((one for one in self._segments if one.first <= sequence <= one.last), None)
            if segment is None:
                return
            if isinstance(error, UnreadableSegment) and error.segment not in self._segments:
                return  # it was replaced under the reader; nothing is wrong with it
            clocks = self._clocks()
            try:
                items = list(segment.scan())
                frames = [item for item in items if isinstance(item, Frame)]
                whole = list(fill_holes(frames, segment.first, segment.last, clocks))
            except OSError:
                if not last_attempt:
                    return
                whole = [unreadable(segment.first, segment.last, clocks)]
            else:
                if len(whole) == len(frames) and not any(isinstance(item, Damage) for item in items):
                    return
            self._close_writer()
            self._replace_damaged(segment, whole, clocks)

    def _replace_damaged(self, segment: Segment, whole: list[Frame], clocks: Clocks) -> None:
        while True:
            header = SegmentHeader(self._ledger.epoch, segment.first, clocks.wall_ns, clocks.boot_id)
            try:
                new = write_segment(self._storage.current, header, whole)
            except OSError as error:
                if not self._storage.give_way(error):
                    return
                continue
            if new.path != segment.path:
                remove(segment.path)
            self._swap(segment, new)
            return
