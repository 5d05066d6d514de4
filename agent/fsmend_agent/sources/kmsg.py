"""Watch the kernel log for lines about storage; the forms of line stand in the `_forms_…` modules.

The kernel rate-limits what it logs, so the counters of other sources are the truth and these events the detail. What
it says to have left out becomes a Gap, and so does a jump of the sequence.

The source starts at the end of the log: what was logged before the agent started is in the filesystems' own counters,
and to read the log back would send findings twice after each restart. When the source itself is started again it goes
on behind the last record that it saw. Records that a process wrote to /dev/kmsg have a facility above 0 and are
ignored: nobody but the kernel can report an error here.
"""

import asyncio
import os
from collections.abc import Iterator

from fsmend_agent.errors import DecodeError
from fsmend_agent.event import undecoded
from fsmend_agent.kernel import handles, kmsg
from fsmend_agent.kernel.kmsg import Lost
from fsmend_agent.sources import Source, SourceUnavailableError, Watch
from fsmend_agent.sources._lines import convert, family_of, log_lost
from fsmend_agent.sources._paths import PathResolver, Wanted
from fsmend_agent.sources._units import Units
from fsmend_proto.v1 import event_pb2 as pb
from fsmend_proto.v1 import inventory_pb2, record_pb2

BATCH_RECORDS = 256
"""Records read before other tasks get their turn."""


class KmsgSource(Source):
    """The kernel log."""

    name = "kmsg"
    covers = "what ext4, XFS, btrfs, the block layer, SCSI, ATA, NVMe and md write to the kernel log (rate-limited)"

    def __init__(self, watch: Watch) -> None:
        super().__init__(watch)
        self._last_sequence: int | None = None
        self._paths: PathResolver | None = None

    @classmethod
    def probe(cls) -> inventory_pb2.Capability:
        """Say whether the log may be read."""
        try:
            os.close(kmsg.open_log())
        except OSError as error:
            return inventory_pb2.Capability(name="source.kmsg", available=False, reason=str(error))
        return inventory_pb2.Capability(name="source.kmsg", available=True, reason=cls.covers)

    async def run(self) -> None:
        """Follow the log until cancelled."""
        try:
            fd = kmsg.open_log(from_start=self._last_sequence is not None)
        except OSError as error:
            raise SourceUnavailableError(f"{kmsg.KMSG}: {error.strerror}") from error
        units, loop = Units(self.watch), asyncio.get_running_loop()
        broken: asyncio.Future[None] = loop.create_future()
        self._paths = paths = PathResolver(self.watch.emit)
        unsubscribe = self.watch.filesystems.subscribe(
            lambda added, removed: paths.forget() if removed or not added else None
        )
        loop.add_reader(fd, self._drain, fd, units, broken)
        try:
            await broken
        finally:
            loop.remove_reader(fd)
            os.close(fd)
            unsubscribe()
            self._paths = None
            paths.close()
            units.close()

    def replay(self, raw: bytes) -> Iterator[pb.Event]:
        """Convert one record."""
        units = Units(self.watch)
        try:
            found = self._convert(raw, units)
        finally:
            units.close()
        if isinstance(found, pb.Event):
            yield found

    def _drain(self, fd: int, units: Units, broken: "asyncio.Future[None]") -> None:
        """Read what there is, up to a batch."""
        try:
            for _ in range(BATCH_RECORDS):
                raw = kmsg.read_record(fd)
                if raw is None:
                    return
                if not isinstance(raw, Lost):  # the next record's sequence tells how many were overwritten
                    self._take(raw, units)
        except Exception as error:  # supervisor: what a callback meets ends its source, not more  # noqa: BLE001
            if not broken.done():
                broken.set_exception(error)

    def _take(self, raw: bytes, units: Units) -> None:
        sequence = _sequence(raw)
        if sequence is not None:
            last, self._last_sequence = self._last_sequence, sequence
            if last is not None:
                if sequence <= last:
                    self._last_sequence = last
                    return  # seen before the source was started again
                if lost := kmsg.lost_between(last, sequence):
                    self.watch.gap(log_lost(self.watch.clock, lost, "kernel log records were overwritten"))
        found = self._convert(raw, units)
        if isinstance(found, pb.Event):
            self._send(found, units)
        elif found is not None:
            self.watch.gap(found)

    def _send(self, event: pb.Event, units: Units) -> None:
        """Send an event; where only this log names the inode (btrfs), look for its path first."""
        inode, uuid = event.inode, event.filesystem.uuid
        if self._paths is not None and event.filesystem.type == "btrfs" and inode.ino and inode.subvolume:
            filesystem = self.watch.filesystems.by_uuid(uuid)
            if filesystem is not None:
                self._paths.add(Wanted(event, filesystem, *handles.of_btrfs(inode.ino, inode.subvolume)))
                return
        units.emit(event)

    def _convert(self, raw: bytes, units: Units) -> pb.Event | record_pb2.Gap | None:
        """Return what a record means; None for what is not about storage."""
        start = raw.find(b";") + 1
        if not start or len(raw) > kmsg.READ_BYTES:
            return undecoded("kmsg", self.watch.clock.now(), "kmsg", raw, "no header")
        family = family_of(raw, start)
        if family is None:
            return None
        try:
            record = kmsg.decode(raw)
        except DecodeError as error:
            return undecoded("kmsg", self.watch.clock.now(), "kmsg", raw, error.reason)
        if record.facility:
            return None
        return convert(record, family, units, self.watch.clock)


def _sequence(raw: bytes) -> int | None:
    """Return a record's sequence number without decoding the rest; None when it has none."""
    parts = raw[:48].split(b",", 2)
    return int(parts[1]) if len(parts) == 3 and parts[1].isdigit() else None
