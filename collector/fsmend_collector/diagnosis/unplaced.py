"""Findings whose unit's identity is not known yet, kept for the day it is."""

from dataclasses import replace

from fsmend_collector.diagnosis.evidence import Evidence
from fsmend_collector.diagnosis.joining import FaultKey

_KEPT = 1_000


class Unplaced:
    """Keep findings under the provisional keys of their faults."""

    def __init__(self) -> None:
        self._agents: dict[str, dict[FaultKey, dict[str, Evidence]]] = {}

    def keep(self, key: FaultKey, evidence: Evidence) -> None:
        """Keep a finding; past the bound only the counts of each source."""
        waiting = self._agents.setdefault(key.agent_id, {}).setdefault(key, {})
        name = evidence.event_id
        if len(waiting) >= _KEPT:
            name = f"{evidence.kind} {evidence.source} {evidence.form}"
            if name in waiting:
                evidence = replace(waiting[name], count=waiting[name].count + evidence.count)
        waiting[name] = evidence

    def of_agent(self, agent_id: str) -> list[tuple[FaultKey, list[Evidence]]]:
        """Return the findings of an agent by key; of each key at least one."""
        return [(key, list(waiting.values())) for key, waiting in self._agents.get(agent_id, {}).items()]

    def forget(self, key: FaultKey) -> None:
        """Forget the findings of a key."""
        keys = self._agents.get(key.agent_id, {})
        keys.pop(key, None)
        if not keys:
            self._agents.pop(key.agent_id, None)
