"""Real failure tickets (FAST'21): the paper's table of correlated failures, the naive rack alarms, and the group scan.

The tickets have no population and no causes. What is exact is the table; what is measured is into how many incidents
the rack alarms fold that lie inside bursts of one model all over the fleet.
"""

import csv
import io
import zipfile
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from fsmend_collector.diagnosis.evidence import Evidence
from fsmend_collector.diagnosis.groups import DeviceView, GroupScan, HostView, Population, ScanSettings
from fsmend_collector.diagnosis.groups.marks import Mark
from fsmend_proto.v1 import event_pb2

_SECOND = 1_000_000_000
_ALARM_SECONDS = 1_800
_ALARM_LEAST = 3
_DRIVES = 1_000_000  # "nearly one million SSDs"
_DRIVES_A_NODE = 12
_REPLACED_NS = 3 * 86_400 * _SECOND
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


def population_of(tickets: list[Ticket]) -> tuple[Population, dict[str, HostView]]:
    """Guess a population: a million drives, spread over models, rooms and apps as the tickets are.

    Returns:
        The population, and the view of each node that has a ticket.
    """
    population = Population()
    racks = {one.rack for one in tickets}
    whole = [_DRIVES, 0, _DRIVES // _DRIVES_A_NODE]
    population.sizes["fleet", "all"] = whole
    for rack in racks:
        population.sizes["rack", rack] = [whole[0] // len(racks), 0, whole[2] // len(racks)]
    for dimension, field in (("model", "model"), ("room", "room"), ("label:app", "app")):
        for value, count in Counter(getattr(one, field) for one in tickets).items():
            part = count / len(tickets)
            population.sizes[dimension, value] = [int(whole[0] * part), 0, max(int(whole[2] * part), 3)]
    for dimension, _ in population.sizes:
        population.groups[dimension] += 1
    population.groups["host"] = whole[2]
    return population, {one.node: _node(one) for one in tickets}


def _node(ticket: Ticket) -> HostView:
    labels = (("app", ticket.app), ("rack", ticket.rack), ("room", ticket.room))
    devices = tuple(DeviceView(f"spare-{at}") for at in range(_DRIVES_A_NODE))
    return HostView(ticket.node, ticket.node, "", labels, devices)


def scan_tickets(tickets: list[Ticket], settings: ScanSettings) -> dict[str, set[str]]:
    """Run the group scan over the tickets; return incidents of groups that span racks → disks.

    A ticket ends with a new drive. So an incident is over some days after its last ticket.
    """
    population, views = population_of(tickets)
    scan = GroupScan(population, settings)
    disks: dict[str, dict[str, str]] = defaultdict(dict)
    found: dict[str, set[str]] = {}
    for at, one in enumerate(tickets):
        disks[one.node][one.disk] = one.model
        known = tuple(DeviceView(disk, model=model) for disk, model in disks[one.node].items())
        view = views[one.node]
        scan.learn_view(HostView(view.agent_id, view.host_name, "", view.labels, known + view.devices[len(known) :]))
        scan.observe(_evidence(one, at))
        now_ns = one.time_seconds * _SECOND
        if at + 1 == len(tickets) or tickets[at + 1].time_seconds - one.time_seconds > 1:
            if scan.tick(now_ns):
                for key, verdict in scan.verdicts.items():
                    if verdict.group[0] not in {"host", "rack"}:
                        found[key] = {_disk(mark) for mark in verdict.marks}
            for key in [key for key, one in scan.verdicts.items() if now_ns - one.latest_ns > _REPLACED_NS]:
                scan.close(key)
    return found


def _disk(mark: Mark) -> str:
    return mark.key[3]


def _evidence(ticket: Ticket, number: int) -> Evidence:
    time_ns = ticket.time_seconds * _SECOND
    kind, severity = event_pb2.EVENT_KIND_DEVICE_GONE, event_pb2.SEVERITY_CRITICAL
    return Evidence(
        f"ticket-{number}", ticket.node, ticket.node, kind, severity, "ticket", time_ns, time_ns, device_id=ticket.disk
    )


@dataclass(frozen=True, slots=True)
class Folding:
    """What became of the naive rack alarms inside bursts.

    Attributes:
        alarms: all of them; inside: those inside bursts.
        incidents: into how many they fold, an alarm that folds into nothing counting as one.
        alone: those that do not.
    """

    alarms: int
    inside: int
    incidents: int
    alone: tuple[str, ...]


def fold(tickets: list[Ticket], bursts: list[Burst], incidents: dict[str, set[str]]) -> Folding:
    """Say into how many incidents the alarms inside bursts fold: where most of an alarm's disks are members."""
    alarms = rack_alarms(tickets)
    inside = [alarm for alarm in alarms if any(burst.holds(alarm) for burst in bursts)]
    used: set[str] = set()
    alone: list[str] = []
    for alarm in inside:
        disks = {one.disk for one in alarm}
        best = max(incidents, key=lambda one: (len(incidents[one] & disks), one), default="")
        if best and 2 * len(incidents[best] & disks) > len(disks):
            used.add(best)
        else:
            alone.append(f"rack {alarm[0].rack} at {alarm[0].time_seconds}: {len(disks)} of {alarm[0].model}")
    return Folding(len(alarms), len(inside), len(used) + len(alone), tuple(alone))
