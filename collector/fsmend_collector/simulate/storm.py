"""A storm on a fleet of any size: how fast is it diagnosed, in how much memory?"""

import gc
import random
import resource
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from fsmend_collector.diagnosis.config import DiagnosisConfig
from fsmend_collector.diagnosis.evidence import Evidence
from fsmend_collector.diagnosis.fleet import FleetDiagnosis
from fsmend_collector.diagnosis.groups import DeviceView, GroupScan, HostView, Population
from fsmend_collector.diagnosis.groups.views import Group
from fsmend_collector.diagnosis.incident import IncidentChange
from fsmend_collector.garbage import spare_what_stays
from fsmend_collector.simulate.world import SECOND, START
from fsmend_proto.v1 import event_pb2

_DISKS = 12
_MODELS = 40
_HOSTS_A_RACK = 20
_MIB = 1024
_CHUNK = 20_000


@dataclass(frozen=True, slots=True)
class StormRun:
    """The outcome.

    Attributes:
        seconds: processor time of both stages for all events, without making them.
        telling_seconds: of putting the incidents together that changed, each at most once a tick, as for the store.
        scan_seconds: of the group scan alone, with the same events.
        rss_mib: largest resident set of the process.
        causes: the shared causes that are told at the end, with how many units each explains.
        units: distinct units that failed.
    """

    hosts: int
    events: int
    seconds: float
    telling_seconds: float
    scan_seconds: float
    rss_mib: float
    causes: dict[Group, int]
    units: int

    @property
    def events_per_second(self) -> float:
        """Return the throughput of one core, with the telling."""
        return self.events / (self.seconds + self.telling_seconds)

    @property
    def scan_events_per_second(self) -> float:
        """Return the throughput of one core that does the group scan only."""
        return self.events / self.scan_seconds

    @property
    def explained(self) -> float:
        """Return the share of the failing units that the shared causes explain."""
        return sum(self.causes.values()) / max(self.units, 1)


def large_view(number: int) -> HostView:
    """Make the n-th host of a large fleet; made when it is asked for, never kept for the whole fleet."""
    rack = number // _HOSTS_A_RACK
    model = (rack // 7) % _MODELS
    devices = tuple(
        DeviceView(f"wwid:{number:06}{at:02}", f"sd{chr(97 + at)}", f"M{model}", f"F{number % 3}", f"hba{at // 6}")
        for at in range(_DISKS)
    )
    labels = (
        ("power_feed", f"feed{rack // 5}"),
        ("rack", f"r{rack}"),
        ("role", f"role{number % 4}"),
        ("row", f"row{rack // 10}"),
        ("site", f"site{rack // 500}"),
    )
    return HostView(f"agent-{number:06}", f"host{number:06}", f"6.{number % 5}.0", labels, devices)


def large_population(hosts: int) -> Population:
    """Count a large fleet host by host."""
    population = Population()
    for number in range(hosts):
        population.add(large_view(number))
    return population


def storm(hosts: int, faulty: int, events: int, seconds: int, seed: int = 1) -> StormRun:
    """Let some hosts of a fleet send events for so many seconds, spread over their disks; a tick a second.

    First the group scan alone takes them, then both stages: memory is that of the latter, which hold a scan too.
    """
    population = large_population(hosts)
    spare_what_stays()
    scan = GroupScan(population)
    alone = _Feeding(scan, scan)
    alone.feed(_events(hosts, faulty, events, seconds, seed))
    causes = {one.group: len(one.marks) for one in scan.verdicts.values()}
    units, scan_seconds = len(alone.units), alone.seconds
    del scan, alone
    gc.collect()
    both = FleetDiagnosis(DiagnosisConfig(), population)
    feeding = _Feeding(both, both.scan)
    feeding.feed(_events(hosts, faulty, events, seconds, seed))
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _MIB
    return StormRun(hosts, events, feeding.seconds, feeding.telling_seconds, scan_seconds, rss, causes, units)


class _Feeding:
    """Give events to the scan alone or to both stages, and the views that they ask for.

    Attributes:
        seconds: processor time so far.
        telling_seconds: of putting together what was told.
        units: that failed.
    """

    def __init__(self, diagnosis: GroupScan | FleetDiagnosis, scan: GroupScan) -> None:
        self.seconds = self.telling_seconds = 0.0
        self.units: set[tuple[str, str]] = set()
        self._diagnosis = diagnosis
        self._scan = scan
        self._told: dict[str, IncidentChange] = {}

    def feed(self, chunks: Iterable[list[Evidence]]) -> None:
        """Give all events, with a tick a second, and what follows from them."""
        next_ns, now_ns = START + SECOND, START
        for chunk in chunks:
            self.units.update((one.agent_id, one.device_id) for one in chunk)
            new = {one.agent_id for one in chunk if self._scan.wants_view(one.agent_id)}
            views = {agent_id: large_view(int(agent_id[6:])) for agent_id in new}
            began, told_before = time.process_time(), self.telling_seconds
            for one in chunk:
                now_ns = one.received_ns
                if now_ns >= next_ns:
                    self._tick(now_ns)
                    next_ns = now_ns + SECOND
                if self._scan.wants_view(one.agent_id):
                    self._diagnosis.learn_view(views[one.agent_id])
                self._observe(one)
            self.seconds += time.process_time() - began - (self.telling_seconds - told_before)
        began, told_before = time.process_time(), self.telling_seconds
        self._scan.settle(now_ns + SECOND)
        self._tick(now_ns + 2 * SECOND)
        self.seconds += time.process_time() - began - (self.telling_seconds - told_before)

    def _observe(self, one: Evidence) -> None:
        if isinstance(self._diagnosis, GroupScan):
            self._diagnosis.observe(one)
            return
        self._note(self._diagnosis.observe(one, one.received_ns))

    def _note(self, changes: Iterable[IncidentChange]) -> None:
        for change in changes:
            self._told[change.view.id] = change

    def _tick(self, now_ns: int) -> None:
        if isinstance(self._diagnosis, GroupScan):
            self._diagnosis.tick(now_ns)
            return
        self._note(self._diagnosis.tick(now_ns))
        began = time.process_time()
        for change in self._told.values():
            change.incident.ByteSize()
        self._told.clear()
        self.telling_seconds += time.process_time() - began


def _events(hosts: int, faulty: int, events: int, seconds: int, seed: int) -> Iterator[list[Evidence]]:
    """Make the events in bounded chunks, in the order of arrival: up to half a second after they happened."""
    rng = random.Random(seed)  # noqa: S311  not a secret
    chosen = rng.sample(range(hosts), faulty)
    step_ns = seconds * SECOND // events
    for begin in range(0, events, _CHUNK):
        chunk = []
        for at in range(begin, min(begin + _CHUNK, events)):
            received_ns = START + SECOND + at * step_ns + rng.randrange(step_ns + 1)
            time_ns = received_ns - rng.randrange(SECOND // 2)
            chunk.append(_evidence(rng.choice(chosen), rng.randrange(_DISKS), time_ns, received_ns, at))
        yield sorted(chunk, key=lambda one: one.received_ns)


def _evidence(number: int, disk: int, time_ns: int, received_ns: int, at: int) -> Evidence:
    agent_id = f"agent-{number:06}"
    return Evidence(
        f"e{at}", agent_id, agent_id, event_pb2.EVENT_KIND_DEVICE_IO_ERROR, event_pb2.SEVERITY_ERROR, "trace",
        time_ns, received_ns, device_id=f"wwid:{number:06}{disk:02}", sector=at,
    )  # fmt: skip
