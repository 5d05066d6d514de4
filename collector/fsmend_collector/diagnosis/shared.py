"""Shared incidents: what a verdict of the group scan is to the outside, from its opening to its end."""

from dataclasses import dataclass, field
from functools import partial
from heapq import heappop, heappush, nsmallest
from operator import attrgetter

from fsmend_collector.diagnosis.config import SECONDS_NS
from fsmend_collector.diagnosis.groups.aspects import DEVICE, FILESYSTEM
from fsmend_collector.diagnosis.groups.codes import GROUP_CODES
from fsmend_collector.diagnosis.groups.marks import Mark
from fsmend_collector.diagnosis.groups.verdict import Verdict
from fsmend_collector.diagnosis.hypotheses import cause_of, figures, named, shown_value, suspect_of
from fsmend_collector.diagnosis.timeline import Timeline
from fsmend_collector.diagnosis.view import IncidentView
from fsmend_proto.v1 import incident_pb2

_MEMBERS_LISTED = 1_000
_EVIDENCE_LISTED = 100
_PLACES_SHOWN = 3
_STALE_KEPT = 64
_BEFORE_NS = 600 * SECONDS_NS
ALL_OVER = "all incidents of its members are resolved"
_State = incident_pb2.IncidentState


@dataclass(slots=True)
class SharedIncident:
    """One shared cause over time.

    Attributes:
        verdict: the newest.
        unresolved: ids of members' incidents that are not resolved, and since when each unit fails.
        proven_ns: time of the latest proof that ended an incident of a member.
        resolved_ns: when the last of them was over, 0: open.
        proof: what a stored one was closed with.
        muted_marks: how many marks it had when it was muted; after a restart, when it was last stored.
    """

    verdict: Verdict
    opened_ns: int
    updated_ns: int
    unresolved: dict[str, int] = field(default_factory=dict)
    proven_ns: int = 0
    resolved_ns: int = 0
    muted_until_ns: int = 0
    muted_marks: int = 0
    merged_into: str = ""
    withdrawn: bool = False
    proof: str = ""
    timeline: Timeline = field(default_factory=Timeline)
    _by_since: list[tuple[int, str]] = field(default_factory=list)

    @classmethod
    def resumed(cls, verdict: Verdict, stored: incident_pb2.Incident) -> "SharedIncident":
        """Take a stored one back, with the verdict that its marks lead to again."""
        one = cls(verdict, stored.opened_ns, stored.updated_ns)
        one.resolved_ns, one.merged_into, one.proof = stored.resolved_ns, stored.merged_into, stored.resolution
        one.withdrawn = stored.state == incident_pb2.INCIDENT_STATE_RESOLVED and not stored.resolved_ns
        one.muted_until_ns, one.muted_marks = stored.muted_until_ns, stored.occurrences
        one.proven_ns = stored.resolved_ns
        one.timeline.restore(list(stored.timeline))
        return one

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

    def waits_for(self, view: IncidentView) -> bool:
        """Say whether it is not over before an incident is. What was wrong with the unit before is only held."""
        return view.began_ns >= self.verdict.onset_ns - _BEFORE_NS

    def was_open(self, time_ns: int) -> bool:
        """Say whether it would not have been over, had an error of that time not come late."""
        over = self.state == incident_pb2.INCIDENT_STATE_RESOLVED and self.proof in {"", ALL_OVER}
        return over and self.verdict.onset_ns - _BEFORE_NS <= time_ns <= self.resolved_ns

    def learn(self, view: IncidentView) -> None:
        """Take since when an incident of a member is open, or when it was over."""
        if not self.waits_for(view):
            return
        if view.resolved:
            self.proven_ns = max(self.proven_ns, view.resolved_ns)
            return
        since_ns = view.since_ns
        if self.unresolved.get(view.id) != since_ns:
            self.unresolved[view.id] = since_ns
            heappush(self._by_since, (since_ns, view.id))
            if len(self._by_since) > 2 * len(self.unresolved) + _STALE_KEPT:
                self._by_since = sorted((at_ns, key) for key, at_ns in self.unresolved.items())

    @property
    def over_ns(self) -> int:
        """Return when it is over as far as is known; 0: a unit fails since before that.

        By when things happened, and not by when they were told: what began to fail later is something else, also when
        that is heard of first.
        """
        while self._by_since and self.unresolved.get(self._by_since[0][1]) != self._by_since[0][0]:
            heappop(self._by_since)
        latest_ns = max(self.proven_ns, self.verdict.latest_ns)
        return 0 if self._by_since and self._by_since[0][0] <= latest_ns else latest_ns

    @property
    def ran_out(self) -> bool:
        """Say whether all that it holds was over before anybody could wait for it."""
        return self.active and self.proven_ns >= self.verdict.latest_ns and self.over_ns > 0

    def reopen(self) -> None:
        """Take back that it was over."""
        self.merged_into, self.withdrawn, self.resolved_ns, self.proof = "", False, 0, ""

    def mute(self, until_ns: int, now_ns: int, by: str) -> str:
        """Mute it until a time, or take the mute off with one that is past; name the change."""
        what = "muted" if until_ns > now_ns else "unmuted"
        self.muted_until_ns = until_ns if until_ns > now_ns else 0
        self.muted_marks = len(self.verdict.marks)
        self.timeline.add(now_ns, what, by)
        return what

    def view(self, host_names: dict[str, str]) -> IncidentView:
        """Return it as it is, to be put together when it is read."""
        began_ns = max(self.verdict.onset_ns, self.opened_ns)
        make = partial(self.incident, host_names)
        resolved = self.state == incident_pb2.INCIDENT_STATE_RESOLVED
        view = IncidentView(self.verdict.incident_id, "", began_ns, make, list, resolved=resolved)
        view.shared = True
        return view

    def is_as(self, stored: incident_pb2.Incident, host_names: dict[str, str]) -> bool:
        """Say whether it is as it was stored: then nobody needs to hear of it."""
        faces = [
            (one.code, one.onset_ns, one.occurrences, [(row.dimension, row.value) for row in one.suspects])
            for one in (self.incident(host_names), stored)
        ]
        return faces[0] == faces[1]

    def incident(self, host_names: dict[str, str]) -> incident_pb2.Incident:
        """Return the incident that it is now."""
        verdict = self.verdict
        row = GROUP_CODES[verdict.code]
        first = nsmallest(_MEMBERS_LISTED, verdict.marks, key=attrgetter("identity"))
        hosts = len({mark.agent_id for mark in verdict.marks})
        dimension, value = verdict.group
        shown = shown_value(verdict.group, host_names)
        incident = incident_pb2.Incident(
            id=verdict.incident_id,
            code=verdict.code,
            severity=row.severity,
            state=self.state,
            cause=cause_of(verdict, host_names),
            suspects=[suspect_of(verdict, one, host_names) for one in verdict.suspects],
            onset_ns=verdict.onset_ns,
            opened_ns=self.opened_ns,
            updated_ns=self.updated_ns,
            resolved_ns=self.resolved_ns,
            occurrences=len(verdict.marks),
            locations=hosts,
            evidence=[mark.evidence for mark in first[:_EVIDENCE_LISTED]],
            evidence_count=len(verdict.marks),
            summary=_summary(verdict, shown, hosts),
            recommendation=row.action,
            muted_until_ns=self.muted_until_ns,
            merged_into=self.merged_into,
            sources=["group scan"],
            statistics=figures(verdict.statistics, verdict.marks),
        )
        _write_members(incident, first, host_names)
        self.timeline.write(incident)
        incident.statistics.changes.extend(verdict.changes)
        if dimension == "host":
            incident.unit.agent_id, incident.unit.host_name = value, shown
        if self.resolved_ns:
            incident.resolution = self.proof or ALL_OVER
        elif self.withdrawn:
            incident.resolution = "withdrawn: with later evidence nothing is shared"
        return incident


