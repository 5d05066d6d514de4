"""Watch two kernel trace events that are never rate-limited: block_rq_error and ext4_error.

The source has a tracefs instance of its own and removes it when it ends. What the rings overwrote becomes a Gap, with
the count of the rings' own statistics.
"""

import asyncio
import errno
from collections.abc import Iterator
from typing import TYPE_CHECKING

from fsmend_agent.errors import DecodeError
from fsmend_agent.event import undecoded
from fsmend_agent.kernel import trace
from fsmend_agent.kernel.trace_names import FunctionNames
from fsmend_agent.kernel.trace_page import decode_page
from fsmend_agent.kernel.trace_records import (
    BlockRequestError,
    Ext4Error,
    TraceEvent,
    block_request_error,
    ext4_error,
)
from fsmend_agent.sources import Source, SourceUnavailableError, Watch, _trace_layout
from fsmend_agent.sources._forms import Meaning
from fsmend_agent.sources._forms_block import BLOCK_STATUS
from fsmend_agent.sources._losses import Losses
from fsmend_agent.sources._units import Units
from fsmend_proto.v1 import event_pb2 as pb
from fsmend_proto.v1 import inventory_pb2, record_pb2

if TYPE_CHECKING:
    from pathlib import Path

    from fsmend_agent.event import Clock

PAGES_PER_TURN = 8
"""Pages read from each CPU (some 100 events each) before other tasks get their turn."""

STATS_SECONDS = 30.0
"""How often the rings' statistics are read without a reason; a page that tells of a loss is one."""

_BLOCK_BY_ERRNO: dict[int, Meaning] = {meaning.errno: meaning for meaning in reversed(BLOCK_STATUS.values())}
_BLOCK_UNKNOWN = Meaning(pb.EVENT_KIND_DEVICE_IO_ERROR, pb.SEVERITY_ERROR)
_ALWAYS_BENIGN = frozenset({errno.EAGAIN})
_NOT_DONE_IS_FINE = frozenset({errno.EOPNOTSUPP, errno.EINVAL, errno.EREMOTEIO, errno.ENOSPC})
_SECTOR_LIMIT = 2**63
_TIME_LIMIT_NS = 2**62  # damaged pages name times that no protobuf field holds
_ERRNO_MAX = 4095


