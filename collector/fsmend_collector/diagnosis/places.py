"""Places: what several interfaces say of where it broke, joined into one row each.

fanotify names inode and path, the trace event function and line, the kernel log inode, function and line. A row is
keyed by the inode where one is known. A code location that came without an inode belongs to the inode that was
reported nearest in time. What is kept depends on the set of the evidence, not on its order, up to `PLACES_KEPT`
places of each sort.
"""

from bisect import bisect_left, insort
from dataclasses import dataclass, field

from fsmend_collector.diagnosis.config import SECONDS_NS
from fsmend_collector.diagnosis.evidence import Evidence
from fsmend_proto.v1 import event_pb2, incident_pb2

PLACES_LISTED = 64
PLACES_KEPT = 4_096
_TIMES_KEPT = 16

_Code = tuple[str, int]
_InodeKey = tuple[int, int]  # subvolume, ino
_Sector = tuple[str, int]  # device, number


@dataclass(slots=True)
class _Times:
    """Keep the first few times at which something was seen."""

    ns: list[int] = field(default_factory=list)

    def add(self, time_ns: int) -> None:
        if time_ns not in self.ns:
            insort(self.ns, time_ns)
            del self.ns[_TIMES_KEPT:]

    def distance(self, other: "_Times") -> int:
        """Return the least distance between two sightings, in nanoseconds."""
        return min(abs(mine - theirs) for mine in self.ns for theirs in other.ns)


@dataclass(slots=True)
class _Inode:
    """What is known of one inode; of competing values the earliest stays, whatever the order of arrival."""

    times: _Times = field(default_factory=_Times)
    generation: tuple[int, int] | None = None
    path: tuple[int, bytes] | None = None
    code: tuple[int, _Code] | None = None

    def with_other(self, other: "_Inode") -> "_Inode":
        """Return what the two say together."""
        together = _Inode(_Times([*self.times.ns]))
        for time_ns in other.times.ns:
            together.times.add(time_ns)
        together.generation = min(filter(None, (self.generation, other.generation)), default=None)
        together.path = min(filter(None, (self.path, other.path)), default=None)
        together.code = min(filter(None, (self.code, other.code)), default=None)
        return together


@dataclass(slots=True)
class _Location:
    """A code location; `placed` when some report named its inode too."""

    times: _Times = field(default_factory=_Times)
    placed: bool = False


