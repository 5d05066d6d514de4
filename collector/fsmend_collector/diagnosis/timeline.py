"""The timeline of an incident, bounded."""

from fsmend_proto.v1 import incident_pb2

_KEPT_FIRST = 20
_KEPT = 200

EVIDENCE = "evidence"


class Timeline:
    """Keep what happened to an incident: the first entries and the latest, and one entry for the latest evidence."""

    def __init__(self) -> None:
        self._entries: list[incident_pb2.TimelineEntry] = []
        self._evidence: incident_pb2.TimelineEntry | None = None

    def add(self, wall_ns: int, what: str, text: str, command_id: str = "") -> None:
        """Add an entry; from the middle the oldest goes when there are too many."""
        self._entries.append(incident_pb2.TimelineEntry(wall_ns=wall_ns, what=what, text=text, command_id=command_id))
        if len(self._entries) > _KEPT:
            del self._entries[_KEPT_FIRST]

    def note_evidence(self, latest_ns: int, count: int) -> None:
        """Say when the latest evidence was, in the one entry that is for it."""
        self._evidence = incident_pb2.TimelineEntry(wall_ns=latest_ns, what=EVIDENCE, text=f"latest of {count} events")

    def entries(self) -> list[incident_pb2.TimelineEntry]:
        """Return the entries by time."""
        rows = [*self._entries, *([self._evidence] if self._evidence else [])]
        return sorted(rows, key=lambda entry: entry.wall_ns)

    def restore(self, entries: list[incident_pb2.TimelineEntry]) -> int:
        """Take back a stored timeline; return the time of the latest evidence, 0: none."""
        self._entries = [entry for entry in entries if entry.what != EVIDENCE]
        latest = [entry for entry in entries if entry.what == EVIDENCE]
        self._evidence = latest[-1] if latest else None
        return latest[-1].wall_ns if latest else 0