class TraceSource(Source):
    """The trace events of the block layer and ext4."""

    name = "trace"
    covers = "every failed block request with its sectors, every ext4 error with its place in the code"

    def __init__(self, watch: Watch) -> None:
        super().__init__(watch)
        self._lost_before = 0

    @classmethod
    def probe(cls) -> inventory_pb2.Capability:
        """Say whether tracefs is there, and which of the two events."""
        try:
            root = trace.find_tracefs()
            missing = [
                name for name in ("block/block_rq_error", "ext4/ext4_error") if not (root / "events" / name).exists()
            ]
        except OSError as error:
            return inventory_pb2.Capability(name="source.trace", available=False, reason=str(error))
        reason = f"without {', '.join(missing)}" if missing else cls.covers
        return inventory_pb2.Capability(name="source.trace", available=len(missing) < 2, reason=reason)

    async def run(self) -> None:
        """Follow the rings until cancelled, then remove the instances."""
        try:
            root = trace.find_tracefs()
            trace.remove_stale(root)
            names = FunctionNames(root)
        except OSError as error:
            raise SourceUnavailableError(f"tracefs: {error}") from error
        try:
            await self._follow(root, names)
        finally:
            names.close()

    async def _follow(self, root: "Path", names: FunctionNames) -> None:
        loop = asyncio.get_running_loop()
        instance = trace.TraceInstance(root)
        units, losses = Units(self.watch), Losses(self.watch.gap, self._gap)
        broken: asyncio.Future[None] = loop.create_future()
        self._lost_before = 0

        def switch_on(*_changes: object) -> None:
            # Again at each change of the mount table: the first mount may have loaded ext4's module.
            try:
                names.enable()
                instance.enable("ext4", "ext4_error")
            except (OSError, DecodeError) as error:
                if not broken.done():
                    broken.set_exception(error)

        def drain() -> None:
            try:
                self._drain(instance, names, units, losses)
            except Exception as error:  # supervisor: what a callback meets ends its source, not more  # noqa: BLE001
                if not broken.done():
                    broken.set_exception(error)

        unsubscribe = self.watch.filesystems.subscribe(switch_on)
        try:
            switch_on()
            instance.enable("block", "block_rq_error")
            loop.add_reader(instance.fileno(), drain)
            while not broken.done():
                await asyncio.wait({broken}, timeout=STATS_SECONDS)
                self._check_losses(instance, losses)
            broken.result()
        finally:
            unsubscribe()
            loop.remove_reader(instance.fileno())
            losses.close()
            units.close()
            instance.close()

    def replay(self, raw: bytes) -> Iterator[pb.Event]:
        """Convert one page of a ring of Linux 6.18."""
        units = Units(self.watch)
        try:
            for event in _replay_page(raw):
                if isinstance(event, DecodeError):
                    yield undecoded("trace", self.watch.clock.now(), "trace page", event.raw, event.reason)
                elif (found := self._convert(event, None, units)) is not None:
                    yield found
        finally:
            units.close()

    def _drain(self, instance: trace.TraceInstance, names: FunctionNames, units: Units, losses: Losses) -> None:
        batch = instance.read(PAGES_PER_TURN)
        names.learn(batch.events)
        for found in self._fold(batch.events, names, units):
            units.emit(found)
        for error in batch.undecoded:
            self.watch.emit(undecoded("trace", self.watch.clock.now(), "trace page", error.raw, error.reason))
        if batch.lost or batch.lost_unknown:
            self._check_losses(instance, losses)

    def _fold(self, events: list[TraceEvent], names: FunctionNames, units: Units) -> Iterator[pb.Event]:
        """Yield the events of one read. ext4_errors of one place differ in nothing but time, so they become one event.

        With that a storm's cost is that of taking the pages apart.
        """
        folded: dict[tuple[object, ...], tuple[list[int], TraceEvent]] = {}
        for event in events:
            if event.name != "ext4_error":
                found = self._convert(event, None, units)
                if found is not None:
                    yield found
                continue
            key = (event.fields.get("dev"), event.fields.get("function"), event.fields.get("line"))
            kept = folded.get(key)
            if kept is None:
                kept = folded[key] = ([], event)
            kept[0].append(event.timestamp_ns)
        for times_ns, event in folded.values():
            found = self._convert(event, names.name(event), units)
            if found is not None and len(times_ns) > 1:
                found.count = len(times_ns)
                found.last.CopyFrom(self.watch.clock.at(min(times_ns[-1], _TIME_LIMIT_NS)))
            if found is not None:
                yield found

    def _convert(self, event: TraceEvent, function: str | None, units: Units) -> pb.Event | None:
        """Return an event; None for a request that failed without anything being wrong."""
        clock = self.watch.clock
        try:
            if event.name == "ext4_error":
                return from_ext4_error(ext4_error(event, function), units, clock)
            return from_block_error(block_request_error(event), _ioprio(event), units, clock)
        except DecodeError as error:
            return undecoded("trace", clock.now(), "trace event", error.raw, error.reason)

    def _check_losses(self, instance: trace.TraceInstance, losses: Losses) -> None:
        """Report what the rings count as lost since the last look."""
        lost = sum(stats.lost for stats in instance.stats())
        if lost > self._lost_before:
            losses.add(lost - self._lost_before, is_exact=True)
        self._lost_before = lost

    def _gap(self, lost: int, is_exact: bool) -> record_pb2.Gap:
        return record_pb2.Gap(
            reason=record_pb2.GAP_REASON_RING_OVERRUN,
            clocks=self.watch.clock.now(),
            lost=lost,
            lost_is_exact=is_exact,
            source="trace",
            message=f"{lost} trace events were overwritten before they were read",
        )


