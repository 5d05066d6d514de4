"""The timeline of an incident, bounded."""

from operator import attrgetter
from typing import NamedTuple

from fsmend_proto.v1 import incident_pb2

_KEPT_FIRST = 20
_KEPT = 200
_LONGEST_TEXT = 1_000  # hosts may make theirs as long as a message is

EVIDENCE = "evidence"


class _Entry(NamedTuple):
    """What happened once; a message takes ten times the room."""

    wall_ns: int
    what: str
    text: str
    command_id: str = ""


_wall_ns = attrgetter("wall_ns")


class Timeline:
    """Keep what happened to an incident: the first entries and the latest, and one entry for the latest evidence."""

    __slots__ = ("_entries", "_evidence")

    def __init__(self) -> None:
        self._entries: list[_Entry] = []
        self._evidence: tuple[int, str] | None = None

    def add(self, wall_ns: int, what: str, text: str, command_id: str = "") -> None:
        """Add an entry; from the middle the oldest goes when there are too many."""
        self._entries.append(_Entry(wall_ns, what, text[:_LONGEST_TEXT], command_id))
        if len(self._entries) > _KEPT:
            del self._entries[_KEPT_FIRST]

    def note_evidence(self, latest_ns: int, count: int) -> None:
        """Say when the latest evidence was, in the one entry that is for it."""
        self._evidence = (latest_ns, f"latest of {count} events")

    def write(self, incident: incident_pb2.Incident) -> None:
        """Put the entries into the message of an incident, by time."""
        rows = list(self._entries)
        if self._evidence:
            rows.append(_Entry(self._evidence[0], EVIDENCE, self._evidence[1]))
        rows.sort(key=_wall_ns)
        for wall_ns, what, text, command_id in rows:
            incident.timeline.add(wall_ns=wall_ns, what=what, text=text, command_id=command_id)

    def restore(self, entries: list[incident_pb2.TimelineEntry]) -> int:
        """Take back a stored timeline; return the time of the latest evidence, 0: none."""
        rows = [_Entry(one.wall_ns, one.what, one.text, one.command_id) for one in entries]
        self._entries = [row for row in rows if row.what != EVIDENCE]
        latest = [(row.wall_ns, row.text) for row in rows if row.what == EVIDENCE]
        self._evidence = latest[-1] if latest else None
        return latest[-1][0] if latest else 0
