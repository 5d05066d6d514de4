"""Marks: when did a unit begin to fail? A function of the set of its errors, whatever their order."""

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from operator import attrgetter

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
class Hour:
    """What one hour showed of one unit in one aspect.

    Attributes:
        end_ns: when it ends, wall clock; tells the hours apart.
        time_ns: collector's wall clock of its earliest error.
        evidence: id of that event.
        signature: the first by name; empty: none was seen.
        mark: the one that begins in it.
    """

    end_ns: int
    time_ns: int
    evidence: str
    signature: str = ""
    mark: Mark | None = None

    def sign(self, signature: str) -> bool:
        """Take the signature of an error; say whether there is a mark that has another one by it."""
        if self.signature and self.signature <= signature:
            return False
        self.signature = signature
        if self.mark is None:
            return False
        self.mark.signature = signature
        return True


_end = attrgetter("end_ns")


@dataclass(slots=True)
class Sightings:
    """The errors of one unit in one aspect: what each hour showed, by time; and the marks that follow from them.

    Attributes:
        quiet_ns: hours at most so far apart belong together.
    """

    quiet_ns: int
    hours: list[Hour] = field(default_factory=list)

    def repeats(self, time_ns: int, signature: str) -> bool:
        """Say whether an error only repeats what the newest hour showed before; most do, in a storm."""
        hour = self.hours[-1]
        return hour.time_ns < time_ns < hour.end_ns and (not signature or "" < hour.signature <= signature)

    def add(self, time_ns: int, event_id: str) -> tuple[Hour, bool]:
        """Take an error; return its hour, and whether the marks may have changed."""
        end_ns = time_ns - time_ns % HOUR_NS + HOUR_NS
        place = bisect_left(self.hours, end_ns, key=_end)
        if place == len(self.hours) or self.hours[place].end_ns != end_ns:
            hour = Hour(end_ns, time_ns, event_id)
            self.hours.insert(place, hour)
            return hour, True
        hour = self.hours[place]
        if (hour.time_ns, hour.evidence) <= (time_ns, event_id):
            return hour, False
        hour.time_ns, hour.evidence = time_ns, event_id
        return hour, hour.mark is not None

    @property
    def marks(self) -> list[Mark]:
        """Return when the unit began to fail."""
        return [hour.mark for hour in self.hours if hour.mark is not None]

    def update(self, key: UnitKey) -> tuple[list[Mark], list[Mark]]:
        """Bring the marks in line with the errors; return those that went and those that came."""
        gone, come = [], []
        previous = None
        for hour in self.hours:
            begins = previous is None or hour.end_ns - previous > self.quiet_ns
            previous = hour.end_ns
            mark = hour.mark
            if mark is not None and not (begins and (mark.time_ns, mark.evidence) == (hour.time_ns, hour.evidence)):
                gone.append(mark)
                mark = hour.mark = None
            if begins and mark is None:
                hour.mark = Mark(hour.time_ns, key, hour.evidence, signature=hour.signature)
                come.append(hour.mark)
        return gone, come

    def forget(self, before_ns: int) -> list[Mark]:
        """Forget hours before a time; return the marks that went. An hour that keeps a later one quiet stays."""
        hours = self.hours
        keep = bisect_right(hours, before_ns, key=_end)
        while 0 < keep < len(hours) and hours[keep].end_ns - hours[keep - 1].end_ns <= self.quiet_ns:
            keep -= 1
        old, self.hours = hours[:keep], hours[keep:]
        return [hour.mark for hour in old if hour.mark is not None]


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
