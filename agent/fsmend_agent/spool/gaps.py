"""What a record weighs when space runs out, and the Gap that takes an evicted record's place: pure, no I/O."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from google.protobuf.message import DecodeError as ProtobufDecodeError

from fsmend_agent.spool.frame import Frame
from fsmend_proto.v1 import event_pb2, record_pb2
from fsmend_proto.v1.event_pb2 import Clocks

# The order of eviction. An event weighs what its severity says; between them stand the inventories, of which only the
# newest says anything that a later one does not.
WEIGHT_INFO = 1
WEIGHT_NOTICE = 2
WEIGHT_INVENTORY = 3
WEIGHT_WARNING = 4
WEIGHT_ERROR = 5
WEIGHT_CRITICAL = 6
WEIGHT_LATEST_INVENTORY = 7
WEIGHT_COMMAND_UPDATE = 8
WEIGHT_GAP = 9
EVICTION_ORDER = (
    WEIGHT_INFO,
    WEIGHT_NOTICE,
    WEIGHT_INVENTORY,
    WEIGHT_WARNING,
    WEIGHT_ERROR,
    WEIGHT_CRITICAL,
    WEIGHT_LATEST_INVENTORY,
    WEIGHT_COMMAND_UPDATE,
    WEIGHT_GAP,
)
_BY_SEVERITY = {
    event_pb2.SEVERITY_INFO: WEIGHT_INFO,
    event_pb2.SEVERITY_NOTICE: WEIGHT_NOTICE,
    event_pb2.SEVERITY_ERROR: WEIGHT_ERROR,
    event_pb2.SEVERITY_CRITICAL: WEIGHT_CRITICAL,
}
_BY_BODY = {
    "inventory": WEIGHT_INVENTORY,
    "command_update": WEIGHT_COMMAND_UPDATE,
    "gap": WEIGHT_GAP,
}
# Names that are no EventKind, in Gap.lost_by_kind.
KIND_UNREADABLE = "UNREADABLE"
_MAX_KINDS = 256


def weight_of(record: record_pb2.Record) -> int:
    """Return the weight of a record; a severity that is not known weighs as a warning."""
    body = record.WhichOneof("body")
    if body == "event":
        return _BY_SEVERITY.get(record.event.severity, WEIGHT_WARNING)
    return _BY_BODY.get(body or "", WEIGHT_WARNING)


@dataclass(slots=True)
class Loss:
    """Count what was lost in one run of sequences."""

    reason: "record_pb2.GapReason.ValueType"
    first: int
    last: int
    lost: int = 0
    exact: bool = True
    by_kind: Counter[str] = field(default_factory=Counter)
    non_durable: bool = False

    def add(self, payload: bytes) -> None:
        """Count one record: the occurrences that an event stands for, what a Gap says, or one."""
        try:
            record = record_pb2.Record.FromString(payload)
        except ProtobufDecodeError:
            self._count(KIND_UNREADABLE, 1)
            self.exact = False
            return
        self.non_durable |= record.non_durable
        body = record.WhichOneof("body")
        if body == "event":
            self._count(_kind_name(record.event.kind), max(1, record.event.count))
        elif body == "gap":
            self._add_gap(record.gap)
        else:
            self._count((body or "empty").upper(), 1)

    def _add_gap(self, gap: record_pb2.Gap) -> None:
        self.exact &= gap.lost_is_exact
        for kind, lost in gap.lost_by_kind.items():
            self.by_kind[self._bounded(kind)] += lost
        self.lost += gap.lost

    def _count(self, kind: str, lost: int) -> None:
        self.lost += lost
        self.by_kind[self._bounded(kind)] += lost

    def _bounded(self, kind: str) -> str:
        return kind if kind in self.by_kind or len(self.by_kind) < _MAX_KINDS else "OTHER"

    def frame(self, clocks: Clocks, message: str = "") -> Frame:
        """Return the Gap record that stands for the run."""
        gap = record_pb2.Gap(
            reason=self.reason,
            clocks=clocks,
            from_sequence=self.first,
            to_sequence=self.last,
            lost=min(self.lost, (1 << 64) - 1),
            lost_is_exact=self.exact,
            lost_by_kind={kind: min(lost, (1 << 64) - 1) for kind, lost in self.by_kind.items()},
            source="spool",
            message=message,
        )
        record = record_pb2.Record(sequence=self.first, gap=gap, non_durable=self.non_durable)
        seconds = min(clocks.wall_ns // 1_000_000_000, 0xFFFFFFFF)
        return Frame(self.first, self.last, WEIGHT_GAP, seconds, record.SerializeToString())


def _kind_name(kind: "event_pb2.EventKind.ValueType") -> str:
    try:
        return event_pb2.EventKind.Name(kind)
    except ValueError:
        return f"EVENT_KIND_{int(kind)}"


def is_replacement(frame: Frame, reason: "record_pb2.GapReason.ValueType") -> bool:
    """Tell whether a frame is a Gap of that reason that stands for sequences, so that its neighbours may join it."""
    if frame.weight != WEIGHT_GAP:
        return False
    try:
        gap = record_pb2.Record.FromString(frame.payload).gap
    except ProtobufDecodeError:
        return False
    return gap.reason == reason and gap.from_sequence == frame.first and gap.to_sequence == frame.last


def evict(
    frames: Iterable[Frame],
    chosen: Callable[[Frame], bool],
    reason: "record_pb2.GapReason.ValueType",
    clocks: Clocks,
) -> Iterator[Frame]:
    """Yield the frames with every run of chosen ones replaced by one Gap; Gaps of the same reason beside it join in."""
    loss: Loss | None = None
    for frame in frames:
        if not chosen(frame) and not is_replacement(frame, reason):
            if loss is not None:
                yield loss.frame(clocks)
                loss = None
            yield frame
            continue
        if loss is None:
            loss = Loss(reason, frame.first, frame.last)
        loss.last = frame.last
        loss.add(frame.payload)
    if loss is not None:
        yield loss.frame(clocks)


def clip(frame: Frame, from_sequence: int) -> Frame:
    """Return the part of a Gap from `from_sequence` on; what was lost in that part is known as a lower bound only."""
    record = record_pb2.Record.FromString(frame.payload)
    lost = frame.last - from_sequence + 1
    loss = Loss(record.gap.reason, from_sequence, frame.last, lost, exact=False, non_durable=record.non_durable)
    return loss.frame(record.gap.clocks, record.gap.message)._replace(written_seconds=frame.written_seconds)


def renumber(frame: Frame, shift: int) -> Frame:
    """Return the same frame with `shift` taken off its sequences; bytes that are no Record become a Gap's business."""
    try:
        record = record_pb2.Record.FromString(frame.payload)
    except ProtobufDecodeError:
        return frame._replace(first=frame.first - shift, last=frame.last - shift)
    record.sequence = frame.first - shift
    if record.WhichOneof("body") == "gap" and record.gap.from_sequence:
        record.gap.from_sequence -= shift
        record.gap.to_sequence -= shift
    return Frame(
        frame.first - shift,
        frame.last - shift,
        frame.weight,
        frame.written_seconds,
        record.SerializeToString(),
    )


