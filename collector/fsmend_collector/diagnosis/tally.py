"""The tally of one fault: exact counts, without counting one error once per source that saw it.

Every value here is a function of the *set* of the evidence: sums over distinct events, minima, maxima, the earliest of
competing values, the first hundred by time. So duplicates, reordering and lateness change nothing.
"""

from bisect import insort
from collections.abc import Mapping
from types import MappingProxyType

from fsmend_collector.diagnosis.config import SECONDS_NS
from fsmend_collector.diagnosis.evidence import Evidence
from fsmend_proto.v1 import event_pb2

EVIDENCE_LISTED = 100
_SEEN_KEPT = 100_000
_LARGEST_COUNT = 2**63 - 1  # what every store can hold, whatever an agent claims

_NO_TEXT: Mapping[str, tuple[int, str]] = MappingProxyType({})
_NO_READINGS: Mapping[str, dict[int, int]] = MappingProxyType({})
_NO_DEVID: Mapping[int, int] = MappingProxyType({})
_NO_ERRORS: Mapping[str, int] = MappingProxyType({})

_NO_NUMBER: frozenset[int] = frozenset()
_NO_NAME: frozenset[str] = frozenset()


class Tally:
    """Count the evidence of one fault. There are as many as units fail, so what stays empty in most takes no room."""

    __slots__ = (
        "_counted",
        "_counts",
        "_device",
        "_device_name",
        "_devices",
        "_earliest",
        "_first",
        "_host",
        "_host_ns",
        "_lateness_ns",
        "_mount_point",
        "_place",
        "_read_before",
        "_readings",
        "_seen",
        "base",
        "base_sources",
        "device_errors",
        "devids",
        "errnos",
        "evidence_count",
        "filesystems",
        "latest_ns",
        "live",
        "onset_ns",
        "severity",
    )

    def __init__(self, lateness_seconds: int) -> None:
        self._lateness_ns = lateness_seconds * SECONDS_NS
        self._seen: dict[str, int] = {}
        self._host = ""
        self._host_ns = 0
        self._earliest = _NO_TEXT
        self._mount_point: tuple[int, bytes] | None = None
        self._first: list[tuple[int, str]] | None = None  # while all ids are kept, they say it themselves
        self.base = 0  # occurrences before a restart of the collector, and who saw them
        self.evidence_count = 0
        self.onset_ns = 0
        self.latest_ns = 0
        self._place = ("", "")  # source and form of the first, and their count; most units have no other
        self._counted = 0
        self._counts: dict[tuple[str, str], int] | None = None  # of each other source and form
        self._readings = _NO_READINGS
        self._read_before = self.base_sources = _NO_NAME
        self.errnos = _NO_NUMBER
        self.filesystems: dict[str, str] = {}
        self._device = self._device_name = ""  # the first; most units have no other
        self._devices: dict[str, str] | None = None
        self.device_errors = _NO_ERRORS
        self.devids = _NO_DEVID
        self.severity: event_pb2.Severity.ValueType = event_pb2.SEVERITY_UNSPECIFIED
        self.live = False

    def seen(self, event_id: str) -> bool:
        """Say whether the event was counted already."""
        return event_id in self._seen

    def earliest_after(self, time_ns: int) -> int:
        """Return the earliest time after another of an event that is remembered, 0: there is none."""
        return min((one for one in self._seen.values() if one > time_ns), default=0)

    def add(self, evidence: Evidence, latest_ns: int) -> None:
        """Count a finding that was not seen before; `latest_ns` is the finding's own."""
        self._remember(evidence.event_id, evidence.time_ns)
        self.evidence_count += 1
        self._count(evidence)
        onset_ns = evidence.onset_ns
        if onset_ns < self.onset_ns or not self.onset_ns:
            self.onset_ns = onset_ns
        self.latest_ns = max(self.latest_ns, latest_ns)
        if evidence.errno and evidence.errno not in self.errnos:
            self.errnos |= {evidence.errno}
        self.severity = max(self.severity, evidence.severity)
        self.live = self.live or not evidence.before_agent
        self._take_names(evidence)

    def _count(self, evidence: Evidence) -> None:
        """Count by source. A reading from before the agent is a total: an agent that starts twice reports it twice."""
        if evidence.reading is not None:
            totals = self._readings.get(evidence.source)
            if totals is None:
                totals = {}
                self._readings = {**self._readings, evidence.source: totals}
            totals[evidence.devid] = max(totals.get(evidence.devid, 0), evidence.reading)
        if evidence.before_agent and evidence.reading is not None:
            self._read_before |= {evidence.source}
            return
        place = (evidence.source, evidence.form)
        if not self._counted:
            self._place = place
        if place == self._place:
            self._counted += evidence.count
            return
        if self._counts is None:
            self._counts = {}
        self._counts[place] = self._counts.get(place, 0) + evidence.count

    def _all_counts(self) -> dict[tuple[str, str], int]:
        """Return the count of each source and form."""
        first = {self._place: self._counted} if self._counted else {}
        return {**first, **(self._counts or {})}

    def _take_names(self, evidence: Evidence) -> None:
        if evidence.host_name and (not self._host_ns or evidence.time_ns <= self._host_ns):
            self.take_host(evidence.host_name, evidence.time_ns)
        if evidence.filesystem_type:
            self.name("filesystem_type", evidence.filesystem_type, evidence.time_ns)
        if evidence.filesystem_device:
            self.name("filesystem_device", evidence.filesystem_device, evidence.time_ns)
        if evidence.device_name:
            self.name("device_name", evidence.device_name, evidence.time_ns)
        if evidence.mount_point:
            new = (evidence.time_ns, evidence.mount_point)
            self._mount_point = min(self._mount_point or new, new)
        if evidence.filesystem_uuid:
            kind = self.filesystems.get(evidence.filesystem_uuid, "")
            self.filesystems[evidence.filesystem_uuid] = max(kind, evidence.filesystem_type)
        if evidence.device_id and (evidence.device_name or evidence.device_id != self._device):
            self.take_device(evidence.device_id, evidence.device_name)
        if evidence.devid:
            self.devids = {**self.devids, evidence.devid: self.devids.get(evidence.devid, 0) + evidence.count}
        if evidence.devid and evidence.device_id:
            errors = self.device_errors.get(evidence.device_id, 0) + evidence.count
            self.device_errors = {**self.device_errors, evidence.device_id: errors}

    def take_host(self, name: str, time_ns: int) -> None:
        """Keep the earliest name of the host."""
        if name and (not self._host or (time_ns, name) < (self._host_ns, self._host)):
            self._host, self._host_ns = name, time_ns

    @property
    def host_name(self) -> str:
        """Return the host's name, or an empty text."""
        return self._host

    @property
    def sources(self) -> frozenset[str]:
        """Return who saw it."""
        return self.base_sources | self._read_before | {source for source, _ in self._all_counts()}

    def take_device(self, device_id: str, name: str) -> None:
        """Keep a device, and the last by alphabet of its names."""
        if not self._device:
            self._device = device_id
        if device_id == self._device:
            if name:
                self._device_name = max(self._device_name, name)
            return
        if self._devices is None:
            self._devices = {}
        self._devices[device_id] = max(self._devices.get(device_id, ""), name)

    @property
    def devices(self) -> dict[str, str]:
        """Return the names of the devices by their ids, in a new table."""
        first = {self._device: self._device_name} if self._device else {}
        return {**first, **self._devices} if self._devices else first

    def name(self, field: str, value: str, time_ns: int) -> None:
        """Keep the earliest value of a field that is not empty."""
        known = self._earliest.get(field)
        if value and (known is None or (time_ns <= known[0] and (time_ns, value) < known)):
            self._earliest = {**self._earliest, field: (time_ns, value)}

    def named(self, field: str) -> str:
        """Return the value of a field, or an empty text."""
        return self._earliest[field][1] if field in self._earliest else ""

    def take_mount_point(self, mount_point: bytes, time_ns: int) -> None:
        """Take back the mount point of a stored incident."""
        self._mount_point = (time_ns, mount_point) if mount_point else None

    @property
    def mount_point(self) -> bytes:
        """Return where the filesystem is mounted, as the earliest event said."""
        return self._mount_point[1] if self._mount_point else b""

    @property
    def occurrences(self) -> int:
        """Count the errors: every source counts the same ones, so the largest count is the number."""
        if self._counts is None and not self._read_before:
            return min(self.base + self._counted, _LARGEST_COUNT)
        totals = [sum(self._readings[source].values()) for source in self._read_before]
        counts = self._all_counts()
        counted = [_errors(source, counts) for source in {source for source, _ in counts}]
        return min(max(self.base + max(counted, default=0), *totals, 0), _LARGEST_COUNT)

    @property
    def evidence(self) -> list[str]:
        """Return the first event ids by time."""
        rows = self._first
        if rows is None:
            rows = sorted(zip(self._seen.values(), self._seen, strict=True))
        return [event_id for _, event_id in rows[:EVIDENCE_LISTED]]

    def restore_evidence(self, event_ids: list[str], count: int, onset_ns: int) -> None:
        """Take back the evidence of a stored incident."""
        for event_id in event_ids:
            self._remember(event_id, onset_ns)
        self.evidence_count = count
        self.onset_ns = self.latest_ns = onset_ns

    def _remember(self, event_id: str, time_ns: int) -> None:
        """Keep the id for duplicates; what is older than the lateness window goes first."""
        self._seen[event_id] = time_ns
        if self._first is not None:
            insort(self._first, (time_ns, event_id))
            del self._first[EVIDENCE_LISTED:]
        elif len(self._seen) > EVIDENCE_LISTED:
            self._first = sorted(zip(self._seen.values(), self._seen, strict=True))[:EVIDENCE_LISTED]
        if len(self._seen) > _SEEN_KEPT:
            before = max(self._seen.values()) - self._lateness_ns
            kept = {key: value for key, value in self._seen.items() if value >= before}
            drop = max(len(kept) - _SEEN_KEPT // 2, 0)
            self._seen = dict(list(kept.items())[drop:])


def _errors(source: str, counts: Mapping[tuple[str, str], int]) -> int:
    """Return how many errors one source counted.

    One error may write a line of each of several forms, so the largest form counts. What an agent folded in a storm
    names no form any more, and is of errors that no other event of that source stands for.
    """
    forms = [count for (of, form), count in counts.items() if of == source and form]
    return counts.get((source, ""), 0) + max(forms, default=0)
