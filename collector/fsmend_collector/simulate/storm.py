"""A storm on a fleet of any size: how fast is it diagnosed, in how much memory?"""

import random
import resource
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from fsmend_collector.diagnosis.config import DiagnosisConfig
from fsmend_collector.diagnosis.evidence import Evidence
from fsmend_collector.diagnosis.fleet import FleetDiagnosis
from fsmend_collector.diagnosis.groups import DeviceView, GroupScan, HostView, Population
from fsmend_collector.diagnosis.groups.views import Group
from fsmend_collector.simulate.world import MINUTE, SECOND, START
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
        scan_seconds: of the group scan alone, with the same events.
        rss_mib: largest resident set of the process.
        causes: the shared causes that are told at the end, with how many units each explains.
        units: distinct units that failed.
    """

    hosts: int
    events: int
    seconds: float
    scan_seconds: float
    rss_mib: float
    causes: dict[Group, int]
    units: int

    @property
    def events_per_second(self) -> float:
        """Return the throughput of one core."""
        return self.events / self.seconds

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


def storm(hosts: int, faulty: int, events: int, seed: int = 1) -> StormRun:
    """Let some hosts of a fleet send events for ten minutes, spread over their disks; a tick a second.

    First the group scan alone takes them, then both stages: memory is that of the latter, which hold a scan too.
    """
    population = large_population(hosts)
    scan = GroupScan(population)
    scan_seconds, units = _fed(scan, scan, scan.observe, _events(hosts, faulty, events, seed))
    causes = {one.group: len(one.marks) for one in scan.verdicts.values()}
    both = FleetDiagnosis(DiagnosisConfig(), population)
    scan = both.scan  # the other one is given back
    stream = _events(hosts, faulty, events, seed)
    seconds, _ = _fed(scan, both, lambda one: both.observe(one, one.received_ns), stream)
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _MIB
    return StormRun(hosts, events, seconds, scan_seconds, rss, causes, units)


def _fed(
    scan: GroupScan,
    diagnosis: GroupScan | FleetDiagnosis,
    observe: Callable[[Evidence], object],
    chunks: Iterable[list[Evidence]],
) -> tuple[float, int]:
    """Give events, and the views that they ask for; return the processor seconds, and how many units failed."""
    seconds, next_ns, now_ns = 0.0, START + SECOND, START
    units: set[tuple[str, str]] = set()
    for chunk in chunks:
        units.update((one.agent_id, one.device_id) for one in chunk)
        views = {one.agent_id: large_view(int(one.agent_id[6:])) for one in chunk if scan.wants_view(one.agent_id)}
        began = time.process_time()
        for one in chunk:
            now_ns = one.received_ns
            if now_ns >= next_ns:
                diagnosis.tick(now_ns)
                next_ns = now_ns + SECOND
            if scan.wants_view(one.agent_id):
                diagnosis.learn_view(views[one.agent_id])
            observe(one)
        seconds += time.process_time() - began
    began = time.process_time()
    scan.settle(now_ns + SECOND)
    diagnosis.tick(now_ns + 2 * SECOND)
    return seconds + time.process_time() - began, len(units)


def _events(hosts: int, faulty: int, events: int, seed: int) -> Iterator[list[Evidence]]:
    """Make the events in bounded chunks, in the order of arrival: up to half a second after they happened."""
    rng = random.Random(seed)  # noqa: S311  not a secret
    chosen = rng.sample(range(hosts), faulty)
    step_ns = 10 * MINUTE // events
    for begin in range(0, events, _CHUNK):
        chunk = []
        for at in range(begin, min(begin + _CHUNK, events)):
            time_ns = START + at * step_ns + rng.randrange(step_ns + 1)
            chunk.append(
                _evidence(rng.choice(chosen), rng.randrange(_DISKS), time_ns, time_ns + rng.randrange(SECOND // 2), at)
            )
        yield sorted(chunk, key=lambda one: one.received_ns)


def _evidence(number: int, disk: int, time_ns: int, received_ns: int, at: int) -> Evidence:
    agent_id = f"agent-{number:06}"
    return Evidence(
        f"e{at}", agent_id, agent_id, event_pb2.EVENT_KIND_DEVICE_IO_ERROR, event_pb2.SEVERITY_ERROR, "trace",
        time_ns, received_ns, device_id=f"wwid:{number:06}{disk:02}", sector=at,
    )  # fmt: skip
