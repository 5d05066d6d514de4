"""What the collector made of the faults, read back through its query service, in the world's own names."""

import time
from dataclasses import dataclass, field

from fsmend_collector.diagnosis.groups import GroupScan
from fsmend_collector.simulate.resolve import resolvable
from fsmend_collector.simulate.run import Reported
from fsmend_collector.simulate.score import Score, compare
from fsmend_collector.simulate.wire.operator import Operator
from fsmend_collector.simulate.world import SECOND, Cause, Unit, World
from fsmend_proto.v1 import incident_pb2

_ALIVE = (incident_pb2.INCIDENT_STATE_OPEN, incident_pb2.INCIDENT_STATE_REPAIRING)
_HOST_LOCAL = frozenset({"host", "hba", "enclosure"})


@dataclass(slots=True)
class Judge:
    """Follow one run.

    Attributes:
        names: the world's id of an agent by the collector's.
        since_ns: incidents from before are not of this run.
        shared: shared causes that are open now.
        units: incidents of single units that are open now.
        first_told: when a shared cause was first seen with these members, by the collector's clock where it says so.
        arrivals: when the collector received the first event of each unit.
    """

    operator: Operator
    world: World
    names: dict[str, str]
    since_ns: int
    shared: list[Reported] = field(default_factory=list)
    units: list[Reported] = field(default_factory=list)
    first_told: list[tuple[int, frozenset[Unit]]] = field(default_factory=list)
    arrivals: dict[Unit, int] = field(default_factory=dict)
    _seen: set[tuple[str, frozenset[Unit]]] = field(default_factory=set)

    async def look(self) -> None:
        """Read the incidents."""
        self.shared, self.units = [], []
        for one in await self.operator.incidents():
            if one.opened_ns < self.since_ns or one.state not in _ALIVE:
                continue
            reported = self._reported(one)
            (self.shared if one.HasField("statistics") else self.units).append(reported)
            key = (one.id, reported.members)
            if one.HasField("statistics") and key not in self._seen:
                again = any(known == one.id for known, _ in self._seen)
                self._seen.add(key)
                self.first_told.append((time.time_ns() if again else one.opened_ns, reported.members))

    async def count_arrivals(self) -> None:
        """Read when the events arrived."""
        self.arrivals.clear()
        async for one in self.operator.events(self.since_ns):
            agent_id = self.names.get(one.agent_id, one.agent_id)
            for unit in (one.event.device.id, one.event.filesystem.uuid):
                if unit:
                    known = self.arrivals.get((agent_id, unit), one.received_ns)
                    self.arrivals[agent_id, unit] = min(known, one.received_ns)

    def score(self, family: str) -> Score:
        """Compare with the truth as it stands now."""
        result = compare(self.world.name, family, self.world.causes, self.shared, self.units)
        result.detect_seconds = [seconds for cause in self.world.causes for seconds in self._detected(cause)]
        return result

    def satisfied(self) -> bool:
        """Say whether every cause that must be found is told right."""
        score = self.score("")
        return score.causes > 0 and score.found == score.causes

    def kth_arrival(self, cause: Cause) -> tuple[int, int]:
        """Return how many hosts, or units, the statistics need, and when the last of so many was heard of; 0: never."""
        least = resolvable(cause, GroupScan(self.world.fleet.population).counting)
        first: dict[object, int] = {}
        for unit, when in self.arrivals.items():
            if unit in cause.members:
                key = unit if cause.dimension in _HOST_LOCAL else unit[0]
                first[key] = min(first.get(key, when), when)
        times = sorted(first.values())
        return least, times[least - 1] if len(times) >= least else 0

    def _detected(self, cause: Cause) -> list[float]:
        """Return how long after the k-th unit's event a shared cause was told; nothing when it was not."""
        if cause.dimension in {"device", "filesystem"}:
            return []
        told = [when for when, members in self.first_told if 2 * len(members & cause.members) > len(members)]
        _, arrived_ns = self.kth_arrival(cause)
        return [max(0.0, (min(told) - arrived_ns) / SECOND)] if told and arrived_ns else []

    def _reported(self, one: incident_pb2.Incident) -> Reported:
        if one.HasField("statistics"):
            members = frozenset(self._unit(unit) for unit in one.members)
            suspects = tuple((row.dimension, self._value(row.value)) for row in one.suspects)
            dimension, value = one.cause.dimension, self._value(one.cause.value)
            return Reported(one.id, one.code, dimension, value, members, suspects, one.opened_ns)
        unit = self._unit(one.unit)
        kind = "device" if one.unit.device_id else "filesystem" if one.unit.filesystem_uuid else "host"
        return Reported(one.id, one.code, kind, unit[1], frozenset({unit}), (), one.opened_ns)

    def _unit(self, unit: incident_pb2.Unit) -> Unit:
        agent_id = self.names.get(unit.agent_id, unit.agent_id)
        return (agent_id, unit.device_id or unit.filesystem_uuid or agent_id)

    def _value(self, value: str) -> str:
        """Translate the agent that a group within a host begins with."""
        first, space, rest = value.partition(" ")
        return f"{self.names.get(first, first)}{space}{rest}"