def _summary(verdict: Verdict, shown: str, hosts: int) -> str:
    count = hosts if verdict.statistics.counted == "hosts" else len({mark.key[1:] for mark in verdict.marks})
    text = GROUP_CODES[verdict.code].summary.format(
        value=shown,
        what=verdict.group[0].removeprefix("label:").replace("_", " "),
        count=count,
        counted=verdict.statistics.counted,
    )
    if verdict.places:
        shown_places = [named(one, {}) for one in verdict.places[:_PLACES_SHOWN]]
        more = [f"{len(verdict.places) - _PLACES_SHOWN} more places"] if verdict.places[_PLACES_SHOWN:] else []
        text += f", in {', '.join(shown_places + more)}"
    if verdict.signature:
        text += f", most at {verdict.signature}"
    figures = verdict.statistics
    return f"{text} ({figures.observed} {figures.counted} of {figures.units} units, {figures.expected:.2g} expected)"


def _write_members(incident: incident_pb2.Incident, marks: list[Mark], host_names: dict[str, str]) -> None:
    """Put the units of marks into the message of an incident."""
    for mark in marks:
        _, kind, agent_id, unit = mark.key
        member = incident.members.add()
        member.agent_id, member.host_name = agent_id, host_names.get(agent_id, "")
        if kind == DEVICE:
            member.device_id = unit
        elif kind == FILESYSTEM:
            member.filesystem_uuid = unit
