"""The FAST'21 table and the rack alarms of the real tickets."""

import os
from pathlib import Path

from bench.skipped import Skipped
from fsmend_collector.diagnosis.groups import ScanSettings
from fsmend_collector.simulate.tickets import TABLE, fold, read_bursts, read_tickets, scan_tickets, shares

DATA = Path(os.environ.get("FSMEND_DATA", Path(__file__).resolve().parents[3] / "shared/data")) / "dcbrain"


def measure() -> dict[str, float]:
    """Compare with the paper, fold the alarms, and print what does not fold.

    Raises:
        Skipped: the data are not there.
    """
    if not DATA.exists():
        raise Skipped(f"no tickets at {DATA}; set FSMEND_DATA")
    tickets = read_tickets(DATA / "ssd_failure_tag.csv.zip")
    bursts = read_bursts(DATA / "derived_model_bursts_gap5min_n10.csv")
    folding = fold(tickets, bursts, scan_tickets(tickets, ScanSettings(windows_seconds=(300, 1_800))))
    return {
        "fast21_exact": float(shares(tickets) == TABLE),
        "naive_rack_alarms": float(folding.alarms),
        "naive_rack_alarms_in_bursts": float(folding.inside),
        "rack_alarms_folded_into": float(folding.incidents),
        "rack_alarms_alone": float(len(folding.alone)),
    }
