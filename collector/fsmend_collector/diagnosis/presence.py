"""Presence: which agents are connected, and since when nothing of theirs was lost."""

from dataclasses import dataclass, field

from fsmend_collector.diagnosis.evidence import Evidence
from fsmend_proto.v1 import event_pb2, record_pb2

_REASONS = {number: name.removeprefix("GAP_REASON_").lower() for name, number in record_pb2.GapReason.items()}


@dataclass(slots=True)
class AgentWatch:
    """What is known of one agent's watch.

    Attributes:
        connected: whether it is now.
        since_ns: since when it is connected, or away.
        lost_ns: latest loss of telemetry, 0: none known.
        broken: sources that are broken now.
    """

    host_name: str = ""
    connected: bool = True
    since_ns: int = 0
    lost_ns: int = 0
    broken: set[str] = field(default_factory=set)

    def watched_since(self, latest_error_ns: int) -> int | None:
        """Return since when a counter would have been seen to move; None when nobody watches now."""
        if not self.connected or self.broken:
            return None
        return max(latest_error_ns, self.lost_ns)


def silence(agent_id: str, watch: AgentWatch, now_ns: int) -> Evidence:
    """Return the evidence that an agent is away."""
    return Evidence(
        event_id=f"silent:{agent_id}:{watch.since_ns}",
        agent_id=agent_id,
        host_name=watch.host_name,
        kind=event_pb2.EVENT_KIND_AGENT_STATE,
        severity=event_pb2.SEVERITY_ERROR,
        source="collector",
        time_ns=watch.since_ns,
        received_ns=now_ns,
    )


def loss(gap: record_pb2.Gap, agent_id: str, host_name: str, gap_id: str, now_ns: int) -> Evidence:
    """Return the evidence that telemetry was lost."""
    reason = _REASONS.get(gap.reason, str(gap.reason))
    clocks = f"{gap.clocks.boot_id}:{gap.clocks.boot_ns}"
    return Evidence(
        event_id=gap_id or f"gap:{agent_id}:{reason}:{gap.from_sequence}:{gap.to_sequence}:{gap.source}:{clocks}",
        agent_id=agent_id,
        host_name=host_name,
        kind=event_pb2.EVENT_KIND_AGENT_STATE,
        severity=event_pb2.SEVERITY_WARNING,
        source=gap.source or "spool",
        time_ns=now_ns,
        received_ns=now_ns,
        count=max(gap.lost, gap.to_sequence - gap.from_sequence + 1 if gap.from_sequence else 0, 1),
        message=f"{reason}: {gap.message}",
    )
