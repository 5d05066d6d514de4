"""Marks: when did a unit begin to fail? A function of the set of its errors, whatever their order."""

from bisect import bisect_left, insort
from dataclasses import dataclass, field

from fsmend_collector.diagnosis.groups.settings import HOUR_NS
from fsmend_collector.diagnosis.groups.views import Group, HostView

UnitKey = tuple[str, int, str, str]
"""Aspect, kind, agent, unit."""


@dataclass(slots=True, eq=False)
class Mark:
    """One unit that began to fail in one aspect.

    Attributes:
        time_ns: collector's wall clock of its first error after a quiet time.
        evidence: id of that event.
        signature: where in its code a filesystem fails; of several in the hour the first by name.
        groups: what the unit is in; keys: the same with the aspect.
        aspect: of the key.
        agent_id: whose unit it is.
        unit: agent and unit.
        identity: orders marks the same way in every process.
    """

    time_ns: int
    key: UnitKey
    evidence: str
    groups: tuple[Group, ...] = ()
    keys: tuple[tuple[str, Group], ...] = ()
    signature: str = ""
    aspect: str = field(init=False)
    agent_id: str = field(init=False)
    unit: tuple[str, str] = field(init=False)
    identity: tuple[int, UnitKey] = field(init=False)

    def __post_init__(self) -> None:
        """Take apart what is asked for often."""
        self.aspect, _, self.agent_id, _ = self.key
        self.unit = self.key[2:]
        self.identity = (self.time_ns, self.key)


@dataclass(slots=True)
class Sightings:
    """The errors of one unit in one aspect, the earliest of every hour; and the marks that follow from them.

    Attributes:
        signatures: hour → the first by name; empty for units that have none.
    """

    quiet_hours: int
    hours: list[int] = field(default_factory=list)
    first: dict[int, tuple[int, str]] = field(default_factory=dict)
    marks: dict[int, Mark] = field(default_factory=dict)
    signatures: dict[int, str] | None = None

    def sign(self, time_ns: int, signature: str) -> Mark | None:
        """Take the signature of an error; return the mark that has another one by it."""
        if self.signatures is None:
            self.signatures = {}
        hour = time_ns // HOUR_NS
        known = self.signatures.get(hour)
        if known is not None and known <= signature:
            return None
        self.signatures[hour] = signature
        mark = self.marks.get(hour)
        if mark is not None:
            mark.signature = signature
        return mark

    def signature(self, hour: int) -> str:
        """Return the signature of an hour; empty: none was seen."""
        return self.signatures.get(hour, "") if self.signatures else ""

    def add(self, time_ns: int, event_id: str) -> bool:
        """Take an error; say whether the marks may have changed."""
        hour = time_ns // HOUR_NS
        known = self.first.get(hour)
        new = (time_ns, event_id)
        if known is not None and known <= new:
            return False
        if known is None:
            insort(self.hours, hour)
        self.first[hour] = new
        return hour in self.marks or known is None

    def update(self, key: UnitKey) -> tuple[list[Mark], list[Mark]]:
        """Bring the marks in line with the errors; return those that went and those that came."""
        if len(self.hours) == 1 and not self.marks:
            hour = self.hours[0]
            self.marks[hour] = mark = Mark(
                self.first[hour][0], key, self.first[hour][1], signature=self.signature(hour)
            )
            return [], [mark]
        wanted = {}
        previous = None
        for hour in self.hours:
            if previous is None or hour - previous > self.quiet_hours:
                wanted[hour] = self.first[hour]
            previous = hour
        gone = [mark for hour, mark in self.marks.items() if wanted.get(hour) != (mark.time_ns, mark.evidence)]
        kept = {hour: mark for hour, mark in self.marks.items() if wanted.get(hour) == (mark.time_ns, mark.evidence)}
        come = {
            hour: Mark(time_ns, key, event_id, signature=self.signature(hour))
            for hour, (time_ns, event_id) in wanted.items()
            if hour not in kept
        }
        self.marks = {**kept, **come}
        return gone, list(come.values())

    def forget(self, before_ns: int) -> list[Mark]:
        """Forget hours before a time; return the marks that went. An hour that keeps a later one quiet stays."""
        keep = bisect_left(self.hours, before_ns // HOUR_NS)
        while 0 < keep < len(self.hours) and self.hours[keep] - self.hours[keep - 1] <= self.quiet_hours:
            keep -= 1
        old, self.hours = self.hours[:keep], self.hours[keep:]
        for hour in old:
            del self.first[hour]
            if self.signatures:
                self.signatures.pop(hour, None)
        return [self.marks.pop(hour) for hour in old if hour in self.marks]


@dataclass(slots=True)
class Journal:
    """What the scan must be given again to go on after a restart; the caller empties it into its store.

    Attributes:
        views: of hosts with faults.
        sightings: unit and hour → time and event id of the earliest error, and the signature of the hour.
    """

    views: dict[str, HostView] = field(default_factory=dict)
    sightings: dict[tuple[UnitKey, int], tuple[int, str, str]] = field(default_factory=dict)

    def note(self, key: UnitKey, time_ns: int, event_id: str, signature: str = "") -> None:
        """Note what an hour comes to now: its earliest error, and its signature."""
        place = (key, time_ns // HOUR_NS)
        known = self.sightings.get(place, (time_ns, event_id, signature))
        self.sightings[place] = (*min(known[:2], (time_ns, event_id)), signature)
