"""What a batch of records means, before the store is asked. Pure.

A batch is contiguous: each record's sequence is one more than the one before it. A `Gap` with `from_sequence` > 0
stands for `from_sequence` to `to_sequence`; the record after it has `to_sequence` + 1.
"""

from dataclasses import dataclass, field
from typing import Any

from google.protobuf.message import DecodeError

from fsmend_collector.errors import ProtocolError
from fsmend_proto.v1 import event_pb2, link_pb2, record_pb2

MAX_SIGNED = (1 << 63) - 1
# A record this large never comes from an agent that keeps its own bounds; it is refused alone.
MAX_RECORD_BYTES = 3 << 20
# Agents send 500. An empty record takes two bytes on the wire and a row in memory, so bytes alone bound nothing.
MAX_BATCH_RECORDS = 8_192

# sequence, wall_ns, kind, severity, source, errno, filesystem_uuid, device_id, ino, count, command_id, record
EventRow = tuple[int, int, int, int, str, int, str, str, int, int, str, bytes]


@dataclass(frozen=True, slots=True)
class Other:
    """A record that is no event.

    Attributes:
        through: the last sequence that it accounts for.
        events_before: how many events of the plan come before it.
    """

    through: int
    sequence: int
    events_before: int
    record: record_pb2.Record
    raw: bytes


@dataclass(frozen=True, slots=True)
class Rejection:
    """One record that cannot be taken, whatever happens."""

    sequence: int
    reason: str


@dataclass(slots=True)
class Plan:
    """A decoded batch.

    Attributes:
        first: the first sequence that the batch accounts for.
        through: the last one; `first` - 1 when it accounts for none.
        undecoded: how many of the events stand for bytes that could not be decoded.
        rejection: the record at which the plan ends early.
    """

    epoch: str
    first: int
    through: int
    events: list[EventRow] = field(default_factory=list)
    others: list[Other] = field(default_factory=list)
    undecoded: int = 0
    rejection: Rejection | None = None

    def after(self, watermark: int) -> "Plan":
        """Return what of it the store does not have yet."""
        if self.first > watermark:
            return self
        events = [row for row in self.events if row[0] > watermark]
        known = len(self.events) - len(events)
        others = [
            Other(one.through, one.sequence, max(0, one.events_before - known), one.record, one.raw)
            for one in self.others
            if one.through > watermark
        ]
        # Only what is new counts: after a reconnect the same bytes come again.
        undecoded = (
            self.undecoded if not known else sum(row[2] == _UNDECODED and row[4] == "collector" for row in events)
        )
        return Plan(self.epoch, watermark + 1, max(self.through, watermark), events, others, undecoded, self.rejection)


def make_plan(batch: link_pb2.RecordBatch) -> Plan:
    """Decode a batch.

    Raises:
        ProtocolError: its records are not contiguous, or too many.
    """
    if len(batch.records) > MAX_BATCH_RECORDS:
        raise ProtocolError(f"batch of {len(batch.records)} records; at most {MAX_BATCH_RECORDS}")
    first = batch.first_sequence
    if not 0 < first <= MAX_SIGNED - len(batch.records):
        raise ProtocolError(f"batch begins at sequence {first}")
    plan = Plan(batch.epoch, first, first - 1)
    after_undecoded = False
    for raw in batch.records:
        expected = plan.through + 1
        if expected > MAX_SIGNED:
            raise ProtocolError(f"a record after {MAX_SIGNED}, the last sequence that there is")
        if len(raw) > MAX_RECORD_BYTES:
            plan.rejection = Rejection(expected, f"record of {len(raw)} bytes; at most {MAX_RECORD_BYTES}")
            break
        record, reason = _parse(raw)
        if record is not None and record.sequence == expected and record.HasField("event"):
            # The usual case, without another call.
            plan.events.append(_event_row(expected, record.event, raw))
            plan.through = expected
            after_undecoded = False
            continue
        if record is None:
            _add_undecoded(plan, expected, raw, reason)
            after_undecoded = True
            continue
        if after_undecoded and expected < record.sequence < MAX_SIGNED:
            # What could not be decoded may have been a gap that stood for many sequences.
            plan.through = record.sequence - 1
        after_undecoded = False
        _add(plan, record, raw)
    return plan


_UNDECODED = event_pb2.EVENT_KIND_UNDECODED
_parse_record = record_pb2.Record.FromString


def _parse(raw: bytes) -> tuple[record_pb2.Record | None, str]:
    """Return the record, or None and why its bytes cannot be read."""
    try:
        record = _parse_record(raw)
    except DecodeError as error:
        return None, f"not a record: {error}"
    if record.WhichOneof("body") is None:
        return None, "a record of a kind that this collector does not know"
    return record, ""


def _add(plan: Plan, record: record_pb2.Record, raw: bytes) -> None:
    """Append a decoded record."""
    expected = plan.through + 1
    sequence = record.sequence
    if sequence > MAX_SIGNED:
        raise ProtocolError(f"record {sequence} is past {MAX_SIGNED}, the last sequence that there is")
    through = expected
    gap = record.gap
    if record.HasField("gap") and gap.from_sequence and gap.to_sequence <= MAX_SIGNED:
        if not plan.events and not plan.others and gap.from_sequence < expected == plan.first <= gap.to_sequence:
            expected = plan.first = gap.from_sequence
        if gap.from_sequence <= expected <= gap.to_sequence:
            through = gap.to_sequence
            expected = sequence
    if sequence != expected:
        raise ProtocolError(f"record {sequence} where {expected} was due")
    if record.HasField("event"):
        plan.events.append(_event_row(sequence, record.event, raw))
        plan.through = expected
        return
    plan.others.append(Other(through, sequence, len(plan.events), record, raw))
    plan.through = through


def _event_row(sequence: int, event: event_pb2.Event, raw: bytes) -> EventRow:
    """Return the columns of one event; hot, so it reads no attribute that is not a column."""
    source, uuid, device, command = event.source, event.filesystem.uuid, event.device.id, event.command_id
    if "\0" in source or "\0" in uuid or "\0" in device or "\0" in command:
        # PostgreSQL takes no NUL in text.
        source, uuid, device, command = (text.replace("\0", "\ufffd") for text in (source, uuid, device, command))
    wall_ns, ino, count = event.clocks.wall_ns, event.inode.ino, event.count
    return (
        sequence,
        wall_ns if wall_ns <= MAX_SIGNED else MAX_SIGNED,  # noqa: FURB136  min() takes three times as long
        event.kind,
        event.severity,
        source,
        event.errno,
        uuid,
        device,
        ino if ino <= MAX_SIGNED else ino - (1 << 64),
        count if count <= MAX_SIGNED else MAX_SIGNED,  # noqa: FURB136
        command,
        raw,
    )


def _add_undecoded(plan: Plan, sequence: int, raw: bytes, reason: str) -> None:
    """Keep bytes that are no record as an event of their own, so that an operator sees them."""
    detail = event_pb2.UndecodedDetail(interface="record", raw=raw, raw_size=len(raw), reason=reason)
    event = event_pb2.Event(
        kind=_UNDECODED,
        severity=event_pb2.SEVERITY_WARNING,
        source="collector",
        count=1,
        message=f"undecoded record of {len(raw)} bytes: {reason}",
        signature="undecoded record",
        undecoded=detail,
    )
    wrapped: Any = record_pb2.Record(sequence=sequence, event=event)
    plan.events.append(_event_row(sequence, event, wrapped.SerializeToString()))
    plan.undecoded += 1
    plan.through = sequence
