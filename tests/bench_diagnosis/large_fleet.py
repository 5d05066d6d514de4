"""A storm on 2,000, 20,000 and 200,000 hosts, each in a process of its own."""

import multiprocessing

from fsmend_collector.simulate.storm import StormRun, storm

SIZES = (2_000, 20_000, 200_000)
EVENTS_OF_THE_LARGEST = 1_000_000
SHARE = 20  # one host in so many is faulty


def run(hosts: int) -> StormRun:
    """Run one size: as many events a faulty host everywhere."""
    return storm(hosts, hosts // SHARE, EVENTS_OF_THE_LARGEST * hosts // SIZES[-1])


def measure() -> dict[str, float]:
    """Run the sizes one after another."""
    found = {}
    for hosts in SIZES:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            found[hosts] = pool.apply(run, (hosts,))
    cost = {hosts: (one.seconds + one.telling_seconds) / one.events for hosts, one in found.items()}
    small, middle, large = (found[hosts] for hosts in SIZES)
    return {
        "events_per_second_2k_hosts": small.events_per_second,
        "events_per_second_20k_hosts": middle.events_per_second,
        "events_per_second_200k_hosts": large.events_per_second,
        "events_per_second_200k_hosts_untold": large.events / large.seconds,
        "scan_events_per_second_2k_hosts": small.scan_events_per_second,
        "scan_events_per_second_20k_hosts": middle.scan_events_per_second,
        "scan_events_per_second_200k_hosts": large.scan_events_per_second,
        "rss_mib_200k_hosts": large.rss_mib,
        "cost_growth_2k_to_200k": cost[SIZES[2]] / cost[SIZES[0]],
        "storm_explained_200k_hosts": large.explained,
    }
