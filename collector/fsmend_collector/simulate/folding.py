"""Folding: into how many incidents the naive rack alarms of the real tickets fold when the group scan reads the same.

The tickets have no population and no causes. So what is measured is how many incidents hold the alarms that lie inside
bursts of one model all over the fleet, and what these incidents look like.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass

from fsmend_collector.diagnosis.evidence import Evidence
from fsmend_collector.diagnosis.groups import DeviceView, GroupScan, HostView, Population, ScanSettings, Verdict
from fsmend_collector.diagnosis.groups.views import Group
from fsmend_collector.simulate.tickets import Burst, Ticket, rack_alarms
from fsmend_collector.simulate.world import Unit
from fsmend_proto.v1 import event_pb2

_SECOND = 1_000_000_000
_DRIVES = 1_000_000  # "nearly one million SSDs"
_DRIVES_A_NODE = 12
_REPLACED_NS = 3 * 86_400 * _SECOND


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


@dataclass(frozen=True, slots=True)
class TicketIncident:
    """One shared cause that the scan ended with.

    Attributes:
        places: where it shows, when it is told so.
        units: its members: nodes and disks, because a disk's name is not unique.
        onset_seconds: of its first ticket, since 1970; latest_seconds: of its last one.
    """

    incident_id: str
    code: str
    group: Group
    places: tuple[Group, ...]
    units: frozenset[Unit]
    onset_seconds: int
    latest_seconds: int

    @classmethod
    def of(cls, verdict: Verdict) -> "TicketIncident":
        """Take what counts from a verdict."""
        return cls(
            incident_id=verdict.incident_id,
            code=verdict.code,
            group=verdict.group,
            places=verdict.places,
            units=frozenset(mark.unit for mark in verdict.marks),
            onset_seconds=verdict.onset_ns // _SECOND,
            latest_seconds=verdict.latest_ns // _SECOND,
        )


@dataclass(frozen=True, slots=True)
class Told:
    """What the scan told.

    Attributes:
        incidents: those that it ended with, by their onset.
        on_the_way: those that it came to explain by others, as they were last; the collector merges them into those.
    """

    incidents: list[TicketIncident]
    on_the_way: list[TicketIncident]


def scan_tickets(tickets: list[Ticket], settings: ScanSettings) -> Told:
    """Run the group scan over the tickets. A ticket ends with a new drive: an incident is over days after its last."""
    population, views = population_of(tickets)
    scan = GroupScan(population, settings)
    disks: dict[str, dict[str, str]] = defaultdict(dict)
    over: list[TicketIncident] = []
    gone: dict[str, TicketIncident] = {}
    for at, one in enumerate(tickets):
        disks[one.node][one.disk] = one.model
        known = tuple(DeviceView(disk, model=model) for disk, model in disks[one.node].items())
        view = views[one.node]
        scan.learn_view(HostView(view.agent_id, view.host_name, "", view.labels, known + view.devices[len(known) :]))
        scan.observe(_evidence(one, at))
        now_ns = one.time_seconds * _SECOND
        if at + 1 == len(tickets) or tickets[at + 1].time_seconds - one.time_seconds > 1:
            for verdict, what in scan.tick(now_ns):
                gone.pop(verdict.incident_id, None)
                if what == "gone":
                    gone[verdict.incident_id] = TicketIncident.of(verdict)
            for key in [key for key, one in scan.verdicts.items() if now_ns - one.latest_ns > _REPLACED_NS]:
                closed = scan.close(key)
                over += [TicketIncident.of(closed)] if closed is not None else []
    over += map(TicketIncident.of, scan.verdicts.values())
    return Told(sorted(over, key=lambda one: (one.onset_seconds, one.group)), list(gone.values()))


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
        into: the incidents that they fold into, each with its alarms.
        alone: the alarms that fold into nothing; each counts as one incident.
        on_the_way: how many more incidents held one of them for a time, before they were merged into these.
    """

    alarms: int
    inside: int
    into: tuple[tuple[TicketIncident, int], ...]
    alone: tuple[list[Ticket], ...]
    on_the_way: int

    @property
    def incidents(self) -> int:
        """Return into how many incidents the alarms fold."""
        return len(self.into) + len(self.alone)


def fold(tickets: list[Ticket], bursts: list[Burst], told: Told) -> Folding:
    """Say into how many incidents the alarms inside bursts fold: where most of an alarm's disks are members."""
    alarms = rack_alarms(tickets)
    inside = [alarm for alarm in alarms if any(burst.holds(alarm) for burst in bursts)]
    used: Counter[int] = Counter()
    alone: list[list[Ticket]] = []
    for alarm in inside:
        units = {(one.node, one.disk) for one in alarm}
        overlaps = [len(one.units & units) for one in told.incidents]
        most = max(overlaps, default=0)
        if 2 * most > len(units):
            used[overlaps.index(most)] += 1
        else:
            alone.append(alarm)
    passing = sum(any(_held(one, alarm) for alarm in inside) for one in told.on_the_way)
    into = tuple((told.incidents[at], count) for at, count in sorted(used.items()))
    return Folding(len(alarms), len(inside), into, tuple(alone), passing)


def _held(incident: TicketIncident, alarm: list[Ticket]) -> bool:
    return 2 * sum((one.node, one.disk) in incident.units for one in alarm) > len(alarm)
