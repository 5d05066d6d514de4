"""A healthy fleet of 60,000 drives for 365 days."""

import os
from typing import Any

from bench_diagnosis.kept import results
from fsmend_collector.diagnosis.groups.tails import poisson_interval
from fsmend_collector.simulate.fleet import FleetShape, make_fleet
from fsmend_collector.simulate.healthy import healthy

DAYS = 365
FIRST_SEED = 21_500_000  # never looked at while tuning


def run(seed: int) -> dict[str, Any]:
    """Return how many shared causes were told, and the findings, of one year."""
    outcome = healthy(make_fleet(FleetShape(), seed), DAYS, seed)
    return {"told": [list(one.group) for one in outcome.told], "findings": outcome.findings}


def measure() -> dict[str, float]:
    """Run as many years as `SEEDS` says, at most twenty; give the rate with the bound that it is under with 95 %."""
    years = min(int(os.environ.get("SEEDS", "10")), 20)
    told = list(results("healthy", run, range(FIRST_SEED, FIRST_SEED + max(years, 1))))
    count = sum(len(row["told"]) for row in told)
    days = DAYS * len(told)
    return {
        "false_incidents_per_day": count / days,
        "false_incidents_per_day_upper": poisson_interval(count, 0.90)[1] / days,
        "healthy_days": float(days),
    }
