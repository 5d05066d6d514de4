"""A healthy fleet of 60,000 drives for 365 days."""

import multiprocessing
import os

from fsmend_collector.diagnosis.groups.tails import poisson_interval
from fsmend_collector.simulate.fleet import FleetShape, make_fleet
from fsmend_collector.simulate.healthy import healthy

DAYS = 365
FIRST_SEED = 6_000_000


def run(seed: int) -> tuple[int, int]:
    """Return how many shared causes were told, and the findings, of one year."""
    outcome = healthy(make_fleet(FleetShape(), seed), DAYS, seed)
    return len(outcome.told), outcome.findings


def measure() -> dict[str, float]:
    """Run as many years as `SEEDS` says, at most twenty; give the rate with the upper end of its 95 % interval."""
    years = min(int(os.environ.get("SEEDS", "10")), 20)
    with multiprocessing.get_context("spawn").Pool(os.cpu_count() or 1) as pool:
        told = pool.map(run, range(FIRST_SEED, FIRST_SEED + max(years, 1)))
    count = sum(row[0] for row in told)
    days = DAYS * len(told)
    return {
        "false_incidents_per_day": count / days,
        "false_incidents_per_day_upper": poisson_interval(count, 0.90)[1] / days,
        "healthy_days": float(days),
    }
