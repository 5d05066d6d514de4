"""`make bench`: run every measurement, print a table, write build/bench.json.

A measurement is a module here with `measure() -> dict[str, float]`; it raises `Skipped` with the reason where it cannot
run. Arguments name the modules to run; without any, all run. Figures are of this machine, now; ratios compare with the
bare part in the same run.
"""

import importlib
import json
import pkgutil
import sys
from pathlib import Path

import bench
from bench.skipped import Skipped
from bench.targets import TARGETS

OUTPUT = Path("build/bench.json")


def main(names: list[str]) -> int:
    """Run the measurements; return 1 when one failed to run."""
    figures: dict[str, float] = {}
    found = [one.name for one in pkgutil.iter_modules(bench.__path__) if not one.name.startswith("_")]
    failed = False
    for name in names or found:
        module = importlib.import_module(f"bench.{name}")
        if not hasattr(module, "measure"):
            continue
        sys.stderr.write(f"bench: {name} …\n")
        try:
            figures |= module.measure()
        except Skipped as reason:
            sys.stderr.write(f"bench: {name} skipped: {reason}\n")
        except RuntimeError as error:
            failed = True
            sys.stderr.write(f"bench: {name} failed: {error}\n")
    _print(figures)
    OUTPUT.parent.mkdir(exist_ok=True)
    OUTPUT.write_text(json.dumps(figures, indent=1, sort_keys=True) + "\n")
    return int(failed)


def _print(figures: dict[str, float]) -> None:
    for name, value in figures.items():
        target = TARGETS.get(name)
        shown = f"{value:,.3g}" if value < 1000 else f"{value:,.0f}"
        if target is None:
            sys.stdout.write(f"{name:36} {shown:>12}\n")
            continue
        bound = f"{'≥' if target.at_least else '≤'} {target.bound:,g}"
        verdict = "met" if target.met_by(value) else "MISSED"
        sys.stdout.write(f"{name:36} {shown:>12}   {bound:>12}  {verdict:7} {target.what}\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
