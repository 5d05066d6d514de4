"""What else fails near a unit, when it is too little for a shared cause."""

from itertools import islice

from fsmend_collector.diagnosis.groups import GroupScan
from fsmend_collector.diagnosis.view import IncidentView


def nearby(scan: GroupScan, view: IncidentView) -> str:
    """Say which others fail in the groups of an incident's unit; empty: none."""
    for name in islice(view.names, 1):
        near = scan.neighbours(view.agent_id, name)
        rows = [f"{count} other{'s' * (count > 1)} in {group[0]} {group[1]}" for group, count in near[:3]]
        if rows:
            return f"insufficient evidence of a shared cause: {', '.join(rows)}"
    return ""
