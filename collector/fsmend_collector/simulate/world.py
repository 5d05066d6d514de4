"""A world: what happens to a fleet in one scenario, and the truth about it."""

import random
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from fsmend_collector.diagnosis.evidence import Evidence
from fsmend_collector.diagnosis.groups import Change, HostView
from fsmend_collector.simulate.fleet import SimulatedFleet, _poisson, frail_unit
from fsmend_proto.v1 import event_pb2

SECOND = 1_000_000_000
MINUTE, HOUR, DAY = 60 * SECOND, 3_600 * SECOND, 86_400 * SECOND
START = 1_760_000_000 * SECOND
Unit = tuple[str, str]
"""Agent and unit: a device, a filesystem, or the agent again for the host."""

_KINDS = {
    "lost": event_pb2.EVENT_KIND_DEVICE_GONE,
    "media": event_pb2.EVENT_KIND_DEVICE_MEDIUM_ERROR,
    "io": event_pb2.EVENT_KIND_DEVICE_IO_ERROR,
    "link": event_pb2.EVENT_KIND_DEVICE_LINK_ERROR,
    "health": event_pb2.EVENT_KIND_DEVICE_HEALTH,
    "corrupt": event_pb2.EVENT_KIND_FS_METADATA_CORRUPTION,
    "fs_io": event_pb2.EVENT_KIND_FS_IO_ERROR,
    "undecoded": event_pb2.EVENT_KIND_UNDECODED,
}
_CRITICAL = {"lost"}


@dataclass(frozen=True, slots=True)
class Cause:
    """One true cause.

    Attributes:
        dimension: of the group, or "device" for a fault of one unit.
        value: of the group, or the device.
        members: units that failed by it.
        same: other groups that no observer could tell from it.
        optional: telling it is right, not telling it is right too.
        window_seconds: how long it took, and aspect: in which way units fail; both decide what can be resolved.
    """

    dimension: str
    value: str
    members: frozenset[Unit]
    same: frozenset[tuple[str, str]] = frozenset()
    optional: bool = False
    window_seconds: int = 1_800
    aspect: str = "lost"

    def names(self, dimension: str, value: str) -> bool:
        """Say whether a group is this cause."""
        return (dimension, value) == (self.dimension, self.value) or (dimension, value) in self.same


@dataclass(frozen=True, slots=True)
class Presence:
    """An agent that came or went."""

    agent_id: str
    connected: bool


@dataclass(frozen=True, slots=True)
class Restart:
    """The collector is restarted."""


Happening = Evidence | Presence | HostView | Restart


