"""Incidents in short, as one row of an answer about something larger."""

from fsmend_proto.v1 import incident_pb2, why_pb2


def member_incident(incident: incident_pb2.Incident) -> why_pb2.MemberIncident:
    """Return the row of an incident."""
    unit = incident.unit
    return why_pb2.MemberIncident(
        id=incident.id,
        code=incident.code,
        state=incident.state,
        host_name=unit.host_name,
        unit=unit.device_name or unit.device_id or unit.filesystem_uuid or incident.cause.value,
        onset_ns=incident.onset_ns,
    )
