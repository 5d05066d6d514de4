"""Shared incidents: what a verdict of the group scan is to the outside, from its opening to its end."""

from dataclasses import dataclass, field

from fsmend_collector.diagnosis.groups.aspects import DEVICE, FILESYSTEM
from fsmend_collector.diagnosis.groups.codes import GROUP_CODES
from fsmend_collector.diagnosis.groups.marks import Mark
from fsmend_collector.diagnosis.groups.verdict import Statistics, Verdict
from fsmend_collector.diagnosis.timeline import Timeline
from fsmend_proto.v1 import incident_pb2

_MEMBERS_LISTED = 1_000
_EVIDENCE_LISTED = 100
_State = incident_pb2.IncidentState


@dataclass(slots=True)
class SharedIncident:
    """One shared cause over time.

    Attributes:
        verdict: the newest.
        unresolved: ids of members' incidents that are not resolved.
        resolved_ns: when the last of them was, 0: open.
    """

    verdict: Verdict
    opened_ns: int
    updated_ns: int
    unresolved: set[str] = field(default_factory=set)
    members: set[str] = field(default_factory=set)
    resolved_ns: int = 0
    muted_until_ns: int = 0
    merged_into: str = ""
    withdrawn: bool = False
    timeline: Timeline = field(default_factory=Timeline)

    @property
    def state(self) -> incident_pb2.IncidentState.ValueType:
        """Return the state."""
        if self.merged_into:
            return incident_pb2.INCIDENT_STATE_MERGED
        over = self.resolved_ns or self.withdrawn
        return incident_pb2.INCIDENT_STATE_RESOLVED if over else incident_pb2.INCIDENT_STATE_OPEN

    @property
    def active(self) -> bool:
        """Say whether it is open."""
        return self.state == incident_pb2.INCIDENT_STATE_OPEN

    def incident(self, host_names: dict[str, str]) -> incident_pb2.Incident:
        """Return the incident that it is now."""
        verdict = self.verdict
        row = GROUP_CODES[verdict.code]
        marks = sorted(verdict.marks, key=lambda mark: mark.identity)
        dimension, value = verdict.group
        shown = host_names.get(value, value)
        incident = incident_pb2.Incident(
            id=verdict.incident_id,
            code=verdict.code,
            severity=row.severity,
            state=self.state,
            cause=incident_pb2.Cause(dimension=dimension, value=shown, odds=verdict.odds),
            suspects=[
                incident_pb2.Cause(
                    dimension=one.group[0], value=host_names.get(one.group[1], one.group[1]), odds=one.odds
                )
                for one in verdict.suspects
            ],
            members=[_unit(mark, host_names) for mark in marks[:_MEMBERS_LISTED]],
            onset_ns=verdict.onset_ns,
            opened_ns=self.opened_ns,
            updated_ns=self.updated_ns,
            resolved_ns=self.resolved_ns,
            occurrences=len(marks),
            locations=len({mark.agent_id for mark in marks}),
            evidence=[mark.evidence for mark in marks[:_EVIDENCE_LISTED]],
            evidence_count=len(marks),
            summary=_summary(verdict, shown),
            recommendation=row.action,
            muted_until_ns=self.muted_until_ns,
            merged_into=self.merged_into,
            sources=["group scan"],
            timeline=self.timeline.entries(),
            statistics=_statistics(verdict.statistics, marks, verdict.changes),
        )
        if dimension == "host":
            incident.unit.agent_id, incident.unit.host_name = value, shown
        if self.resolved_ns:
            incident.resolution = f"all {len(self.members)} incidents of its members are resolved"
        elif self.withdrawn:
            incident.resolution = "withdrawn: with later evidence nothing is shared"
        return incident


def _summary(verdict: Verdict, shown: str) -> str:
    units = {mark.key[1:] for mark in verdict.marks}
    hosts = {mark.agent_id for mark in verdict.marks}
    text = GROUP_CODES[verdict.code].summary.format(
        value=shown,
        what=verdict.group[0].removeprefix("label:").replace("_", " "),
        count=len(hosts) if verdict.statistics.counted == "hosts" else len(units),
        counted=verdict.statistics.counted,
    )
    figures = verdict.statistics
    return f"{text} ({figures.observed} {figures.counted} of {figures.units} units, {figures.expected:.2g} expected)"


def _unit(mark: Mark, host_names: dict[str, str]) -> incident_pb2.Unit:
    _, kind, agent_id, unit = mark.key
    return incident_pb2.Unit(
        agent_id=agent_id,
        host_name=host_names.get(agent_id, ""),
        device_id=unit if kind == DEVICE else "",
        filesystem_uuid=unit if kind == FILESYSTEM else "",
    )


def _statistics(row: Statistics, marks: list[Mark], changes: tuple[str, ...]) -> incident_pb2.GroupStatistics:
    return incident_pb2.GroupStatistics(
        aspect=row.aspect,
        counted=row.counted,
        observed=row.observed,
        expected=row.expected,
        population=row.units,
        exposure_hours=row.unit_hours,
        ratio_low=row.ratio_low,
        ratio_high=row.ratio_high,
        p=row.p,
        spent_per_day=row.spent_per_day,
        window_seconds=row.window_seconds,
        aspects=sorted({mark.aspect for mark in marks}),
        changes=changes,
    )