@dataclass(slots=True)
class World:
    """What happens to a fleet.

    Attributes:
        happenings: when the collector learns it, in nanoseconds, and what.
        views: hosts that differ from the fleet's.
        failing: units that truly failed; what is told of others is false.
    """

    fleet: SimulatedFleet
    name: str
    rng: random.Random
    causes: list[Cause] = field(default_factory=list)
    happenings: list[tuple[int, int, Happening]] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    views: dict[str, HostView] = field(default_factory=dict)
    end_ns: int = START
    quiet: set[str] = field(default_factory=set)
    failing: set[Unit] = field(default_factory=set)
    _number: int = 0

    def at(self, time_ns: int, what: Happening) -> None:
        """Let something be learnt at a time."""
        self._number += 1
        self.happenings.append((time_ns, self._number, what))
        self.end_ns = max(self.end_ns, time_ns)

    def error(
        self,
        view: HostView,
        disk: int,
        aspect: str,
        time_ns: int,
        *,
        late_ns: int = 0,
        skew_ns: int = 0,
        **fields: object,
    ) -> Unit:
        """Let a disk, or the filesystem on it, show an error; return the unit."""
        self._number += 1
        device = view.devices[disk]
        uuid = f"fs-{view.agent_id[-6:]}-{disk:02}"
        arrival_ns = time_ns + late_ns + self.rng.randrange(SECOND // 2)
        evidence = Evidence(
            event_id=f"{self.name}-{self._number}",
            agent_id=view.agent_id,
            host_name=view.host_name,
            kind=_KINDS[aspect],
            severity=event_pb2.SEVERITY_CRITICAL if aspect in _CRITICAL else event_pb2.SEVERITY_ERROR,
            source="kmsg",
            time_ns=time_ns + skew_ns,
            received_ns=arrival_ns,
            device_id=device.device_id,
            device_name=device.name,
            sector=self.rng.randrange(1 << 30) if aspect in {"media", "io"} else None,
            passed=False if aspect == "health" else None,
        )
        if aspect in {"corrupt", "fs_io"}:
            kind = view.filesystems.get(uuid, ("xfs", (), ""))[0]
            evidence = replace(evidence, filesystem_uuid=uuid, filesystem_type=kind, sector=None)
            if aspect == "corrupt":
                evidence = replace(evidence, device_id="", device_name="", ino=self.rng.randrange(1, 1 << 20))
        evidence = replace(evidence, **fields)  # type: ignore[arg-type]
        self.at(arrival_ns, evidence)
        if evidence.agent_id == view.agent_id and aspect != "undecoded":
            named = (evidence.device_id, evidence.filesystem_uuid, device.device_id, uuid)
            self.failing.update((view.agent_id, name) for name in named if name)
        return (view.agent_id, uuid if aspect == "corrupt" else device.device_id)

    def errors(
        self, view: HostView, disk: int, aspect: str, time_ns: int, *, count: int = 0, over_ns: int = 5 * MINUTE
    ) -> Unit:
        """Let a disk show several errors, the first at a time; soft ones enough to be a fault by themselves."""
        least = {"io": 6, "link": 12, "media": 2, "fs_io": 4}.get(aspect, 1)
        unit = self.error(view, disk, aspect, time_ns)
        for _ in range((count or least) - 1):
            self.error(view, disk, aspect, time_ns + self.rng.randrange(over_ns))
        return unit

    def vanish(self, view: HostView, time_ns: int, back_ns: int = 0) -> Unit:
        """Let a host go away, and come back at a time; 0: it stays away."""
        self.at(time_ns, Presence(view.agent_id, connected=False))
        self.failing.add((view.agent_id, view.agent_id))
        if back_ns:
            self.at(back_ns, Presence(view.agent_id, connected=True))
        return (view.agent_id, view.agent_id)

    def cause(self, dimension: str, value: str, members: Iterable[Unit], **fields: object) -> None:
        """Note the truth."""
        self.causes.append(Cause(dimension, value, frozenset(members), **fields))  # type: ignore[arg-type]

    def slow_cause(self, dimension: str, value: str, units: Iterable[Unit], *, aspect: str, **fields: object) -> None:
        """Note the truth of a cause that takes days or weeks, in what anybody could know of it.

        Drives of its group also fail by themselves in that time, in the same way. Nobody could tell which of them would
        have failed anyway: all that begin to fail so from the first to the last are its members. And another group of
        exactly the same drives is the same cause.
        """
        first: dict[Unit, int] = {}
        for _, _, what in self.happenings:
            if isinstance(what, Evidence) and what.kind == _KINDS[aspect]:
                unit = (what.agent_id, what.device_id)
                first[unit] = min(first.get(unit, what.time_ns), what.time_ns)
        own = set(units)
        times = [first[unit] for unit in own]
        group = (dimension, value)
        views = self.fleet.by_agent
        for unit, time_ns in first.items():
            if min(times) <= time_ns <= max(times) and group in views[unit[0]].unit_groups(0, unit[1]):
                own.add(unit)
        self.cause(dimension, value, own, same=self._same_drives(group), aspect=aspect, **fields)

    def _same_drives(self, group: tuple[str, str]) -> frozenset[tuple[str, str]]:
        """Return the other groups that consist of exactly the drives of a group."""
        sizes = self.fleet.population.sizes
        shared: set[tuple[str, str]] | None = None
        for view in self.fleet.views:
            for disk in view.devices:
                groups = view.unit_groups(0, disk.device_id)
                if group in groups:
                    alike = {one for one in groups if sizes.get(one, (0,))[0] == sizes[group][0]}
                    shared = alike if shared is None else shared & alike
            if shared == {group}:
                break
        return frozenset(shared or ()) - {group}

    def relabel(self, view: HostView, **labels: str) -> HostView:
        """Change labels of a host; an empty one goes."""
        kept = {**dict(view.labels), **labels}
        changed = replace(view, labels=tuple(sorted((name, value) for name, value in kept.items() if value)))
        self.views[view.agent_id] = changed
        return changed

    def background(self, days: float, rate: float = 1.0) -> None:
        """Let units fail as they do in a healthy fleet: by frailty, one in seven with another one on the same host."""
        drives = self.fleet.drives
        units = len(self.fleet.views) * self.fleet.shape.disks_a_host
        rates = {
            "lost": drives.lost_per_hour,
            "media": drives.media_per_hour,
            "link": drives.link_per_hour,
            "health": drives.health_per_hour,
        }
        for aspect, per_hour in rates.items():
            for _ in range(_poisson(per_hour * rate * units * 24 * days / (1 + drives.same_node / 2), self.rng)):
                self._one_fails(aspect, days)

    def _one_fails(self, aspect: str, days: float) -> None:
        view, disk = frail_unit(self.fleet, self.rng)
        if view.agent_id in self.quiet:
            return
        time_ns = START + int(self.rng.random() * days * DAY)
        self.errors(view, disk, aspect, time_ns)
        if self.rng.random() < self.fleet.drives.same_node / 2:
            other = self.rng.randrange(len(view.devices))
            if other != disk:
                self.errors(view, other, aspect, time_ns + int(self.rng.expovariate(1 / 3_600) * SECOND))
