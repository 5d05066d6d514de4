"""What diagnosis hands out: an incident as it is now, and what changed it."""

from dataclasses import dataclass

from fsmend_proto.v1 import incident_pb2


@dataclass(frozen=True, slots=True)
class IncidentChange:
    """One incident after one step.

    Attributes:
        incident: the whole of it as it is now; store it under its id, replacing what was there.
        what: opened, evidence, changed (its code or severity), repair ordered, repairing, repair finished, resolved,
            reopened, muted, unmuted or merged.
        evidence_ids: events that belong to this step and not to an earlier change; the incident keeps a bounded list.
    """

    incident: incident_pb2.Incident
    what: str
    evidence_ids: tuple[str, ...] = ()