class Places:
    """Collect the places of one incident."""

    __slots__ = ("_codes", "_count", "_device", "_inodes", "_join_ns", "_sectors")

    def __init__(self, join_seconds: int) -> None:
        self._join_ns = join_seconds * SECONDS_NS
        self._inodes: dict[_InodeKey, _Inode] = {}
        self._codes: dict[_Code, _Location] = {}
        self._device: str | None = None
        self._sectors: dict[int | _Sector, tuple[int, int]] = {}  # of the device that was named first by number alone
        self._count: int | None = 0

    def add(self, evidence: Evidence) -> None:
        """Take the place that a finding names, if it names one."""
        if evidence.ino or evidence.function:
            self._add_named(evidence)
        elif evidence.sector is None:
            return
        if evidence.sector is not None and not evidence.ino:
            self._add_sector(evidence, evidence.sector)
        self._count = None

    def _add_named(self, evidence: Evidence) -> None:
        code = (evidence.function, evidence.line) if evidence.function else None
        if evidence.ino:
            self._add_inode(evidence, code)
        if code and (code in self._codes or len(self._codes) < PLACES_KEPT):
            location = self._codes.setdefault(code, _Location())
            location.times.add(evidence.time_ns)
            location.placed = location.placed or bool(evidence.ino)

    def _add_inode(self, evidence: Evidence, code: _Code | None) -> None:
        key = (evidence.subvolume, evidence.ino)
        if key not in self._inodes and len(self._inodes) >= PLACES_KEPT:
            return
        inode = self._inodes.setdefault(key, _Inode())
        now = evidence.time_ns
        inode.times.add(now)
        if evidence.generation:
            inode.generation = min(inode.generation or (now, evidence.generation), (now, evidence.generation))
        if evidence.path:
            inode.path = min(inode.path or (now, evidence.path), (now, evidence.path))
        if code:
            inode.code = min(inode.code or (now, code), (now, code))

    def _add_sector(self, evidence: Evidence, sector: int) -> None:
        device = evidence.device_id or evidence.device_name
        if self._device is None:
            self._device = device
        key = sector if device == self._device else (device, sector)
        known = self._sectors.get(key)
        if known is not None:
            self._sectors[key] = min(known[0], evidence.time_ns), max(known[1], evidence.sector_count)
        elif len(self._sectors) < PLACES_KEPT:
            self._sectors[key] = evidence.time_ns, evidence.sector_count

    def add_row(self, place: incident_pb2.Place, time_ns: int) -> None:
        """Take back a row of a stored incident."""
        evidence = Evidence(
            event_id="",
            agent_id="",
            host_name="",
            kind=event_pb2.EVENT_KIND_UNSPECIFIED,
            severity=event_pb2.SEVERITY_UNSPECIFIED,
            source="",
            time_ns=time_ns,
            received_ns=time_ns,
            ino=place.ino,
            generation=place.generation,
            path=place.path,
            function=place.function,
            line=place.line,
            sector=place.sectors.start if place.HasField("sectors") else None,
            sector_count=place.sectors.count,
        )
        self.add(evidence)

    def count(self) -> int:
        """Count the distinct places; at most `PLACES_KEPT` of each sort are told apart."""
        if self._count is None and not (self._inodes or self._codes):
            self._count = len(self._sectors)
        elif self._count is None:
            self._count = len(self._joined()) + len(self._loose_codes()[0]) + len(self._sectors)
        return self._count

    def write(self, incident: incident_pb2.Incident) -> None:
        """Put the first `PLACES_LISTED` places into the message of an incident, in the order of first sighting.

        They are made there: to keep them takes too much room, to copy them too much time.
        """
        rows = incident.places
        if self._inodes or self._codes:
            inodes = self._joined()
            listed = sorted(inodes, key=lambda key: (inodes[key].times.ns[0], key))
            loose, taken = self._loose_codes()
            for key in listed[:PLACES_LISTED]:
                self._write_inode(rows.add(ino=key[1]), inodes[key], taken)
            for function, line in loose[: PLACES_LISTED - len(rows)]:
                rows.add(function=function, line=line)
        if self._sectors:
            self._write_sectors(incident, PLACES_LISTED - len(rows))

    def _joined(self) -> dict[_InodeKey, _Inode]:
        """Return the inodes, each once: some lines of btrfs name an inode's subvolume and others do not."""
        full: dict[int, list[_InodeKey]] = {}
        for key in self._inodes:
            if key[0]:
                full.setdefault(key[1], []).append(key)
        joined = {key: inode for key, inode in self._inodes.items() if key[0] or key[1] not in full}
        for ino, keys in full.items():
            bare = self._inodes.get((0, ino))
            if bare is not None and len(keys) == 1:  # of several it is one, and nobody knows which
                joined[keys[0]] = joined[keys[0]].with_other(bare)
        return joined

    def _loose_codes(self) -> tuple[list[_Code], list[_Code]]:
        """Split the code locations into those that belong to no inode, and those that may."""
        seen = sorted(time for inode in self._inodes.values() for time in inode.times.ns)
        loose: list[_Code] = []
        taken: list[_Code] = []
        for code, location in sorted(self._codes.items(), key=lambda item: (item[1].times.ns[0], item[0])):
            placed = location.placed or any(self._near(time, seen) for time in location.times.ns)
            (taken if placed else loose).append(code)
        return loose, taken

    def _near(self, time_ns: int, seen: list[int]) -> bool:
        """Say whether one of the sorted times is within the join distance."""
        at = bisect_left(seen, time_ns - self._join_ns)
        return at < len(seen) and seen[at] <= time_ns + self._join_ns

    def _write_inode(self, row: incident_pb2.Place, inode: _Inode, codes: list[_Code]) -> None:
        row.generation = inode.generation[1] if inode.generation else 0
        row.path = inode.path[1] if inode.path else b""
        row.function, row.line = inode.code[1] if inode.code else self._nearest_code(inode, codes)

    def _nearest_code(self, inode: _Inode, codes: list[_Code]) -> _Code:
        near = [(self._codes[code].times.distance(inode.times), code) for code in codes]
        distance, code = min(near, default=(self._join_ns + 1, ("", 0)))
        return code if distance <= self._join_ns else ("", 0)

    def _write_sectors(self, incident: incident_pb2.Incident, limit: int) -> None:
        first = self._device or ""
        found = []
        for key, (time_ns, count) in self._sectors.items():
            device, sector = (first, key) if isinstance(key, int) else key
            found.append((time_ns, device, sector, count))
        found.sort()
        for _, _, sector, count in found[:limit]:
            sectors = incident.places.add().sectors
            sectors.start, sectors.count = sector, count