def from_ext4_error(record: Ext4Error, units: Units, clock: "Clock") -> pb.Event:
    """Convert an ext4_error; the kernel gives it no errno, no inode and no text."""
    place = f"{record.function or 'unknown function'}:{record.line}"
    event = pb.Event(
        source="trace",
        kind=pb.EVENT_KIND_FS_ERROR,
        severity=pb.SEVERITY_ERROR,
        clocks=clock.at(min(record.timestamp_ns, _TIME_LIMIT_NS)),
        count=1,
        message=f"ext4 error at {place}",
        signature=f"ext4_error {place}",
        ext4_error=pb.Ext4ErrorDetail(function=record.function or "", line=record.line),
    )
    unit = units.by_number(record.major, record.minor)
    unit.put_into(event)
    if unit.filesystem is None and unit.device is not None:  # being mounted: its name lets it be found in a moment
        event.filesystem.type, event.filesystem.device_name = "ext4", unit.device.name
    return event


def from_block_error(record: BlockRequestError, ioprio: int, units: Units, clock: "Clock") -> pb.Event | None:
    """Convert a failed request; None for a benign one."""
    if is_benign(record.operation, record.error):
        return None
    meaning = _BLOCK_BY_ERRNO.get(record.error, _BLOCK_UNKNOWN)
    kind = meaning.kind if meaning.kind != pb.EVENT_KIND_KERNEL_LOG else pb.EVENT_KIND_DEVICE_IO_ERROR
    reason = errno.errorcode.get(record.error, str(record.error))
    event = pb.Event(
        source="trace",
        kind=kind,
        severity=meaning.severity,
        clocks=clock.at(min(record.timestamp_ns, _TIME_LIMIT_NS)),
        count=1,
        errno=min(record.error, _ERRNO_MAX),
        message=f"{record.operation} of {record.sectors} sectors at {record.sector} failed: {reason}",
        signature=f"block_rq_error {_operation(record.operation) or 'F'} {reason}",
        block_request=pb.BlockRequestDetail(operation=record.operation, ioprio=ioprio),
    )
    unit = units.by_number(record.major, record.minor)
    if record.sector < _SECTOR_LIMIT:  # a flush has none
        event.sectors.start, event.sectors.count = record.sector, record.sectors
        unit = units.at_sector(unit, record.sector)
    unit.put_into(event)
    return event


def is_benign(operation: str, error: int) -> bool:
    """Tell whether a request failed without anything being wrong.

    EAGAIN answers REQ_NOWAIT: the caller tries again and waits. Discards, secure erases and write-zeroes are hints
    and short cuts: a device that cannot do them (EOPNOTSUPP), not there (EINVAL, EREMOTEIO: a SCSI target that refuses
    UNMAP) or not now (ENOSPC: a loop device on a full filesystem) loses nothing, and the caller writes zeroes instead.
    The same errors of a read, a write or a flush are real. Pass-through commands never come here (block/blk-mq.c).
    """
    return error in _ALWAYS_BENIGN or (error in _NOT_DONE_IS_FINE and _operation(operation) not in {"R", "W", ""})


def _operation(rwbs: str) -> str:
    """Return the operation's letter: R, W, D (discard), N (others); empty for a mere flush (blk_fill_rwbs)."""
    return rwbs.lstrip("F")[:1]


def _ioprio(event: TraceEvent) -> int:
    value = event.fields.get("ioprio", 0)
    return value if isinstance(value, int) else 0


def _replay_page(raw: bytes) -> Iterator[TraceEvent | DecodeError]:
    try:
        for record in decode_page(raw, _trace_layout.PAGE):
            is_block = len(record.data) >= _trace_layout.MIN_BLOCK_EVENT_BYTES
            layout = _trace_layout.BLOCK_RQ_ERROR if is_block else _trace_layout.EXT4_ERROR
            try:
                yield TraceEvent(layout.system, layout.name, layout.values(record.data), record.timestamp_ns, 0)
            except DecodeError as error:
                yield error
    except DecodeError as error:
        yield error
