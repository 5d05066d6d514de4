"""Holds: what a scrub of ours finds is its result, not a new fault."""

from dataclasses import dataclass, field

from fsmend_collector.diagnosis.config import SECONDS_NS, DiagnosisConfig
from fsmend_collector.diagnosis.evidence import Evidence
from fsmend_collector.diagnosis.fault import Fault
from fsmend_collector.diagnosis.looked import Looked

_FINDINGS_KEPT = 1_000
_HOLDS_AN_AGENT = 200  # an agent that names commands nobody sent must not fill memory
_EXPIRY_SECONDS = 7 * 86_400

NO_REPAIR = frozenset({"collect_evidence", "self_test"})
"""Actions that neither change what is wrong nor cause findings."""

REST_OF = "rest of "
"""Before an action's name: it went on where an earlier one was cut short, so it says nothing of what that had seen."""

PART_OF = "part of "
"""Before an action's name: it named pieces of its target."""


@dataclass(slots=True)
class Hold:
    """One command of ours, from its start until its end.

    Attributes:
        started_ns: first report that it runs, 0: not yet.
        ended_ns: final report, 0: it still runs.
        healed: whether its end explains its findings; None while it runs.
        findings: evidence that waits for the end, at most a thousand; the scrub's own count is exact.
        found: how many errors the findings stand for.
        looked: at what it looked, once it ended; None: at all of its target.
        given_up: the collector itself ended it, because nothing was heard of it; what its agent tells yet counts.
    """

    command_id: str
    agent_id: str
    filesystem_uuid: str
    action: str = ""
    noted_ns: int = 0
    started_ns: int = 0
    ended_ns: int = 0
    healed: bool | None = None
    findings: list[Evidence] = field(default_factory=list)
    found: int = 0
    looked: Looked | None = None
    given_up: bool = False

    def resume(self) -> None:
        """Go on: its agent is back."""
        self.ended_ns, self.healed, self.given_up = 0, None, False

    @property
    def proves(self) -> bool:
        """Say whether its end proves that what it looked at is well."""
        return bool(self.healed) and not self.action.startswith(REST_OF)

    def proves_well(self, fault: Fault) -> bool:
        """Say whether its end proves that a fault is over: it looked at all of it, and nothing failed beside."""
        return self.proves and (self.looked is None or (not self.findings and self.looked.covers(fault)))

    def explains(self, evidence: Evidence) -> bool:
        """Say whether its good end explains a finding that it covers."""
        return bool(evidence.command_id) or self.looked is None or not self.looked.is_beside(evidence)

    def covers(self, evidence: Evidence, holdoff_ns: int) -> bool:
        """Say whether the finding belongs to this command, by its id or by its time."""
        if evidence.command_id:
            return evidence.command_id == self.command_id
        return (
            self.action not in NO_REPAIR
            and bool(self.filesystem_uuid)
            and evidence.filesystem_uuid == self.filesystem_uuid
            and 0 < self.started_ns <= evidence.time_ns
            and (not self.ended_ns or evidence.time_ns <= self.ended_ns + holdoff_ns)
        )

    def keep(self, evidence: Evidence) -> None:
        """Keep a finding until the end of the command."""
        self.found += evidence.count
        if len(self.findings) < _FINDINGS_KEPT:
            self.findings.append(evidence)


class Holds:
    """Know the commands that run or ran lately, each with the agent it was sent to."""

    def __init__(self, config: DiagnosisConfig) -> None:
        self._holdoff_ns = config.scrub_holdoff_seconds * SECONDS_NS
        self._counter_holdoff_ns = config.counter_holdoff_seconds * SECONDS_NS
        self._lateness_ns = config.lateness_seconds * SECONDS_NS
        self._agents: dict[str, dict[str, Hold]] = {}

    def of_agent(self, agent_id: str) -> bool:
        """Say whether a command of an agent is known."""
        return agent_id in self._agents

    def of_command(self, command_id: str, agent_id: str, filesystem_uuid: str, now_ns: int) -> Hold:
        """Return the hold of a command, new when it was not known."""
        holds = self._agents.setdefault(agent_id, {})
        hold = holds.setdefault(command_id, Hold(command_id, agent_id, filesystem_uuid))
        hold.noted_ns = now_ns
        hold.filesystem_uuid = hold.filesystem_uuid or filesystem_uuid
        return hold

    def covering(self, evidence: Evidence, now_ns: int) -> Hold | None:
        """Return the hold that the finding belongs to; a command id that nobody noted makes one, within bounds."""
        holds = self._agents.get(evidence.agent_id, {})
        holdoff_ns = self._holdoff_ns if evidence.reading is None else self._counter_holdoff_ns
        covering = [hold for hold in holds.values() if hold.covers(evidence, holdoff_ns)]
        if covering:  # the check that found it may have ended just before the repair began
            return max(covering, key=lambda hold: hold.started_ns)
        if evidence.command_id and len(holds) < _HOLDS_AN_AGENT:
            return self.of_command(evidence.command_id, evidence.agent_id, evidence.filesystem_uuid, now_ns)
        return None

    def expire(self, now_ns: int) -> list[Evidence]:
        """Forget commands that ended long ago; return the findings of those that never told their end."""
        orphans: list[Evidence] = []
        for agent_id, holds in list(self._agents.items()):
            for command_id, hold in list(holds.items()):
                ended = hold.ended_ns and now_ns - max(hold.ended_ns, hold.noted_ns) > self._lateness_ns
                lost = not hold.ended_ns and now_ns - hold.noted_ns > _EXPIRY_SECONDS * SECONDS_NS
                if ended or lost:
                    del holds[command_id]
                    orphans += [] if ended else hold.findings
            if not holds:
                del self._agents[agent_id]
        return orphans
