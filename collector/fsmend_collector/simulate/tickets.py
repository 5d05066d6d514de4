"""Real failure tickets (FAST'21): the paper's table of correlated failures, and the naive rack alarms."""

import csv
import io
import zipfile
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

_ALARM_SECONDS = 1_800
_ALARM_LEAST = 3
THRESHOLDS = {"1 min": 60, "30 min": 1_800, "1 day": 86_400, "1 month": 30 * 86_400}
TABLE = {"1 min": (10.04, 14.41), "30 min": (12.88, 18.30), "1 day": (14.41, 26.45), "1 month": (29.23, 63.04)}
"""Per cent of failures in groups on one node, and in one rack."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """One failed drive."""

    time_seconds: int
    model: str
    disk: str
    node: str
    rack: str
    room: str
    app: str


def read_tickets(archive: Path) -> list[Ticket]:
    """Read the tickets, oldest first.

    Raises:
        OSError: the archive cannot be read.
    """
    with zipfile.ZipFile(archive) as file, file.open("ssd_failure_tag.csv") as table:
        rows = [_ticket(row) for row in csv.DictReader(io.TextIOWrapper(table, "utf-8"))]
    return sorted(rows, key=lambda one: (one.time_seconds, one.disk))


def _ticket(row: dict[str, str]) -> Ticket:
    when = datetime.fromisoformat(row["failure_time"]).replace(tzinfo=UTC)
    place = row["node_id"], row["rack_id"], row["machine_room_id"], row["app"]
    return Ticket(int(when.timestamp()), row["model"], row["disk_id"], *place)


def shares(tickets: list[Ticket]) -> dict[str, tuple[float, float]]:
    """Return the per cent of failures in groups of two or more on a node and in a rack, for each threshold.

    A group ends where the next failure comes later than the threshold.
    """
    nodes, racks = _times(tickets, "node"), _times(tickets, "rack")
    return {
        name: (_grouped(nodes, seconds, len(tickets)), _grouped(racks, seconds, len(tickets)))
        for name, seconds in THRESHOLDS.items()
    }


def _times(tickets: list[Ticket], field: str) -> list[list[int]]:
    found: defaultdict[str, list[int]] = defaultdict(list)
    for one in tickets:
        found[getattr(one, field)].append(one.time_seconds)
    return list(found.values())


def _grouped(groups: Iterable[list[int]], threshold_seconds: int, whole: int) -> float:
    count = 0
    for times in groups:
        run = 1
        for before, after in zip(times, [*times[1:], 1 << 60], strict=True):
            if after - before <= threshold_seconds:
                run += 1
                continue
            count += run if run > 1 else 0
            run = 1
    return round(100 * count / whole, 2)


def rack_alarms(tickets: list[Ticket]) -> list[list[Ticket]]:
    """Return what "three in a rack in half an hour" raises: runs without a longer gap, of three or more."""
    racks: defaultdict[str, list[Ticket]] = defaultdict(list)
    for one in tickets:
        racks[one.rack].append(one)
    found = []
    for rows in racks.values():
        run: list[Ticket] = []
        for one in rows:
            if run and one.time_seconds - run[-1].time_seconds > _ALARM_SECONDS:
                found += [run] if len(run) >= _ALARM_LEAST else []
                run = []
            run.append(one)
        found += [run] if len(run) >= _ALARM_LEAST else []
    return found


@dataclass(frozen=True, slots=True)
class Burst:
    """Tickets of one model all over the fleet, none later than five minutes after another."""

    start_seconds: int
    end_seconds: int
    model: str

    def holds(self, alarm: list[Ticket]) -> bool:
        """Say whether a rack alarm is part of it: most of it is of the model and in its time."""
        inside = sum(
            one.model == self.model and self.start_seconds <= one.time_seconds <= self.end_seconds for one in alarm
        )
        return 2 * inside > len(alarm)


def read_bursts(table: Path) -> list[Burst]:
    """Read the bursts that reach over many rooms.

    Raises:
        OSError: the table cannot be read.
    """
    with table.open() as file:
        rows = [row for row in csv.DictReader(file) if row["kind"] == "many-rooms"]
    return [Burst(_seconds(row["t0"]), _seconds(row["t1"]), row["model"]) for row in rows]


def _seconds(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())
