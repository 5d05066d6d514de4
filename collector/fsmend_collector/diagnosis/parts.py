"""Parts: which parts of an XFS are sick by the latest reading of each, with their health masks.

They are what a targeted repair is made of. What is kept depends on the set of the readings, not on their order.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from fsmend_collector.diagnosis.evidence import Evidence
from fsmend_proto.v1 import event_pb2, incident_pb2

PARTS_KEPT = 1_024


@dataclass(frozen=True, slots=True, order=True)
class Part:
    """One part: an XfsScope, and the number of the group or inode."""

    scope: int
    number: int


@dataclass(frozen=True, slots=True, order=True)
class Reading:
    """What was told of a part, and when, by the collector's clock and by the host's."""

    time_ns: int
    host_ns: int
    mask: int
    generation: int = 0
    path: bytes = b""


class Parts:
    """Collect the parts of one incident."""

    __slots__ = ("_ever", "_readings")

    def __init__(self) -> None:
        self._readings: dict[Part, Reading] = {}
        self._ever: dict[Part, int] = {}

    def take(self, evidence: Evidence) -> None:
        """Take the mask that a finding tells, if it tells one."""
        if evidence.xfs_scope:
            new = Reading(evidence.time_ns, evidence.host_ns, evidence.xfs_sick, evidence.generation, evidence.path)
            self._take(_part(evidence.xfs_scope, evidence.ino, evidence.xfs_number), new)

    def take_row(self, place: incident_pb2.Place, time_ns: int) -> None:
        """Take back a row of a stored incident."""
        if place.xfs_scope:
            new = Reading(time_ns, 0, place.xfs_sick, place.generation, place.path)
            self._take(_part(place.xfs_scope, place.ino, place.xfs_number), new)

    def _take(self, part: Part, new: Reading) -> None:
        if part in self._readings or len(self._readings) < PARTS_KEPT:
            self._readings[part] = max(self._readings.get(part, new), new)
            self._ever[part] = self._ever.get(part, 0) | new.mask

    def onto(self, rows: Sequence[incident_pb2.Place], limit: int, *, ever: bool = False) -> list[incident_pb2.Place]:
        """Return the rows with the sick parts among them, in front: an inode's mask in its own row.

        Args:
            rows: of the other evidence; not changed.
            limit: how many rows to return.
            ever: what was sick at any time, and not only what is.
        """
        readings = self._readings
        if ever:
            readings = {part: replace(reading, mask=self._ever[part]) for part, reading in readings.items()}
        sick = {part: reading for part, reading in readings.items() if reading.mask}
        inodes = {part.number: part for part in sick if part.scope == event_pb2.XFS_SCOPE_INODE}
        front = [self._row(part, sick[part]) for part in sorted(sick) if part not in inodes.values()]
        for row in rows:
            part = inodes.pop(row.ino, None) if row.ino else None
            if part is None:
                front.append(row)
                continue
            merged = self._row(part, sick[part])
            merged.MergeFrom(row)
            front.append(merged)
        front += [self._row(part, sick[part]) for part in sorted(inodes.values())]
        return sorted(front, key=lambda row: not row.xfs_sick)[:limit]

    @staticmethod
    def _row(part: Part, reading: Reading) -> incident_pb2.Place:
        row = incident_pb2.Place(xfs_scope=part.scope, xfs_sick=reading.mask)  # type: ignore[arg-type]
        if part.scope == event_pb2.XFS_SCOPE_INODE:
            row.ino, row.generation, row.path = part.number, reading.generation, reading.path
        else:
            row.xfs_number = part.number
        return row


def _part(scope: int, ino: int, number: int) -> Part:
    return Part(scope, ino if scope == event_pb2.XFS_SCOPE_INODE else number)
