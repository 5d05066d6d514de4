"""Comparing: the incidents of two diagnoses of one history, as they are in the end. Pure.

An onset that differs by seconds is the same: the clock offsets of hosts are known otherwise now than they were then.

What was told and taken back on the way (a shared cause that later evidence explained otherwise) is no difference: it
depends on the moments at which diagnosis looked. Nor is an incident that only one side has, when it is merged there
into one that both have.
"""

from collections.abc import Iterator, Mapping

from fsmend_proto.v1 import incident_pb2, why_pb2

Briefs = Mapping[str, why_pb2.IncidentBrief]
"""Incident id → the incident in short."""

_CLOCKS_NS = 2_000_000_000
_MERGED = incident_pb2.INCIDENT_STATE_MERGED
_RESOLVED = incident_pb2.INCIDENT_STATE_RESOLVED


def brief(incident: incident_pb2.Incident) -> why_pb2.IncidentBrief:
    """Return what is compared of an incident, and what people read of it."""
    members = {f"{one.agent_id} {one.filesystem_uuid or one.device_id or '-'}" for one in incident.members}
    return why_pb2.IncidentBrief(
        code=incident.code,
        cause=f"{incident.cause.dimension} {incident.cause.value}",
        onset_ns=incident.onset_ns,
        state=incident.state,
        merged_into=incident.merged_into,
        members=sorted(members),
        summary=incident.summary,
    )


def taken_back(incident: incident_pb2.Incident) -> bool:
    """Say whether a shared cause was told and taken back: merged into another, or withdrawn."""
    if not incident.HasField("statistics"):
        return False
    return incident.state == _MERGED or (incident.state == _RESOLVED and incident.resolution.startswith("withdrawn"))


def differences(then: Briefs, now: Briefs) -> Iterator[why_pb2.ReplayDifference]:
    """Yield each incident with how it differs, by the time it began."""
    ids = sorted(then.keys() | now.keys(), key=lambda one: ((now.get(one) or then[one]).onset_ns, one))
    for name in ids:
        found = why_pb2.ReplayDifference(id=name)
        if name in then:
            found.then.CopyFrom(then[name])
        if name in now:
            found.now.CopyFrom(now[name])
        if name not in then:
            if _explained(now[name], then, now):
                continue
            found.kind = why_pb2.DIFFERENCE_KIND_ONLY_NOW
        elif name not in now:
            if _explained(then[name], then, now):
                continue
            found.kind = why_pb2.DIFFERENCE_KIND_ONLY_THEN
        else:
            found.changed.extend(_changed(then[name], now[name]))
            found.kind = why_pb2.DIFFERENCE_KIND_CHANGED if found.changed else why_pb2.DIFFERENCE_KIND_SAME
        yield found


def _explained(one: why_pb2.IncidentBrief, then: Briefs, now: Briefs) -> bool:
    return one.state == _MERGED and one.merged_into in then and one.merged_into in now


def _changed(then: why_pb2.IncidentBrief, now: why_pb2.IncidentBrief) -> list[str]:
    rows = {
        "code": then.code != now.code,
        "cause": then.cause != now.cause,
        "members": list(then.members) != list(now.members),
        "onset": abs(then.onset_ns - now.onset_ns) > _CLOCKS_NS,
    }
    return [name for name, differs in rows.items() if differs]
