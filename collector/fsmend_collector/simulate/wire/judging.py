"""What the collector made of the faults, read back through its query service, in the world's own names."""

from dataclasses import dataclass, field, replace

from fsmend_collector.diagnosis.config import DiagnosisConfig
from fsmend_collector.diagnosis.groups.dimensions import dimension
from fsmend_collector.simulate.resolve import Resolution
from fsmend_collector.simulate.run import Reported, Runner
from fsmend_collector.simulate.score import Score, compare, is_right, resolutions
from fsmend_collector.simulate.wire.operator import Operator
from fsmend_collector.simulate.world import SECOND, Cause, Unit, World
from fsmend_proto.v1 import incident_pb2

_ALIVE = (incident_pb2.INCIDENT_STATE_OPEN, incident_pb2.INCIDENT_STATE_REPAIRING)


@dataclass(slots=True)
class Judge:
    """Follow one run.

    Attributes:
        names: the world's id of an agent by the collector's.
        since_ns: incidents from before are not of this run.
        shared: shared causes that are open now.
        units: incidents of single units that are open now.
        first_told: shared causes as they were each time when they were told or changed, by the collector's clock.
        arrivals: when the collector received the first event of each unit.
    """

    operator: Operator
    world: World
    names: dict[str, str]
    since_ns: int
    shared: list[Reported] = field(default_factory=list)
    units: list[Reported] = field(default_factory=list)
    first_told: list[Reported] = field(default_factory=list)
    arrivals: dict[Unit, int] = field(default_factory=dict)
    _hosts: dict[str, str] = field(default_factory=dict)
    _known: dict[str, tuple[int, Reported]] = field(default_factory=dict)
    _seen: set[tuple[str, str, str, frozenset[Unit]]] = field(default_factory=set)
    _resolved: list[Resolution | None] = field(default_factory=list)

    async def look(self) -> None:
        """Read the incidents."""
        self.shared, self.units = [], []
        for one in await self.operator.incidents():
            if one.opened_ns < self.since_ns or one.state not in _ALIVE:
                continue
            if not one.HasField("statistics"):
                self.units.append(self._reported(one))
                continue
            reported = await self._shared(one)
            self.shared.append(reported)
            key = (one.id, reported.dimension, reported.value, reported.members)
            if key not in self._seen:
                again = any(known[0] == one.id for known in self._seen)
                self._seen.add(key)
                self.first_told.append(replace(reported, told_ns=one.updated_ns) if again else reported)

    async def _shared(self, one: incident_pb2.Incident) -> Reported:
        """Return a shared cause with its members, which are asked for when it has changed only."""
        known = self._known.get(one.id)
        if known is None or known[0] != one.updated_ns:
            known = self._known[one.id] = (one.updated_ns, self._reported(await self.operator.incident(one.id)))
        return known[1]

    async def count_arrivals(self, vanished: dict[str, int]) -> None:
        """Read when the events arrived.

        Args:
            vanished: when hosts went away; their silence counts once it has lasted for as long as a collector waits.
        """
        silent_ns = DiagnosisConfig().agent_silent_seconds * SECOND
        self.arrivals = {(agent_id, agent_id): when + silent_ns for agent_id, when in vanished.items()}
        async for one in self.operator.events(self.since_ns):
            agent_id = self.names.get(one.agent_id, one.agent_id)
            for unit in (one.event.device.id, one.event.filesystem.uuid):
                if unit:
                    known = self.arrivals.get((agent_id, unit), one.received_ns)
                    self.arrivals[agent_id, unit] = min(known, one.received_ns)

    def score(self, family: str) -> Score:
        """Compare with the truth as it stands now."""
        resolved = self.resolved()
        result = compare(self.world, family, self.shared, self.units, resolved)
        for cause, resolution in zip(self.world.causes, resolved, strict=True):
            if resolution is not None and resolution.from_chance is not None and not cause.optional:
                result.detect_seconds += self._detected(cause, resolution.from_chance.count)
        return result

    def resolved(self) -> list[Resolution | None]:
        """Say when each cause can be told by a collector that has learnt nothing yet."""
        if not self._resolved:
            counting = Runner(self.world, learnt=False).diagnosis.scan.counting
            for agent_id in sorted({agent_id for cause in self.world.causes for agent_id, _ in cause.members}):
                counting.learn(self.world.views.get(agent_id) or self.world.fleet.by_agent[agent_id])
            self._resolved = resolutions(self.world, counting)
        return self._resolved

    def satisfied(self) -> bool:
        """Say whether every cause that must be found is told right."""
        needed = [one for one in self.world.causes if not one.optional]
        told = [*self.shared, *self.units]
        return bool(needed) and all(any(is_right(one, cause) for one in told) for cause in needed)

    def kth_arrival(self, cause: Cause, k: int) -> int:
        """Return when the k-th host of a cause, or within one host its k-th unit, was first heard of; 0: never."""
        first: dict[object, int] = {}
        for unit, when in self.arrivals.items():
            if unit in cause.members:
                key = unit if dimension(cause.dimension).local else unit[0]
                first[key] = min(first.get(key, when), when)
        times = sorted(first.values())
        return times[k - 1] if 0 < k <= len(times) else 0

    def _detected(self, cause: Cause, k: int) -> list[float]:
        """Return how long after the k-th unit's event the cause was told by its name; nothing when it was not."""
        about = [one for one in self.first_told if 2 * len(one.members & cause.members) > len(one.members)]
        told = [one.told_ns for one in about if cause.names(one.dimension, one.value)]
        arrived_ns = self.kth_arrival(cause, k)
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
        """Translate the host that a group within a host begins with: its agent's id, or the name that is shown."""
        first, space, rest = value.partition(" ")
        if not self._hosts:
            self._hosts = self.names | {one.host_name: one.agent_id for one in self.world.fleet.views}
        return f"{self._hosts.get(first, first)}{space}{rest}"
