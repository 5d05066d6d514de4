"""A storm on a fleet of any size: how fast is it diagnosed, in how much memory?"""

import random
import resource
import time
from dataclasses import dataclass

from fsmend_collector.diagnosis.evidence import Evidence
from fsmend_collector.diagnosis.groups import DeviceView, GroupScan, HostView, Population
from fsmend_collector.simulate.world import MINUTE, SECOND, START
from fsmend_proto.v1 import event_pb2

_DISKS = 12
_MODELS = 40
_HOSTS_A_RACK = 20
_MIB = 1024


@dataclass(frozen=True, slots=True)
class StormRun:
    """The outcome: processor seconds for all events, the process's largest resident set, shared causes told."""

    hosts: int
    events: int
    seconds: float
    rss_mib: float
    verdicts: int

    @property
    def events_per_second(self) -> float:
        """Return the throughput of one core."""
        return self.events / self.seconds


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
    """Let some hosts of a fleet send events for ten minutes, spread over their disks; a tick a second."""
    rng = random.Random(seed)  # noqa: S311  not a secret
    scan = GroupScan(large_population(hosts))
    chosen = rng.sample(range(hosts), faulty)
    times = sorted(START + rng.randrange(10 * MINUTE) for _ in range(events))
    began = time.process_time()
    spent_making, next_ns = 0.0, START + SECOND
    for at, time_ns in enumerate(times):
        making = time.process_time() if at % 64 == 0 else 0.0
        evidence = _evidence(rng.choice(chosen), rng.randrange(_DISKS), time_ns, at)
        if making:
            spent_making += 64 * (time.process_time() - making)
        if time_ns >= next_ns:
            scan.tick(time_ns)
            next_ns = time_ns + SECOND
        if scan.wants_view(evidence.agent_id):
            scan.learn_view(large_view(int(evidence.agent_id[6:])))
        scan.observe(evidence)
    scan.settle(times[-1] + SECOND)
    seconds = time.process_time() - began - spent_making
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _MIB
    return StormRun(hosts, events, seconds, rss, len(scan.verdicts))


def _evidence(number: int, disk: int, time_ns: int, at: int) -> Evidence:
    agent_id = f"agent-{number:06}"
    return Evidence(
        f"e{at}", agent_id, agent_id, event_pb2.EVENT_KIND_DEVICE_IO_ERROR, event_pb2.SEVERITY_ERROR, "trace",
        time_ns, time_ns, device_id=f"wwid:{number:06}{disk:02}", sector=at,
    )  # fmt: skip
