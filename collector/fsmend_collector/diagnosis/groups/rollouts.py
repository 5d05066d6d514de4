"""Roll-outs: many hosts that come to run another kernel, or another agent, within a time. Pure: no I/O, no clock."""

from dataclasses import dataclass, field

from fsmend_collector.diagnosis.groups.changes import Change
from fsmend_collector.diagnosis.groups.dimensions import FLEET_VALUE
from fsmend_collector.diagnosis.groups.settings import DAY_NS

_LEAST_HOSTS = 3
_PAUSE_NS = 2 * DAY_NS
_SHOWS_NS = 7 * DAY_NS  # what a release brings with it shows when the old faults come round again
_KEPT = 1_000


@dataclass(slots=True)
class _Rollout:
    from_ns: int
    until_ns: int
    hosts: int


@dataclass(slots=True)
class Rollouts:
    """Count the hosts that changed to each release. Memory follows the releases, never the fleet."""

    _going_on: dict[tuple[str, str], _Rollout] = field(default_factory=dict)

    def note(self, what: str, old: str, new: str, now_ns: int) -> tuple[str, Change] | None:
        """Take that one host changed; return the roll-out that this is now, with a stable id, or None: too few hosts.

        Args:
            what: kernel, or agent.
            old: release that the host ran.
            new: release that it runs.
            now_ns: when the collector learnt it.
        """
        if not old or not new or old == new:
            return None
        known = self._going_on.get((what, new))
        if known is None or now_ns - known.until_ns > _PAUSE_NS:
            if len(self._going_on) >= _KEPT:
                self._going_on.pop(next(iter(self._going_on)))
            known = self._going_on[what, new] = _Rollout(now_ns, now_ns, 0)
        known.until_ns, known.hosts = max(now_ns, known.until_ns), known.hosts + 1
        if known.hosts < _LEAST_HOSTS:
            return None
        scope = ("kernel", new) if what == "kernel" else ("fleet", FLEET_VALUE)
        name = f"roll-out of {what} {new}, {known.hosts} hosts"
        return f"rollout:{what}:{new}:{known.from_ns}", Change(name, scope, known.from_ns, known.until_ns + _SHOWS_NS)
