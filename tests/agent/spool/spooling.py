"""What the tests of the spool share."""

import contextlib
from dataclasses import dataclass, field

from fsmend_agent.spool import Spool, SpoolLimits
from fsmend_proto.v1 import command_pb2, event_pb2, inventory_pb2, record_pb2

BOOT_ID = "01234567-89ab-cdef-0123-456789abcdef"


@dataclass
class FakeClocks:
    """Clocks that a test sets."""

    wall_ns: int = 1_700_000_000_000_000_000

    def __call__(self):
        return event_pb2.Clocks(wall_ns=self.wall_ns, boot_ns=self.wall_ns, boot_id=BOOT_ID)


@dataclass
class Bench:
    """A spool in a temporary directory that can be opened again and again."""

    root: object
    limits: SpoolLimits = None
    clocks: FakeClocks = field(default_factory=FakeClocks)
    changes: list = field(default_factory=list)
    spool: Spool = None

    def __post_init__(self):
        self.limits = self.limits or limits(self.root)

    def open(self):
        self.abandon()
        self.spool = Spool.open(self.root / "spool", self.limits, clocks=self.clocks, on_change=self.changes.append)
        return self.spool

    def abandon(self):
        """Leave the spool as kill -9 would: nothing is written any more."""
        if self.spool:
            with contextlib.suppress(OSError):
                self.spool._close_writer()
                self.spool._reader.close()
            self.spool = None


def limits(root, **changes):
    values = {
        "max_bytes": 1 << 20,
        "segment_bytes": 1 << 16,
        "ballast_bytes": 1 << 16,
        "fallback_directory": root / "fallback",
        "fallback_max_bytes": 1 << 18,
    }
    return SpoolLimits(**{**values, **changes})


def event(text="x", severity=event_pb2.SEVERITY_ERROR, count=1, kind=event_pb2.EVENT_KIND_FS_ERROR):
    return record_pb2.Record(
        event=event_pb2.Event(kind=kind, severity=severity, source="test", message=text, count=count)
    )


def update(text="u"):
    return record_pb2.Record(command_update=command_pb2.CommandUpdate(command_id=text))


def inventory(name="h"):
    return record_pb2.Record(inventory=inventory_pb2.Inventory(host=inventory_pb2.Host(name=name)))


def gap(lost=3):
    return record_pb2.Record(
        gap=record_pb2.Gap(
            reason=record_pb2.GAP_REASON_KERNEL_OVERFLOW, lost=lost, lost_is_exact=True, source="fanotify"
        )
    )


def span(record):
    """Return how far a record reaches under the rule for Gaps."""
    stands_for_more = record.HasField("gap") and record.gap.from_sequence
    return record.gap.to_sequence if stands_for_more else record.sequence


def drain(spool, sequence=None, max_bytes=50_000, max_records=100):
    """Read all records from `sequence` on, and check that they are contiguous."""
    sequence = spool.oldest_sequence if sequence is None else sequence
    records = []
    while True:
        batch = spool.read(sequence, max_bytes, max_records)
        assert batch.first_sequence == sequence
        if not batch.records:
            assert sequence == spool.next_sequence
            return records
        for payload in batch.records:
            record = record_pb2.Record.FromString(payload)
            assert record.sequence == sequence
            if record.HasField("gap") and record.gap.from_sequence:
                assert record.gap.from_sequence == sequence
            sequence = span(record) + 1
            records.append(record)
        assert batch.next_sequence == sequence


def counted(records):
    """Return how many occurrences the records stand for."""
    return sum(record.event.count if record.HasField("event") else record.gap.lost for record in records)
