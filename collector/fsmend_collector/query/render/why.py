"""Why an incident is one, on one page: causes with odds, figures, what would change our mind, evidence. Pure."""

from fsmend_collector.query.render.escape import visible
from fsmend_collector.query.render.grounds import grounds_lines
from fsmend_collector.query.render.section import Fact, facts, grid, heading, section
from fsmend_collector.query.render.values import duration, local_time, word
from fsmend_proto.v1 import event_pb2, incident_pb2, why_pb2


def why_lines(why: why_pb2.Why) -> list[str]:
    """Return the whole answer."""
    incident = why.incident
    lines = [heading(f"{incident.code}  {visible(incident.summary)}"), *facts(_head(why))]
    lines += section("Meaning", [why.page.meaning] if why.page.meaning else [])
    shared = incident.HasField("statistics")
    lines += section("Competing causes", cause_lines(incident) if shared else _own_cause(incident))
    if shared:
        lines += section("Figures of the cause", facts(figure_facts(incident.statistics)))
        lines += section("What would change our mind", _minds(incident))
        lines += section("Changes before it", [visible(one) for one in incident.statistics.changes])
    else:
        lines += grounds_lines(why.unit, incident.insufficient)
    lines += _evidence(why) + _members(why) + _gaps(why)
    lines += section("What to do", [visible(incident.recommendation or why.page.action)])
    return lines + section("It closes", [why.page.closes] if why.page.closes else [])


def _head(why: why_pb2.Why) -> list[Fact]:
    incident = why.incident
    unit = incident.unit
    where = unit.mount_point or unit.device_name or unit.device_id or unit.filesystem_uuid
    return [
        ("Incident", incident.id),
        ("State", word(incident_pb2.IncidentState.DESCRIPTOR, incident.state)),
        ("Resolution", incident.resolution),
        ("Merged into", incident.merged_into),
        ("Muted until", local_time(incident.muted_until_ns)),
        ("Host", unit.host_name),
        ("Unit", where),
        ("Began", local_time(incident.onset_ns)),
        ("Page", why.page.page),
    ]


def odds(value: float) -> str:
    """Write odds as people say them: 40:1, 1:12."""
    if not value:
        return "-"
    return f"{value:.3g}:1" if value >= 1 else f"1:{1 / value:.3g}"


def cause_lines(incident: incident_pb2.Incident) -> list[str]:
    """Return the table of the cause and its suspects, the cause in the first row."""
    rows: list[list[str | bytes]] = []
    for cause in (incident.cause, *incident.suspects):
        row = incident.statistics if cause is incident.cause else cause.figures
        known = cause is incident.cause or cause.HasField("figures")
        rows.append([f"{cause.dimension} {cause.value}", odds(cause.odds), *(_figures(row) if known else ["-"] * 5)])
    return grid(("CAUSE", "ODDS", "FAIL", "EXPECTED", "RATIO", "EXPLAINS", "SCORE"), rows)


def _figures(row: incident_pb2.GroupStatistics) -> list[str]:
    of = row.hosts if row.counted == "hosts" else row.population
    return [
        f"{row.observed}/{of}",
        f"{row.expected:.2g}",
        f"{_ratio(row):.2g}",
        str(row.explains),
        f"{row.score:.1f}",
    ]


def _ratio(row: incident_pb2.GroupStatistics) -> float:
    return row.observed / row.expected if row.expected else 0.0


def figure_facts(row: incident_pb2.GroupStatistics) -> list[Fact]:
    """Return the figures one by one, with their units."""
    of = row.hosts if row.counted == "hosts" else row.population
    window = duration(row.window_seconds) if row.window_seconds else "the slow rise that the sequential test found"
    return [
        ("Counted", f"{row.counted} that fail as {', '.join(row.aspects) or row.aspect}"),
        (
            "Observed",
            f"{row.observed} of {of} {row.counted}; {row.explains} units of the {row.population} in the group",
        ),
        ("Expected", f"{row.expected:.3g} in the same time, were nothing shared"),
        ("Ratio", f"{_ratio(row):.3g}, 95 % interval {row.ratio_low:.3g} to {row.ratio_high:.3g}"),
        ("Exposure", f"{row.exposure_hours:.4g} unit hours; window {window}"),
        (
            "Base rate",
            f"{row.group_per_hour:.3g} an hour for a unit of the group, {row.fleet_per_hour:.3g} in the fleet",
        ),
        ("Chance (p)", f"{row.p:.3g} for so many or more"),
        ("Spent (q)", f"{row.spent_per_day:.3g} false incidents a day, over all groups that are looked at"),
        ("Asked for", f"at least {row.least} {row.counted} in the window"),
        ("Score", f"{row.score:.1f} nats, after {row.penalty:.1f} for its dimension"),
    ]


def _minds(incident: incident_pb2.Incident) -> list[str]:
    return [visible(mind.text) for cause in (incident.cause, *incident.suspects) for mind in cause.mind_changes]


def _own_cause(incident: incident_pb2.Incident) -> list[str]:
    lines = [visible(f"{incident.cause.dimension} {incident.cause.value}")]
    return lines + [visible(f"{one.dimension} {one.value}") for one in incident.suspects]


def _evidence(why: why_pb2.Why) -> list[str]:
    rows: list[list[str | bytes]] = [
        [
            one.id,
            local_time(one.wall_ns),
            one.host_name or "-",
            one.source,
            word(event_pb2.EventKind.DESCRIPTOR, one.kind) if one.kind else "-",
            one.message or "-",
        ]
        for one in why.evidence
    ]
    lines = grid(("EVENT", "TIME", "HOST", "SOURCE", "KIND", "MESSAGE"), rows)
    if why.evidence_more:
        lines.append(f"{why.evidence_more} more: fsmend get events --incident {why.incident.id} --limit 0")
    return section("Evidence", lines)


def member_rows(members: list[why_pb2.MemberIncident]) -> list[str]:
    """Return a table of incidents in short."""
    state = incident_pb2.IncidentState.DESCRIPTOR
    rows: list[list[str | bytes]] = [
        [one.id, one.code, word(state, one.state), one.host_name or "-", one.unit or "-", local_time(one.onset_ns)]
        for one in members
    ]
    return grid(("INCIDENT", "CODE", "STATE", "HOST", "UNIT", "BEGAN"), rows)


def _members(why: why_pb2.Why) -> list[str]:
    lines = member_rows(list(why.member_incidents))
    if why.member_incidents_more:
        lines.append(f"{why.member_incidents_more} more; fsmend describe incident {why.incident.id} lists the members")
    return section("Incidents that it explains", lines)


def _gaps(why: why_pb2.Why) -> list[str]:
    rows: list[list[str | bytes]] = [
        [one.id, local_time(one.received_ns), one.host_name, one.reason, str(one.lost or "?")] for one in why.gaps
    ]
    lines = grid(("GAP", "RECEIVED", "HOST", "REASON", "LOST"), rows)
    if why.gaps_more:
        lines.append(f"{why.gaps_more} more: fsmend get gaps --limit 0")
    return section("Unknown, because telemetry was lost", lines)
