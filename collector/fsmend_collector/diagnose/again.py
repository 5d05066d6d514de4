"""Again: diagnose stored history once more, in shadow, and compare. Nothing is written and nothing is ordered.

The engine is fed as the collector feeds it, by the same code, with a clock that follows the records. Between records it
ticks as often as time alone may decide something.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, func, select

from fsmend_collector.diagnose.comparing import brief, differences, taken_back
from fsmend_collector.diagnose.following import Following
from fsmend_collector.diagnose.moments import Moment, moments
from fsmend_collector.diagnose.reading import Learnt, learnt_after
from fsmend_collector.diagnose.rewinding import DAY_NS, SECOND_NS, rewind
from fsmend_collector.diagnose.writing import DIAGNOSED_THROUGH
from fsmend_collector.diagnosis import IncidentChange
from fsmend_collector.errors import CollectorError
from fsmend_collector.store import queries
from fsmend_collector.store.schema import agents, events, incidents
from fsmend_proto.v1 import incident_pb2, why_pb2

MOST_BYTES = 1 << 30
MOST_SECONDS = 1_800.0
_LATER = "choose a later --since"
_TELL_SECONDS = 0.5
_RATES_DAYS = 34
_APART_NS = 30 * SECOND_NS
_LOOK_NS = 600 * SECOND_NS
_ROWS_A_READ = 1_000

Tell = Callable[[why_pb2.DiagnoseAgainReply], None]


class ReplayFailed(CollectorError):  # noqa: N818  an outcome
    """Say why history could not be diagnosed again, and what to do."""


@dataclass(slots=True)
class Again:
    """One replay.

    Attributes:
        engine: of the store; its connections read only. Each batch reads a snapshot of its own, so that the store's log
            can be written back meanwhile.
        following: fresh, with the configuration to try.
        since_ns: incidents that began at or after this are compared.
        until_ns: and before this.
        most_bytes: by which it may raise the most memory that its program ever had.
        most_seconds: that it may take.
    """

    engine: Engine
    following: Following
    since_ns: int
    until_ns: int
    tell: Tell
    most_bytes: int = MOST_BYTES
    most_seconds: float = MOST_SECONDS
    _told: dict[str, IncidentChange] = field(default_factory=dict)
    _now: dict[str, why_pb2.IncidentBrief] = field(default_factory=dict)
    _waiting: list[Moment] = field(default_factory=list)
    _records: int = 0
    _records_of: int = 0
    _ticked_ns: int = 0
    _told_seconds: float = 0.0
    _began: float = field(default_factory=time.monotonic)
    _began_bytes: int = 0

    def run(self) -> None:
        """Replay, compare, and tell all of it.

        Raises:
            ReplayFailed: it needs more memory or time than it may have.
        """
        self._began_bytes = peak_bytes()
        self._say("reading the fleet", self.since_ns)
        with self._reading() as connection:
            newest = queries.meta_number(connection, DIAGNOSED_THROUGH)
            self._take(rewind(connection, self.following, self.since_ns, time.time_ns(), self._mind))
            self._waiting = moments(connection, self.since_ns, self.until_ns)[::-1]
            missing = self._not_stored(connection)
        self._records_of = max(newest - self.following.cursor, 0)
        self._ticked_ns = self.since_ns
        self._replay(newest)
        with self._reading() as connection:
            self._advance(connection, self.until_ns)
            self._settle(connection, self.until_ns)
            self._say("comparing", self.until_ns)
            self._note()
            self._compare(connection, missing)

    def _reading(self) -> Any:
        return self.engine.connect()

    def _replay(self, newest: int) -> None:
        """Give the engine record after record, up to an id or the end of the time."""
        while self.following.cursor < newest:
            self._note()
            with self._reading() as connection:
                learnt, through = learnt_after(connection, self.following.cursor)
                learnt = [one for one in learnt if one.id <= newest]
                for at_ns, rows in _by_second(learnt):
                    if at_ns >= self.until_ns:
                        return
                    self._advance(connection, at_ns)
                    self._take(self.following.observe(connection, rows))
                    self._records += len(rows)
            self.following.cursor = through
            self._say("replaying", self._ticked_ns)

    def _advance(self, connection: Connection, to_ns: int) -> None:
        """Let time pass: what happened meanwhile, and the ticks."""
        while self._waiting and self._waiting[-1].at_ns <= to_ns:
            moment = self._waiting.pop()
            self._pass(connection, moment.at_ns)
            self._settle(connection, moment.at_ns)  # a word is about what is told by then
            self._take(moment.act(self.following.engine, moment.at_ns))
        self._pass(connection, to_ns)

    def _pass(self, connection: Connection, to_ns: int) -> None:
        """Tick now and then. What diagnosis says in the end does not follow from how often it looks."""
        if to_ns - self._ticked_ns < _APART_NS:
            return
        quiet_ns = self._ticked_ns + _APART_NS
        self._tick(connection, quiet_ns)
        if to_ns - quiet_ns >= _APART_NS:
            self._settle(connection, quiet_ns)
        while to_ns - self._ticked_ns >= _LOOK_NS:
            self._tick(connection, self._ticked_ns + _LOOK_NS)

    def _settle(self, connection: Connection, at_ns: int) -> None:
        """Tick until the group scan has done all that waits."""
        for _ in range(2):
            self._tick(connection, at_ns)

    def _tick(self, connection: Connection, at_ns: int) -> None:
        self._ticked_ns = at_ns
        self._mind()
        for changes in self.following.tick(connection, at_ns):
            self._take(changes)
        self._say("replaying", at_ns)

    def _take(self, changes: Iterable[IncidentChange]) -> None:
        """Take what is told; to put an incident together costs more than all else, and most are told anew at once."""
        self._told.update((change.view.id, change) for change in changes)

    def _note(self) -> None:
        """Put together what was told."""
        told, self._told = self._told, {}
        for change in told.values():
            self._mind()
            incident = change.incident
            if taken_back(incident):
                self._now.pop(incident.id, None)
            else:
                self._now[incident.id] = brief(incident)

    def _compare(self, connection: Connection, missing: list[str]) -> None:
        within = (incidents.c.onset_ns >= self.since_ns, incidents.c.onset_ns < self.until_ns)
        chosen = select(incidents.c.incident).where(*within)
        then: dict[str, why_pb2.IncidentBrief] = {}
        for row in connection.execute(chosen).yield_per(_ROWS_A_READ).scalars():
            self._mind()
            incident = incident_pb2.Incident.FromString(row)
            if not taken_back(incident):
                then[incident.id] = brief(incident)
        now = {name: one for name, one in self._now.items() if name in then or self._within(one)}
        self._complete(connection, then, now)
        counts = dict.fromkeys(why_pb2.DifferenceKind.values(), 0)
        for one in differences(then, now):
            counts[one.kind] += 1
            self.tell(why_pb2.DiagnoseAgainReply(difference=one))
        self.tell(why_pb2.DiagnoseAgainReply(summary=self._summary(counts, missing)))

    def _within(self, one: why_pb2.IncidentBrief) -> bool:
        return self.since_ns <= one.onset_ns < self.until_ns

    def _complete(
        self,
        connection: Connection,
        then: dict[str, why_pb2.IncidentBrief],
        now: dict[str, why_pb2.IncidentBrief],
    ) -> None:
        """Take in stored incidents whose onset lies outside now: they are there, with another onset."""
        for name in sorted(now.keys() - then.keys()):
            self._mind()
            row = connection.execute(select(incidents.c.incident).where(incidents.c.id == name)).scalar()
            if row is not None and not taken_back(incident := incident_pb2.Incident.FromString(row)):
                then[name] = brief(incident)

    def _summary(self, counts: dict[Any, int], missing: list[str]) -> why_pb2.ReplaySummary:
        if isolated := self.following.isolation.count:
            missing = [*missing, f"{isolated} records could not be diagnosed; they are left out"]
        return why_pb2.ReplaySummary(
            same=counts[why_pb2.DIFFERENCE_KIND_SAME],
            only_now=counts[why_pb2.DIFFERENCE_KIND_ONLY_NOW],
            only_then=counts[why_pb2.DIFFERENCE_KIND_ONLY_THEN],
            changed=counts[why_pb2.DIFFERENCE_KIND_CHANGED],
            records=self._records,
            seconds=time.monotonic() - self._began,
            peak_rss_bytes=peak_bytes(),
            from_ns=self.since_ns,
            until_ns=self.until_ns,
            not_stored=missing,
        )

    def _not_stored(self, connection: Connection) -> list[str]:
        """Say what of the time the store cannot give back."""
        found = []
        first = connection.execute(select(events.c.received_ns).order_by(events.c.id).limit(1)).scalar()
        known = connection.execute(select(func.min(agents.c.enrolled_ns))).scalar() or self.since_ns
        if first is not None and known < self.since_ns < first:
            found.append("no event is kept from the beginning of the time: they are past their retention, or none came")
        if self.since_ns < time.time_ns() - _RATES_DAYS * DAY_NS:
            found.append(f"rates are kept by day for {_RATES_DAYS} days: older ones know what came after")
        if self.until_ns < time.time_ns() - 60 * SECOND_NS:
            found.append("incidents are compared as they are stored now: what came after --until is in them")
        return found

    def _mind(self) -> None:
        """Stop where more is needed than this may have, whatever is done just now."""
        if peak_bytes() - self._began_bytes > self.most_bytes:
            mib = self.most_bytes >> 20
            raise ReplayFailed(f"diagnosing this time again needs more than {mib} MiB\n{_LATER}")
        if time.monotonic() - self._began > self.most_seconds:
            reached = datetime.fromtimestamp(max(self._ticked_ns, self.since_ns) // SECOND_NS, UTC)
            came = f"it came to {reached:%Y-%m-%dT%H:%M:%SZ}, {self._records} of {self._records_of} records"
            text = f"diagnosing this time again takes longer than {self.most_seconds:.0f} s: {came}"
            raise ReplayFailed(f"{text}\n{_LATER}")

    def _say(self, phase: str, at_ns: int) -> None:
        if time.monotonic() - self._told_seconds < _TELL_SECONDS and phase == "replaying":
            return
        self._told_seconds = time.monotonic()
        progress = why_pb2.ReplayProgress(
            phase=phase, records=self._records, records_of=self._records_of, at_ns=min(at_ns, self.until_ns)
        )
        self.tell(why_pb2.DiagnoseAgainReply(progress=progress))


def _by_second(learnt: list[Learnt]) -> Iterator[tuple[int, list[Learnt]]]:
    """Yield the records of each second of receipt together, with its latest time."""
    rows: list[Learnt] = []
    at_ns = 0
    for one in learnt:
        mine = max(one.row.seen_ns if one.kind == "inventory" else one.row.received_ns, at_ns)
        if rows and mine // SECOND_NS != at_ns // SECOND_NS:
            yield at_ns, rows
            rows = []
        rows.append(one)
        at_ns = mine
    if rows:
        yield at_ns, rows


def peak_bytes() -> int:
    """Return the most memory that this program ever had resident; see proc_pid_status(5), "VmHWM".

    Not getrusage(2): its peak outlives execve(2), so a child would count what the collector had when it began it.
    """
    lines = Path("/proc/self/status").read_bytes().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(b"VmHWM:"))
