"""The FAST'21 table and the rack alarms of the real tickets."""

import json
import os
import sys
from collections import Counter
from pathlib import Path

from bench.skipped import Skipped
from bench_diagnosis.kept import KEPT
from fsmend_collector.diagnosis.groups import ScanSettings
from fsmend_collector.simulate.folding import Folding, TicketIncident, fold, scan_tickets
from fsmend_collector.simulate.tickets import TABLE, Ticket, read_bursts, read_tickets, shares
from fsmend_collector.simulate.world import Unit

DATA = Path(os.environ.get("FSMEND_DATA", Path(__file__).resolve().parents[3] / "shared/data")) / "dcbrain"
LINES = KEPT / "real-tickets.json"
"""What the incidents look like into which the alarms fold, for the report: it may be written in another run."""


def measure() -> dict[str, float]:
    """Compare with the paper, fold the alarms, and print what they fold into.

    Raises:
        Skipped: the data are not there.
    """
    if not DATA.exists():
        raise Skipped(f"no tickets at {DATA}; set FSMEND_DATA")
    tickets = read_tickets(DATA / "ssd_failure_tag.csv.zip")
    bursts = read_bursts(DATA / "derived_model_bursts_gap5min_n10.csv")
    folding = fold(tickets, bursts, scan_tickets(tickets, ScanSettings(windows_seconds=(300, 1_800))))
    lines = described(folding, tickets)
    KEPT.mkdir(parents=True, exist_ok=True)
    LINES.write_text(json.dumps(lines, indent=1) + "\n")
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    return {
        "fast21_exact": float(shares(tickets) == TABLE),
        "naive_rack_alarms": float(folding.alarms),
        "naive_rack_alarms_in_bursts": float(folding.inside),
        "rack_alarms_folded_into": float(folding.incidents),
        "rack_alarms_alone": float(len(folding.alone)),
        "rack_alarms_told_on_the_way": float(folding.on_the_way),
    }


def described(folding: Folding, tickets: list[Ticket]) -> list[str]:
    """Say what each incident looks like, as a row of a table: cause, alarms, members, where they are, and how long."""
    known = {(one.node, one.disk): one for one in tickets}
    rows = [_row(incident, count, known) for incident, count in folding.into]
    for alarm in folding.alone:
        first, last = alarm[0], alarm[-1]
        rows.append(
            f"| no incident: alarm of rack {first.rack} | 1 | {len(alarm)} | 1 | 1 | {first.model} | "
            f"{_span(first.time_seconds, last.time_seconds)} |"
        )
    return rows


def _row(incident: TicketIncident, alarms: int, known: dict[Unit, Ticket]) -> str:
    members = [known[one] for one in incident.units]
    racks, rooms = {one.rack for one in members}, {one.room for one in members}
    models = Counter(one.model for one in members)
    mix = ", ".join(f"{name} {count}" for name, count in sorted(models.items(), key=lambda row: (-row[1], row[0]))[:2])
    cause = f"{incident.code}: {_name(*incident.group)}"
    if incident.places:
        cause += f" (in {', '.join(_name(*one) for one in incident.places)})"
    span = _span(incident.onset_seconds, incident.latest_seconds)
    return f"| {cause} | {alarms} | {len(members)} | {len(racks)} | {len(rooms)} | {mix} | {span} |"


def _name(dimension: str, value: str) -> str:
    return "the fleet" if dimension == "fleet" else f"{dimension.removeprefix('label:')} {value}"


def _span(start_seconds: int, end_seconds: int) -> str:
    seconds = end_seconds - start_seconds
    if seconds < 7_200:
        return f"{seconds // 60} min" if seconds >= 120 else f"{seconds} s"
    return f"{seconds // 3_600} h" if seconds < 172_800 else f"{seconds // 86_400} d"
