"""The description of an incident: the whole story on one page. Pure."""

from collections.abc import Sequence

from fsmend_collector.query.render.columns import action_name
from fsmend_collector.query.render.escape import visible
from fsmend_collector.query.render.eventline import event_line
from fsmend_collector.query.render.readings import history_lines, result_lines, state_word
from fsmend_collector.query.render.section import Fact, facts, grid, heading, section
from fsmend_collector.query.render.values import errno_name, local_time, word
from fsmend_collector.query.render.why import figure_facts
from fsmend_proto.v1 import event_pb2, incident_pb2
from fsmend_proto.v1 import query_pb2 as pb


def incident_lines(
    view: incident_pb2.Incident, commands: Sequence[pb.CommandView], events: Sequence[pb.EventView]
) -> list[str]:
    """Return unit, cause, places, evidence, timeline, commands with their readings, and what to do."""
    lines = [heading(f"{view.code}  {visible(view.summary)}"), *facts(_head(view)), *_unit(view)]
    lines += section("Cause", _causes(view)) + _figures(view)
    lines += section("Members", _members(view)) + section("Places", _places(view))
    shown = f", {len(events)} shown" if len(events) < view.evidence_count else ""
    lines += section(f"Evidence ({view.evidence_count} events{shown})", [event_line(one, wide=True) for one in events])
    lines += section("Errors by class", _classes(view)) + section("Proofs", _proofs(view))
    lines += section("Timeline", _timeline(view))
    for command in commands:
        lines += _command(command)
    return lines + section("Recommendation", [visible(view.recommendation)] if view.recommendation else [])


def _head(view: incident_pb2.Incident) -> list[Fact]:
    return [
        ("Incident", view.id),
        ("Severity", word(event_pb2.Severity.DESCRIPTOR, view.severity)),
        ("State", word(incident_pb2.IncidentState.DESCRIPTOR, view.state)),
        ("Resolution", view.resolution),
        ("Merged into", view.merged_into),
        ("Muted until", local_time(view.muted_until_ns)),
        ("Began", local_time(view.onset_ns)),
        ("Fails since", local_time(view.since_ns) if view.since_ns != view.onset_ns else ""),
        ("Opened", local_time(view.opened_ns)),
        ("Updated", local_time(view.updated_ns)),
        ("Resolved", local_time(view.resolved_ns)),
        ("Errors", f"{view.occurrences} counted in {view.locations} places"),
        ("Errno", ", ".join(errno_name(number) for number in view.errnos)),
        ("Seen by", ", ".join(view.sources)),
        ("Page", f"docs/incidents.md#{view.code.lower()}"),
    ]


def _unit(view: incident_pb2.Incident) -> list[str]:
    unit = view.unit
    pairs: list[Fact] = [
        ("Host", f"{unit.host_name} (agent {unit.agent_id})"),
        ("Filesystem", " ".join(part for part in (unit.filesystem_type, unit.filesystem_uuid) if part)),
        ("Mount point", unit.mount_point),
        ("Device", " ".join(part for part in (unit.device_name, unit.device_id) if part)),
    ]
    return section("Unit", facts(pairs))


def _causes(view: incident_pb2.Incident) -> list[str]:
    causes = ([view.cause] if view.HasField("cause") else []) + list(view.suspects)
    return [
        f"{visible(cause.dimension)} {visible(cause.value)}" + (f", odds {cause.odds:.2g}" if cause.odds else "")
        for cause in causes
    ]


def _figures(view: incident_pb2.Incident) -> list[str]:
    """Return the figures of a shared cause, and what of it was too little to be one."""
    if not view.HasField("statistics"):
        return section("Nearby", [visible(view.insufficient)] if view.insufficient else [])
    changes = [visible(one) for one in view.statistics.changes]
    return section("Figures", facts(figure_facts(view.statistics))) + section("Changes before it", changes)


def _members(view: incident_pb2.Incident) -> list[str]:
    rows: list[list[str | bytes]] = [
        [unit.host_name, unit.filesystem_uuid, unit.device_name or unit.device_id, unit.mount_point]
        for unit in view.members
    ]
    return grid(("HOST", "FILESYSTEM", "DEVICE", "MOUNT"), rows)


def _places(view: incident_pb2.Incident) -> list[str]:
    rows: list[list[str | bytes]] = []
    for place in view.places:
        inode = f"{place.ino}" + (f" gen {place.generation}" if place.generation else "") if place.ino else "-"
        code = f"{place.function}:{place.line}" if place.function else "-"
        sectors = f"{place.sectors.start}+{place.sectors.count}" if place.HasField("sectors") else "-"
        rows.append([inode, place.path or "-", code, sectors, _sick(place)])
    columns = ("INODE", "PATH", "CODE", "SECTORS", "SICK")
    if not any(place.xfs_sick for place in view.places):
        return grid(columns[:-1], [row[:-1] for row in rows])
    return grid(columns, rows)


def _sick(place: incident_pb2.Place) -> str:
    """Say which part of an XFS is sick, with its mask as the kernel's header counts the bits."""
    if not place.xfs_sick:
        return "-"
    scope = word(event_pb2.XfsScope.DESCRIPTOR, place.xfs_scope)
    number = "" if place.ino or place.xfs_scope == event_pb2.XFS_SCOPE_FS else f" {place.xfs_number}"
    return f"{scope}{number} {place.xfs_sick:#x}"


def _classes(view: incident_pb2.Incident) -> list[str]:
    """Say which classes of error there are, and which of them a proof covers: the others keep the incident open."""
    rows: list[list[str | bytes]] = [
        [one.name, local_time(one.first_ns), local_time(one.latest_ns), "no" if one.open else "yes"]
        for one in view.classes
    ]
    return grid(("CLASS", "FIRST", "LATEST", "PROVEN WELL"), rows)


def _proofs(view: incident_pb2.Incident) -> list[str]:
    names = [visible(one.name.replace("_", " ")) for one in view.proofs]
    rows = zip(names, view.proofs, strict=True)
    return [f"{local_time(one.wall_ns)}  {name}: {visible(one.text)}" for name, one in rows]


def _timeline(view: incident_pb2.Incident) -> list[str]:
    return [
        f"{local_time(entry.wall_ns)}  {visible(entry.what)}: {visible(entry.text)}"
        + (f" (command {visible(entry.command_id)})" if entry.command_id else "")
        for entry in view.timeline
    ]


def _command(view: pb.CommandView) -> list[str]:
    title = f"Command {visible(view.command.id)}: {action_name(view.command)}, {state_word(view.state)}"
    order: list[Fact] = [("Ordered by", view.command.ordered_by), ("Reason", view.command.reason)]
    inner = [*facts(order), *history_lines(view), *result_lines(view)]
    return section(title, inner)
