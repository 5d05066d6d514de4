"""What the policy orders when nearly a third of the fleet seems faulty, and when acknowledgements are lost."""

import os
from typing import Any

from bench_diagnosis.kept import results
from bench_diagnosis.scenarios import FIRST_SEED
from fsmend_collector.simulate.fleet import FleetShape, make_fleet
from fsmend_collector.simulate.orders import NO_SHARED_CAUSES, OrderingRunner
from fsmend_collector.simulate.scenarios import scenarios

_MOST_SEEDS = 3
_HOSTS = 1_000


def run_seed(seed: int) -> dict[str, Any]:
    """Count orders: of a third of the fleet with shared causes and without any, and where reports are lost."""
    fleet = make_fleet(FleetShape(hosts=_HOSTS), seed)
    known = scenarios()
    rows = []
    for name, settings, lost in (
        ("third_of_the_fleet", None, 0),
        ("third_of_the_fleet", NO_SHARED_CAUSES, 0),
        ("lost_acknowledgement", None, 2),
    ):
        takes = 600 if lost else 86_400
        runner = OrderingRunner(known[name].world(fleet, seed), settings, takes_seconds=takes, lost_every=lost)
        runner.run()
        orders = runner.orders
        rows.append([name, orders.repairs, orders.beyond_cap, orders.twice, orders.under_shared, orders.most_hosts])
    return {"seed": seed, "rows": rows}


def measure() -> dict[str, float]:
    """Run three seeds at most."""
    seeds = max(1, min(int(os.environ.get("SEEDS", "10")), _MOST_SEEDS))
    rows = [row for one in results("repairs", run_seed, range(FIRST_SEED, FIRST_SEED + seeds)) for row in one["rows"]]
    return {
        "repairs_ordered": float(sum(row[1] for row in rows)),
        "repairs_beyond_cap": float(sum(row[2] for row in rows)),
        "repairs_ordered_twice": float(sum(row[3] for row in rows)),
        "repairs_ordered_under_shared_cause": float(sum(row[4] for row in rows)),
    }
