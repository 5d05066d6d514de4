"""A storm on 2,000, 20,000 and 200,000 hosts, each in a process of its own.

It comes as fast as it is to be diagnosed: a million events from the largest fleet in 20 seconds. Then again over ten
minutes, in which all is looked at more often.
"""

import multiprocessing

from fsmend_collector.simulate.storm import StormRun, storm

SIZES = (2_000, 20_000, 200_000)
EVENTS_OF_THE_LARGEST = 1_000_000
SHARE = 20  # one host in so many is faulty
SECONDS = EVENTS_OF_THE_LARGEST // 50_000
TEN_MINUTES = 600


def run(hosts: int, seconds: int) -> StormRun:
    """Run one size: as many events a faulty host everywhere."""
    return storm(hosts, hosts // SHARE, EVENTS_OF_THE_LARGEST * hosts // SIZES[-1], seconds)


def measure() -> dict[str, float]:
    """Run the sizes one after another."""
    found: dict[str, float] = {}
    costs = []
    for hosts in SIZES:
        size = f"{hosts // 1_000}k_hosts"
        fast, slow = _alone(hosts, SECONDS), _alone(hosts, TEN_MINUTES)
        costs.append((fast.seconds + fast.telling_seconds) / fast.events)
        found |= {
            f"events_per_second_{size}": fast.events_per_second,
            f"events_per_second_{size}_untold": fast.events / fast.seconds,
            f"scan_events_per_second_{size}": fast.scan_events_per_second,
            f"events_per_second_{size}_in_ten_minutes": slow.events_per_second,
        }
    return found | {
        "rss_mib_200k_hosts": max(fast.rss_mib, slow.rss_mib),
        "cost_growth_2k_to_200k": costs[-1] / costs[0],
        "cost_spread_2k_to_200k": max(costs) / min(costs),
        "storm_explained_200k_hosts": fast.explained,
    }


def _alone(hosts: int, seconds: int) -> StormRun:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(run, (hosts, seconds))
