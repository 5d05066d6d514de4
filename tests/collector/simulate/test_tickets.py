"""The table of the FAST'21 paper, from the tickets that were published with it."""

import os
from pathlib import Path

import pytest

from fsmend_collector.simulate.derived import RealDrives, derive
from fsmend_collector.simulate.tickets import TABLE, rack_alarms, read_bursts, read_tickets, shares

DATA = Path(os.environ.get("FSMEND_DATA", Path(__file__).resolve().parents[4] / "shared/data"))
pytestmark = pytest.mark.skipif(not DATA.exists(), reason=f"no real data at {DATA}; set FSMEND_DATA")


@pytest.fixture(scope="module")
def tickets():
    return read_tickets(DATA / "dcbrain/ssd_failure_tag.csv.zip")


def test_the_table_is_reproduced_exactly(tickets):
    assert len(tickets) == 18_387
    assert shares(tickets) == TABLE


def test_the_naive_rule_raises_391_alarms_251_of_them_in_bursts(tickets):
    bursts = read_bursts(DATA / "dcbrain/derived_model_bursts_gap5min_n10.csv")
    alarms = rack_alarms(tickets)
    assert len(bursts) == 38
    assert len(alarms) == 391
    assert sum(any(burst.holds(alarm) for burst in bursts) for alarm in alarms) == 251


def test_the_figures_of_real_drives_are_those_that_the_reports_give():
    found, known = derive(DATA / "linuxhw/enterprise_drives.csv.gz"), RealDrives()
    assert found["media_per_hour"] == pytest.approx(known.media_per_hour, rel=0.05)
    assert found["link_per_hour"] == pytest.approx(known.link_per_hour, rel=0.05)
    assert found["rate_shape"] == pytest.approx(known.rate_shape, rel=0.05)
    assert found["largest_share"] == pytest.approx(known.model_shares[0], rel=0.05)
