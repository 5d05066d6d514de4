"""When what happens in a world happens on the wire: a linear map from its clock to the wall clock. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from fsmend_collector.diagnosis.evidence import Evidence
from fsmend_collector.simulate.world import DAY, SECOND, Presence, Unit, World

TRUTH_WITHIN_SECONDS = 120.0
"""Without a speed, the truth of a scenario happens within so long."""


@dataclass(frozen=True, slots=True)
class Timetable:
    """The map.

    Attributes:
        from_ns: a moment of the world's clock.
        at_ns: the same moment of the wall clock.
        speed: seconds of the world in a second of the wall clock.
    """

    from_ns: int
    at_ns: int
    speed: float = 1.0

    def wall_ns(self, world_ns: int) -> int:
        """Return when a moment of the world is; a clock that stands in 1970 stands there here too."""
        if world_ns < DAY:
            return max(1, world_ns)
        return max(1, self.at_ns + round((world_ns - self.from_ns) / self.speed))

    def in_seconds(self, world_ns: int, now_ns: int) -> float:
        """Return how long to wait for a moment of the world; negative: it is over."""
        return (self.wall_ns(world_ns) - now_ns) / SECOND


def concerns(what: object, members: frozenset[Unit]) -> bool:
    """Say whether a happening is about a unit of a cause."""
    agent_id = getattr(what, "agent_id", "")
    if isinstance(what, Evidence):
        return (agent_id, what.device_id) in members or (agent_id, what.filesystem_uuid) in members
    return isinstance(what, Presence) and not what.connected and (agent_id, agent_id) in members


def truth_span(world: World) -> tuple[int, int]:
    """Return when the true causes begin and end to show; of a world without any the whole of it."""
    members: frozenset[Unit] = frozenset().union(*(one.members for one in world.causes))
    times = [when for when, _, what in world.happenings if concerns(what, members)]
    times = times or [when for when, _, _ in world.happenings]
    return (min(times), max(times)) if times else (world.end_ns, world.end_ns)


def default_speed(span: Iterable[int]) -> float:
    """Return how fast a scenario is played unless told: as it is, or so that its truth happens in two minutes."""
    first, last = span
    return max(1.0, (last - first) / SECOND / TRUTH_WITHIN_SECONDS)
