"""Marks: when did a unit begin to fail? A function of the set of its errors, whatever their order."""

from bisect import bisect_left, insort
from dataclasses import dataclass, field

from fsmend_collector.diagnosis.groups.settings import HOUR_NS
from fsmend_collector.diagnosis.groups.views import Group

UnitKey = tuple[str, int, str, str]
"""Aspect, kind, agent, unit."""


@dataclass(slots=True, eq=False)
class Mark:
    """One unit that began to fail in one aspect.

    Attributes:
        time_ns: collector's wall clock of its first error after a quiet time.
        evidence: id of that event.
        groups: what the unit is in.
        spent: rates know it.
    """

    time_ns: int
    key: UnitKey
    evidence: str
    groups: tuple[Group, ...] = ()

    @property
    def aspect(self) -> str:
        """Return the aspect."""
        return self.key[0]

    @property
    def agent_id(self) -> str:
        """Return whose unit it is."""
        return self.key[2]

    @property
    def identity(self) -> tuple[int, UnitKey]:
        """Order marks the same way in every process."""
        return (self.time_ns, self.key)


@dataclass(slots=True)
class Sightings:
    """The errors of one unit in one aspect, the earliest of every hour; and the marks that follow from them."""

    quiet_hours: int
    hours: list[int] = field(default_factory=list)
    first: dict[int, tuple[int, str]] = field(default_factory=dict)
    marks: dict[int, Mark] = field(default_factory=dict)

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
        wanted = {}
        previous = None
        for hour in self.hours:
            if previous is None or hour - previous > self.quiet_hours:
                wanted[hour] = self.first[hour]
            previous = hour
        gone = [mark for hour, mark in self.marks.items() if wanted.get(hour) != (mark.time_ns, mark.evidence)]
        kept = {hour: mark for hour, mark in self.marks.items() if wanted.get(hour) == (mark.time_ns, mark.evidence)}
        come = {hour: Mark(time_ns, key, event_id) for hour, (time_ns, event_id) in wanted.items() if hour not in kept}
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
        return [self.marks.pop(hour) for hour in old if hour in self.marks]
