"""Results that are kept: one file a run and seed, under the hash of the sources that made it, so that a bench goes on."""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from fsmend_collector import diagnosis

_HERE = Path(__file__).resolve().parent
_COLLECTOR = Path(diagnosis.__file__).resolve().parents[1]
_SOURCES = (_COLLECTOR / "diagnosis", _COLLECTOR / "simulate", _COLLECTOR / "policy.py", _COLLECTOR / "brakes.py")
_NOT_MEASURED = {"wire", "report"}
_NOT_MEASURING = {"__main__.py", "report.py", "targets.py", "figures.py"}
KEPT = Path("build/bench-diagnosis")


@cache
def sources_hash() -> str:
    """Return the hash of what results depend on: diagnosis, the simulator, the policy, and how this bench runs them."""
    digest = hashlib.sha256()
    for one in sorted({*_files(_SOURCES), *(file for file in _files([_HERE]) if file.name not in _NOT_MEASURING)}):
        digest.update(one.name.encode() + b"\0" + one.read_bytes())
    return digest.hexdigest()[:16]


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        for one in [path] if path.is_file() else path.rglob("*.py"):
            if one.exists() and not _NOT_MEASURED & set(one.relative_to(path).parts):
                yield one


def results(name: str, run: Callable[[int], dict[str, Any]], seeds: Iterable[int]) -> Iterator[dict[str, Any]]:
    """Yield the result of every seed, by seed; those that are not kept yet are run on all cores, and kept."""
    place = KEPT / sources_hash()
    place.mkdir(parents=True, exist_ok=True)
    wanted = list(seeds)
    missing = [seed for seed in wanted if not (place / f"{name}-{seed}.json").exists()]
    if missing:
        workers = min(int(os.environ.get("JOBS", "0")) or os.cpu_count() or 1, len(missing))
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            for done in as_completed({pool.submit(_keep, place, name, run, seed): seed for seed in missing}):
                done.result()
    for seed in wanted:
        yield json.loads((place / f"{name}-{seed}.json").read_text())


def _keep(place: Path, name: str, run: Callable[[int], dict[str, Any]], seed: int) -> None:
    """Run one seed, and keep its result once it is whole."""
    target = place / f"{name}-{seed}.json"
    part = target.with_suffix(f".{os.getpid()}")
    part.write_text(json.dumps(run(seed)) + "\n")
    part.rename(target)
