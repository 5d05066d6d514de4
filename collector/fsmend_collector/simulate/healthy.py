"""A healthy fleet over a long time: how many shared causes are told although there is none?"""

import random
from dataclasses import dataclass

from fsmend_collector.diagnosis.evidence import Evidence
from fsmend_collector.diagnosis.groups import GroupScan, ScanSettings, Verdict
from fsmend_collector.diagnosis.groups.tails import poisson_interval
from fsmend_collector.simulate.fleet import SimulatedFleet
from fsmend_collector.simulate.world import DAY, SECOND, START, World


@dataclass(frozen=True, slots=True)
class HealthyRun:
    """The outcome: `upper` is the end of the 95 % interval of false incidents a day."""

    days: float
    findings: int
    told: tuple[Verdict, ...]

    @property
    def upper(self) -> float:
        """Return the upper end of the exact interval."""
        return poisson_interval(len(self.told), 0.90)[1] / self.days


def healthy(fleet: SimulatedFleet, days: float, seed: int, settings: ScanSettings | None = None) -> HealthyRun:
    """Let a fleet fail as real drives do, with nothing shared, and learn its rates from nothing on the way."""
    world = World(fleet, "healthy", random.Random(f"healthy {seed}"))  # noqa: S311  not a secret
    world.background(days)
    scan = GroupScan(fleet.population, settings)
    told: dict[str, Verdict] = {}
    now_ns = START
    happenings = sorted(world.happenings, key=lambda row: row[:2])
    for at, (arrival_ns, _, what) in enumerate(happenings):
        for day in range(now_ns // DAY + 1, arrival_ns // DAY + 1):
            scan.tick(day * DAY)
        now_ns = arrival_ns
        if not isinstance(what, Evidence):
            continue
        if scan.wants_view(what.agent_id):
            scan.learn_view(fleet.by_agent[what.agent_id])
        scan.observe(what)
        following = happenings[at + 1][0] if at + 1 < len(happenings) else arrival_ns + DAY
        if following // SECOND != arrival_ns // SECOND:
            for verdict, change in scan.tick(arrival_ns + SECOND):
                if change != "gone":
                    told.setdefault(verdict.incident_id, verdict)
    return HealthyRun(days, len(happenings), tuple(told.values()))
