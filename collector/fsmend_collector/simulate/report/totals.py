"""Figures over several runs: of one scenario, or of all. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from fsmend_collector.simulate.report.result import Result

NOTHING = "\N{EN DASH}"


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over runs.

    Attributes:
        right: incidents that are right, of `told`.
        found: causes that were found, of `causes`; exact: those whose most alike incident names them.
        seconds: to detection, sorted.
    """

    right: int
    told: int
    found: int
    exact: int
    causes: int
    seconds: tuple[float, ...]

    @classmethod
    def of(cls, results: Iterable[Result]) -> "Totals":
        """Add up."""
        rows = [one.score for one in results]
        sums = {name: sum(row[name] for row in rows) for name in ("right", "told", "found", "exact", "causes")}
        return cls(**sums, seconds=tuple(sorted(one for row in rows for one in row["detect_seconds"])))

    def quantile(self, share: float) -> float | None:
        """Return the time within which so many were detected; None when nothing was to be detected."""
        if not self.seconds:
            return None
        return self.seconds[min(len(self.seconds) - 1, int(share * len(self.seconds)))]


def percent(part: int, whole: int) -> str:
    """Return a share for people; a dash when there is nothing to divide by."""
    return f"{100 * part / whole:.1f} %".replace("100.0", "100") if whole else NOTHING


def duration(seconds: float | None) -> str:
    """Return a time for people."""
    if seconds is None:
        return NOTHING
    for size, unit in ((172_800, "d"), (7_200, "h"), (120, "min")):
        if seconds >= size:
            return f"{seconds / {'d': 86_400, 'h': 3_600, 'min': 60}[unit]:.1f} {unit}"
    return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.0f} s"
