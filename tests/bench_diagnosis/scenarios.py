"""All scenarios over many seeds, on all cores: ours and the baselines on the same streams."""

import dataclasses
import multiprocessing
import os
import random
from collections import defaultdict
from collections.abc import Iterable

from bench.skipped import Skipped
from fsmend_collector.simulate.baselines import BASELINES
from fsmend_collector.simulate.fleet import FleetShape, make_fleet
from fsmend_collector.simulate.resolve import resolvable
from fsmend_collector.simulate.run import Outcome, Runner
from fsmend_collector.simulate.scenarios import scenarios
from fsmend_collector.simulate.score import Score, bootstrap, compare, score

FIRST_SEED = 7_000_000  # no seed from here on was ever looked at while tuning
_UNIT = {"device", "filesystem"}
_TOPOLOGY = {"topology", "target"}
_SPLIT = {"model": "exact_cause_model_firmware", "kernel": "exact_cause_kernel", "confounded": "exact_cause_confounded"}


@dataclasses.dataclass(slots=True)
class SeedResult:
    """What one seed gave: scores by scenario, and those of each baseline."""

    seed: int
    ours: list[Score]
    baselines: dict[str, list[Score]]
    identical: bool


def run_seed(seed: int) -> SeedResult:
    """Run every scenario on one fleet."""
    fleet = make_fleet(FleetShape(), seed)
    result = SeedResult(seed, [], {name: [] for name in BASELINES}, identical=True)
    for name, scenario in scenarios().items():
        world = scenario.world(fleet, seed)
        for baseline, report in BASELINES.items():
            rows = report(world)
            shared = [one for one in rows if one.dimension not in _UNIT]
            units = [one for one in rows if one.dimension in _UNIT]
            result.baselines[baseline].append(compare(name, scenario.family, world.causes, shared, units))
        runner = Runner(world)
        outcome = runner.run()
        counting = runner.diagnosis.scan.counting
        result.ours.append(
            score(outcome, scenario.family, lambda cause, counting=counting: resolvable(cause, counting))
        )
        if name in {"hba_fault", "rack_power", "kernel_regression"}:
            result.identical = result.identical and _again(scenario.world(fleet, seed), seed) == _set(outcome)
    return result


def _set(outcome: Outcome) -> set[object]:
    return {(one.incident_id, one.code, one.dimension, one.value, one.members) for one in outcome.shared}


def _again(world, seed: int) -> set[object]:
    """Run the same world doubled and shuffled within half an hour."""
    rng = random.Random(seed)
    rows = list(world.happenings)
    late = [(at + rng.randrange(1_800 * 10**9), number, what) for at, number, what in rows if hasattr(what, "event_id")]
    others = [row for row in rows if not hasattr(row[2], "event_id")]
    repeated = rng.sample(late, len(late) // 2)
    world.happenings = [*late, *others, *((at + 10**9, number + 10**6, what) for at, number, what in repeated)]
    return _set(Runner(world).run())


def measure() -> dict[str, float]:
    """Run `SEEDS` seeds (10 unless set) and sum up.

    Raises:
        Skipped: SEEDS is zero.
    """
    seeds = int(os.environ.get("SEEDS", "10"))
    if not seeds:
        raise Skipped("SEEDS is 0")
    with multiprocessing.get_context("spawn").Pool(min(os.cpu_count() or 1, seeds)) as pool:
        results = list(pool.imap_unordered(run_seed, range(FIRST_SEED, FIRST_SEED + seeds)))
    results.sort(key=lambda one: one.seed)
    ours = [row for one in results for row in one.ours]
    figures = _figures(ours)
    figures["replay_identical"] = float(all(one.identical for one in results))
    for name in BASELINES:
        rows = [row for one in results for row in one.baselines[name]]
        figures[f"{name}_precision"] = _ratio(rows, "right", "told")[0]
        figures[f"{name}_recall"] = _ratio(rows, "found", "causes")[0]
        figures[f"{name}_exact_cause"] = _ratio(rows, "exact", "causes")[0]
    figures |= _by_family(ours, {name: [r for one in results for r in one.baselines[name]] for name in BASELINES})
    return figures


def _figures(rows: list[Score]) -> dict[str, float]:
    figures: dict[str, float] = {}
    for name, above, below in (("precision", "right", "told"), ("recall", "found", "causes")):
        figures[name], figures[f"{name}_low"], figures[f"{name}_high"] = _ratio(rows, above, below)
    topology = [row for row in rows if row.family in _TOPOLOGY]
    figures["exact_cause_topology"], figures["exact_cause_topology_low"], _ = _ratio(topology, "exact", "causes")
    for family, name in _SPLIT.items():
        figures[name], figures[f"{name}_low"], _ = _ratio(
            [row for row in rows if row.family == family], "exact", "causes"
        )
    confounded = [row for row in rows if row.family == "confounded"]
    figures["confounded_top2"] = _ratio(confounded, "top2", "causes")[0]
    times = sorted(seconds for row in rows for seconds in row.detect_seconds)
    figures["detect_seconds_p50"] = times[len(times) // 2]
    figures["detect_seconds_p99"] = times[min(len(times) - 1, int(0.99 * len(times)))]
    figures["unit_repairs_under_shared_cause"] = float(sum(row.unit_repairs for row in rows))
    return figures


def _ratio(rows: Iterable[Score], above: str, below: str) -> tuple[float, float, float]:
    pairs = [(getattr(row, above), getattr(row, below)) for row in rows]
    return bootstrap(pairs, random.Random(1))


def _by_family(ours: list[Score], baselines: dict[str, list[Score]]) -> dict[str, float]:
    """Say in how many families ours is ahead of every baseline, and list precision and recall by scenario."""
    figures: dict[str, float] = {}
    groups: defaultdict[str, list[Score]] = defaultdict(list)
    for row in ours:
        groups[row.scenario].append(row)
    for name, rows in sorted(groups.items()):
        figures[f"scenario_{name}_precision"] = _ratio(rows, "right", "told")[0]
        figures[f"scenario_{name}_recall"] = _ratio(rows, "found", "causes")[0]
    behind = 0
    for family in sorted({row.family for row in ours}):
        mine = [row for row in ours if row.family == family]
        for rows in baselines.values():
            theirs = [row for row in rows if row.family == family]
            for pair in (("right", "told"), ("found", "causes"), ("exact", "causes")):
                behind += (
                    _ratio(mine, *pair)[0] < _ratio(theirs, *pair)[0] and sum(getattr(r, pair[1]) for r in theirs) > 0
                )
    figures["families_and_measures_behind_a_baseline"] = float(behind)
    return figures