def as_now(frame: Frame, first: int, shift: int) -> Frame:
    """Return a file's frame under the sequences it has now, without the part of a Gap before `first`."""
    if frame.first - shift < first:
        frame = clip(frame, first + shift)
    return renumber(frame, shift) if shift else frame


def fill_holes(frames: Iterable[Frame], first: int, last: int, clocks: Clocks) -> Iterator[Frame]:
    """Yield the frames from `first` to `last`, with a Gap wherever sequences are missing between them."""
    expected = first
    for frame in frames:
        if frame.first > expected:
            yield corrupt(expected, frame.first - 1, clocks)
        yield frame
        expected = frame.last + 1
    if expected <= last:
        yield corrupt(expected, last, clocks)


def corrupt(first: int, last: int, clocks: Clocks) -> Frame:
    """Return the Gap for sequences whose records did not pass their checksum, or whose file is gone."""
    loss = Loss(record_pb2.GAP_REASON_SPOOL_CORRUPT, first, last, last - first + 1, exact=False)
    return loss.frame(clocks, f"records {first} to {last} of the spool were damaged or missing")


def lost_earlier(first: int, last: int, clocks: Clocks) -> Frame:
    """Return the Gap for sequences that were acknowledged and forgotten, should they be asked for again."""
    loss = Loss(record_pb2.GAP_REASON_SPOOL_AGED, first, last, exact=False)
    return loss.frame(clocks, "acknowledged earlier, and kept no longer")


def rejected(frame: Frame, reason: str, clocks: Clocks) -> Frame:
    """Return the Gap that takes the place of a record that the collector refused."""
    loss = Loss(record_pb2.GAP_REASON_REJECTED, frame.first, frame.last)
    loss.add(frame.payload)
    return loss.frame(clocks, reason[:1000])


def unreadable(first: int, last: int, clocks: Clocks) -> Frame:
    """Return the Gap for records that the disk under the spool does not give back."""
    loss = Loss(record_pb2.GAP_REASON_SPOOL_IO, first, last, last - first + 1, exact=False)
    return loss.frame(clocks, f"the disk under the spool failed to read the records {first} to {last}")
