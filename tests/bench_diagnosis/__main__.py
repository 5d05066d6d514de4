"""`make bench-diagnosis`: measure diagnosis against known truth, print a table, write build/bench-diagnosis.json.

Arguments name the modules to run; without any, all run, and docs/diagnosis-report.md is written too (with arguments
when `REPORT` is set). `SEEDS` says how many seeds a scenario, `JOBS` how many processes. Results of single seeds are kept
under build/bench-diagnosis, so that a run with the same sources goes on where another one stopped.
"""

import importlib
import json
import os
import pkgutil
import sys
from pathlib import Path

import bench_diagnosis
from bench.skipped import Skipped
from bench_diagnosis import scenarios
from bench_diagnosis.kept import sources_hash
from bench_diagnosis.report import REPORT, write_report
from bench_diagnosis.targets import TARGETS

OUTPUT = Path("build/bench-diagnosis.json")


def main(names: list[str]) -> int:
    """Run the measurements; figures of modules that do not run now are kept from the last time."""
    figures: dict[str, float] = json.loads(OUTPUT.read_text()) if names and OUTPUT.exists() else {}
    for name in names or [one.name for one in pkgutil.iter_modules(bench_diagnosis.__path__)]:
        module = importlib.import_module(f"bench_diagnosis.{name}")
        if not hasattr(module, "measure"):
            continue
        sys.stderr.write(f"bench-diagnosis: {name} …\n")
        try:
            figures |= module.measure()
        except Skipped as reason:
            sys.stderr.write(f"bench-diagnosis: {name} skipped: {reason}\n")
        OUTPUT.parent.mkdir(exist_ok=True)
        OUTPUT.write_text(json.dumps(figures, indent=1, sort_keys=True) + "\n")
    _print(figures)
    if scenarios.LATEST and (not names or os.environ.get("REPORT")):
        write_report(figures, scenarios.LATEST, sources_hash())
        sys.stderr.write(f"bench-diagnosis: wrote {REPORT}\n")
    return 0


def _print(figures: dict[str, float]) -> None:
    for name, value in sorted(figures.items(), key=lambda row: (row[0] not in TARGETS, row[0])):
        target = TARGETS.get(name)
        bound = f"{'≥' if target.at_least else '≤'} {target.bound:,g}" if target else ""
        verdict = ("met" if target.met_by(value) else "MISSED") if target else ""
        sys.stdout.write(f"{name:42} {value:>14,.4g}   {bound:>10}  {verdict:7} {target.what if target else ''}\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
