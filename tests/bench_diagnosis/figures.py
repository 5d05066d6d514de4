"""From the scores of all runs to the figures of build/bench-diagnosis.json."""

import random
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from fsmend_collector.simulate.baselines import BASELINES
from fsmend_collector.simulate.score import Score, bootstrap

TOPOLOGY = {"topology", "target"}
SPLIT = {"model": "exact_cause_model_firmware", "kernel": "exact_cause_kernel", "confounded": "exact_cause_confounded"}
MEASURES = {"precision": ("right", "told"), "recall": ("found", "causes"), "exact_cause": ("exact", "causes")}
AHEAD, LEVEL, BEHIND = "ahead", "level", "behind"
SILENT = "told nothing"
_ROUNDS = 1_000


def figures_of(results: list[dict[str, Any]]) -> dict[str, float]:
    """Sum up the results of all seeds."""
    rows = ours(results)
    figures: dict[str, float] = {"seeds": float(len(results))}
    for name in ("precision", "recall"):
        figures |= _with_interval(name, rows, *MEASURES[name])
    figures |= _with_interval("exact_cause_topology", _of(rows, TOPOLOGY), *MEASURES["exact_cause"])
    for family, name in SPLIT.items():
        figures |= _with_interval(name, _of(rows, {family}), *MEASURES["exact_cause"])
    figures |= _with_interval("confounded_top2", _of(rows, {"confounded"}), "top2", "causes")
    figures |= _times("detect_seconds", [row.detect_seconds for row in rows])
    figures |= _times("tellable_seconds", [row.tellable_seconds for row in rows])
    figures |= _times("suspect_seconds", [row.suspect_seconds for row in rows])
    for name in ("false_units", "withdrawn", "renamed", "beyond"):
        figures[f"incidents_{name}" if name != "beyond" else "causes_beyond"] = float(
            sum(getattr(row, name) for row in rows)
        )
    figures["unit_repairs_under_shared_cause"] = float(sum(row.unit_repairs for row in rows))
    same = [one for result in results for one in result["shuffled"].values()]
    figures["replay_identical"], figures["replays"] = sum(same) / max(len(same), 1), float(len(same))
    for name in BASELINES:
        theirs = baseline(results, name)
        for measure, pair in MEASURES.items():
            figures[f"{name}_{measure}"] = ratio(theirs, *pair)[0]
    table = comparison(results)
    for how in (AHEAD, LEVEL, BEHIND, SILENT):
        figures[f"comparisons_{how.replace(' ', '_')}"] = float(sum(row[-1] == how for row in table))
    figures["comparisons_not_ahead"] = figures["comparisons_level"] + figures["comparisons_behind"]
    return figures


def ours(results: list[dict[str, Any]]) -> list[Score]:
    """Return our scores of all runs."""
    return [Score.of(row) for one in results for row in one["ours"]]


def baseline(results: list[dict[str, Any]], name: str) -> list[Score]:
    """Return a baseline's scores of all runs."""
    return [Score.of(row) for one in results for row in one["baselines"][name]]


def comparison(results: list[dict[str, Any]]) -> list[tuple[str, str, str, float, float, str]]:
    """Compare in every family, by every measure, with every baseline: family, measure, baseline, ours, theirs, how.

    What told nothing has no precision to be compared with.
    """
    mine, found = ours(results), []
    for family in sorted({row.family for row in mine}):
        for name in BASELINES:
            theirs = _of(baseline(results, name), {family})
            for measure, pair in MEASURES.items():
                if not sum(getattr(row, pair[1]) for row in (*theirs, *_of(mine, {family}))):
                    continue  # nothing to find, and nothing was told
                left, right = ratio(_of(mine, {family}), *pair)[0], ratio(theirs, *pair)[0]
                how = AHEAD if left > right else LEVEL if left == right else BEHIND
                if not sum(getattr(row, pair[1]) for row in theirs):
                    how = SILENT
                found.append((family, measure, name, left, right, how))
    return found


def by_scenario(rows: list[Score]) -> dict[str, list[Score]]:
    """Group scores."""
    groups: defaultdict[str, list[Score]] = defaultdict(list)
    for row in rows:
        groups[row.scenario].append(row)
    return dict(sorted(groups.items()))


def quantile(values: list[float], share: float) -> float:
    """Return a quantile of sorted values; 0 when there are none."""
    return values[min(len(values) - 1, int(share * len(values)))] if values else 0.0


def ratio(rows: Iterable[Score], above: str, below: str) -> tuple[float, float, float]:
    """Return a ratio of sums with its interval; the same rows give the same."""
    return bootstrap([(getattr(row, above), getattr(row, below)) for row in rows], random.Random(1), _ROUNDS)


def _of(rows: list[Score], families: set[str]) -> list[Score]:
    return [row for row in rows if row.family in families]


def _with_interval(name: str, rows: list[Score], above: str, below: str) -> dict[str, float]:
    value, low, high = ratio(rows, above, below)
    return {name: value, f"{name}_low": low, f"{name}_high": high}


def _times(name: str, runs: list[list[float]]) -> dict[str, float]:
    """Return median and 99th percentile with their intervals over resampled runs."""
    rng = random.Random(1)
    drawn = [sorted(one for run in rng.choices(runs, k=len(runs)) for one in run) for _ in range(200)]
    times = sorted(one for run in runs for one in run)
    found = {}
    for label, share in (("p50", 0.5), ("p99", 0.99)):
        spread = sorted(quantile(one, share) for one in drawn)
        found[f"{name}_{label}"] = quantile(times, share)
        found[f"{name}_{label}_low"], found[f"{name}_{label}_high"] = spread[5], spread[194]
    return found
