"""Bring the segments back after any kind of end."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from fsmend_agent.errors import SpoolError
from fsmend_agent.spool.files import read_bounded, remove
from fsmend_agent.spool.frame import SEGMENT_HEADER, Damage, Frame, SegmentHeader
from fsmend_agent.spool.gaps import WEIGHT_INVENTORY, corrupt, fill_holes
from fsmend_agent.spool.ledger import Ledger
from fsmend_agent.spool.segment import MAX_SEGMENT_BYTES, Segment, parse_name, write_segment
from fsmend_proto.v1.event_pb2 import Clocks

_FAR = (1 << 63) - 1


@dataclass(slots=True)
class Recovered:
    """What was found: segments in order, without a hole between them.

    Attributes:
        latest_inventory: sequence of the newest inventory; 0 for none.
        damage: a line for each thing that was not as it should be.
    """

    ledger: Ledger
    segments: list[Segment]
    latest_inventory: int
    damage: list[str]

    @property
    def next_sequence(self) -> int:
        """Return the sequence that the next record gets."""
        last = self.segments[-1].last if self.segments else 0
        return max(last, self.ledger.durable_through) + 1


def read_ledger(directories: Sequence[Path], damage: list[str]) -> Ledger | None:
    """Return the newest ledger: the last directory wins, for it exists only while the ones before it fail."""
    for directory in reversed(directories):
        try:
            ledger = Ledger.read(directory)
        except (SpoolError, OSError) as error:
            damage.append(f"{directory}: {error}")
            continue
        if ledger is not None:
            return ledger
    return None


class Recovery:
    """Recover one spool from the directories it may have used, the durable one first."""

    def __init__(self, directories: Sequence[Path], storage: Path, clocks: Clocks) -> None:
        self._directories = directories
        self._storage = storage
        self._clocks = clocks
        self._damage: list[str] = []
        self._inventories: set[int] = set()

    def run(self) -> Recovered:
        """Return everything that is still there; damaged and missing records become Gaps.

        Raises:
            OSError: `storage` cannot be written.
        """
        ledger = read_ledger(self._directories, self._damage) or Ledger.fresh()
        files = list(self._files())
        found = [segment for path, epoch, first in files if (segment := self._segment(path, epoch, first, ledger))]
        segments = self._join(found, ledger)
        recovered = Recovered(ledger, segments, max(self._inventories, default=0), self._damage)
        self._adopt(recovered, [file for file in files if file[1] not in self._known(ledger)])
        recovered.latest_inventory = max(self._inventories, default=0)
        recovered.ledger.write(self._storage)
        return recovered

    @staticmethod
    def _known(ledger: Ledger) -> set[str]:
        return {ledger.epoch, *ledger.retired, *(one.epoch for one in ledger.carried)}

    def _files(self) -> Iterator[tuple[Path, str, int]]:
        for directory in self._directories:
            try:
                names = sorted(path.name for path in directory.iterdir())
            except OSError as error:
                if not isinstance(error, FileNotFoundError):
                    self._damage.append(str(error))
                continue
            for name in names:
                parsed = parse_name(name)
                if parsed is not None:
                    yield directory / name, *parsed
                elif name.endswith(".tmp"):
                    remove(directory / name)

    def _segment(self, path: Path, epoch: str, named_first: int, ledger: Ledger) -> Segment | None:
        """Return a file's segment as far as it lives on; remove what nobody needs any more."""
        ends = [(1, _FAR, 0)] if epoch == ledger.epoch else []
        ends += [(one.first, one.last, one.shift) for one in ledger.carried if one.epoch == epoch]
        for first, last, shift in ends:
            if not first <= max(named_first, first) <= last:
                continue
            window = Segment(path, epoch, max(named_first, first) - shift, min(last - shift, _FAR), shift)
            try:
                segment = self._read(window, ledger)
            except OSError as error:  # unreadable now is no reason to remove it
                self._damage.append(str(error))
                return None
            if segment is not None:
                return segment
        if epoch in self._known(ledger):
            remove(path)
        return None

    def _read(self, window: Segment, ledger: Ledger) -> Segment | None:
        """Scan a file; one with holes is written anew, with Gaps in them."""
        head = read_bounded(window.path, SEGMENT_HEADER.size)
        if len(head) < SEGMENT_HEADER.size:
            return None  # the end came while the file was begun: a record was never written behind its header
        try:
            SegmentHeader.decode(head)
        except SpoolError as error:  # the name says the same, and every frame has a checksum of its own
            self._damage.append(f"{window.path.name}: {error}")
        segment = Segment(window.path, window.epoch, window.first, window.first - 1, window.shift)
        damaged, after_damage, inventories = 0, False, list[int]()
        for item in window.scan():  # one by one: a start must not cost the memory of whole segments
            if isinstance(item, Damage):
                after_damage = True  # no loss when nothing follows: a torn tail
                continue
            damaged += after_damage or item.first != segment.last + 1
            after_damage = False
            segment.count(item)
            if item.weight == WEIGHT_INVENTORY:
                inventories.append(item.first)
        if segment.last < segment.first or segment.last <= ledger.durable_through:
            return None
        self._inventories.update(inventories)
        if damaged:
            self._damage.append(f"{window.path.name}: {damaged} damaged places")
            whole = fill_holes(window.frames(), window.first, segment.last, self._clocks)
            return self._rewrite(window, ledger, list(whole))
        segment.size_bytes = min(window.path.stat().st_size, MAX_SEGMENT_BYTES)
        return segment

    def _rewrite(self, window: Segment, ledger: Ledger, frames: list[Frame]) -> Segment:
        header = SegmentHeader(ledger.epoch, frames[0].first, self._clocks.wall_ns, self._clocks.boot_id)
        segment = write_segment(self._storage, header, frames)
        if segment.path != window.path:
            remove(window.path)
        return segment

    def _join(self, found: list[Segment], ledger: Ledger) -> list[Segment]:
        """Order the segments, settle what overlaps, and put Gaps where whole files are missing."""
        found.sort(key=lambda segment: (segment.first, self._directories.index(segment.directory)))
        joined: list[Segment] = []
        for segment in found:
            while joined and joined[-1].last >= segment.first:
                if joined[-1].last >= segment.last and joined[-1].directory == segment.directory:
                    break  # merged into the one before; the crash came before the unlink
                joined[-1].last = segment.first - 1  # the later storage took the records of a failed write
                if joined[-1].last < joined[-1].first:
                    joined.pop()
            else:
                expected = joined[-1].last + 1 if joined else min(segment.first, ledger.durable_through + 1)
                if segment.first > expected:
                    joined.append(self._missing(ledger, expected, segment.first - 1))
                joined.append(segment)
                continue
            remove(segment.path)
        return joined

    def _missing(self, ledger: Ledger, first: int, last: int) -> Segment:
        self._damage.append(f"the records {first} to {last} are missing")
        header = SegmentHeader(ledger.epoch, first, self._clocks.wall_ns, self._clocks.boot_id)
        return write_segment(self._storage, header, [corrupt(first, last, self._clocks)])

    def _readable(self, window: Segment, ledger: Ledger) -> Segment | None:
        try:
            return self._read(window, ledger)
        except OSError as error:
            self._damage.append(str(error))
            return None

    def _adopt(self, recovered: Recovered, orphans: list[tuple[Path, str, int]]) -> None:
        """Carry over the records of epochs that no ledger speaks of: the ledger was lost, or the disk was away."""
        for epoch in dict.fromkeys(epoch for _, epoch, _ in orphans):
            probes = [Segment(path, epoch, first, _FAR) for path, other, first in orphans if other == epoch]
            ledger = Ledger(epoch)
            found = [segment for probe in probes if (segment := self._readable(probe, ledger))]
            self._inventories.clear()
            if not found:
                continue
            found.sort(key=lambda segment: segment.first)
            first, last = found[0].first, max(segment.last for segment in found)
            recovered.ledger = recovered.ledger.adopting(epoch, first, last, recovered.next_sequence)
            shift = recovered.ledger.carried[-1].shift
            for segment in found:
                segment.first, segment.last = segment.first - shift, segment.last - shift
                segment.shift = shift
            recovered.segments = self._join([*recovered.segments, *found], recovered.ledger)
            self._damage.append(f"epoch {epoch} was carried over: {last - first + 1} records")
