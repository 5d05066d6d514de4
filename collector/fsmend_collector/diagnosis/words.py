"""What operators say of incidents: mute it for a while, or take my word that it is over."""

from fsmend_collector.diagnosis.codes import Family
from fsmend_collector.diagnosis.fault import Fault
from fsmend_collector.diagnosis.incident import IncidentChange
from fsmend_collector.diagnosis.ledger import Ledger
from fsmend_proto.v1 import incident_pb2

BY_OPERATOR = "operator:"
"""A resolution that begins so is the word of an operator."""


class Words:
    """Obey operators' words on incidents of single units.

    Attributes:
        written_off: agents that an operator said will not return; their silence is no news until they do.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.written_off: set[str] = set()

    def mute(self, incident_id: str, until_ns: int, now_ns: int, by: str) -> list[IncidentChange]:
        """Mute an incident until a time; `until_ns` at or before `now_ns` takes the mute off.

        Raises:
            KeyError: no such incident in memory.
        """
        fault = self._named(incident_id)
        what = "muted" if until_ns > now_ns else "unmuted"
        fault.mute(until_ns if until_ns > now_ns else 0)
        fault.timeline.add(now_ns, what, f"by {by}")
        return self._ledger.tell(fault, now_ns, what)

    def resolve(self, incident_id: str, proof: str, now_ns: int, by: str) -> list[IncidentChange]:
        """Take an operator's word as the proof that an incident is over; a newer error opens it again.

        Raises:
            KeyError: no such incident in memory.
        """
        fault = self._named(incident_id)
        fault.settled = (max(now_ns, *fault.latest.values(), 0), f"{by}: {proof}")
        if fault.key.family == Family.SILENCE.value:
            self.written_off.add(fault.key.agent_id)
        return self._ledger.tell(fault, now_ns)

    def fallen_mute(self, fault: Fault, now_ns: int) -> list[IncidentChange]:
        """End a mute whose time is over, or that fell because it got worse."""
        why = fault.mute_falls(now_ns)
        if not why:
            return []
        fault.mute(0)
        fault.timeline.add(now_ns, "unmuted", why)
        return self._ledger.tell(fault, now_ns, "unmuted")

    def restore(self, incident: incident_pb2.Incident, agent_id: str) -> None:
        """Remember from stored incidents, oldest first, that their agent was written off."""
        if incident.code == "AGENT_SILENT":
            self.written_off.discard(agent_id)
            if incident.resolution.startswith(BY_OPERATOR):
                self.written_off.add(agent_id)

    def returned(self, agent_id: str) -> bool:
        """Take note that an agent is there; return whether it had been written off."""
        if agent_id not in self.written_off:
            return False
        self.written_off.discard(agent_id)
        return True

    def _named(self, incident_id: str) -> Fault:
        for fault in self._ledger:
            if fault.id == incident_id and fault.opened_ns:
                return fault
        raise KeyError(incident_id)
