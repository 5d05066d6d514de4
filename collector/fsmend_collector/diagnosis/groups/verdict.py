"""Verdicts: the shared causes as they are now."""

import hashlib
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import chain

from fsmend_collector.diagnosis.groups.counting import Counting
from fsmend_collector.diagnosis.groups.dimensions import PAIR, dimension
from fsmend_collector.diagnosis.groups.explain import Explanation
from fsmend_collector.diagnosis.groups.figures import Statistics, statistics_of
from fsmend_collector.diagnosis.groups.marks import Mark
from fsmend_collector.diagnosis.groups.settings import DAY_NS, HOUR_NS
from fsmend_collector.diagnosis.groups.signatures import common_signature
from fsmend_collector.diagnosis.groups.views import Group

_SLOW_NS = 6 * HOUR_NS
_ENVIRONMENT = frozenset({"health", "media", "link"})
_MOST_ODDS = 1e9


@dataclass(frozen=True, slots=True)
class Suspect:
    """Another group that would explain the same; odds against all the others together."""

    group: Group
    odds: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """One shared cause.

    Attributes:
        incident_id: of its incident; follows from the group and the day it began.
        group: dimension and value.
        odds: of this cause against the suspects together.
        marks: what it explains.
        changes: names of changes that came before most of it.
        places: where it shows, when it does in some places only.
        signature: of a kernel that breaks one place in a filesystem's code: that place.
        best: the explanation behind it, which knows the suspects' candidates.
    """

    incident_id: str
    group: Group
    code: str
    odds: float
    suspects: tuple[Suspect, ...]
    marks: frozenset[Mark]
    onset_ns: int
    latest_ns: int
    statistics: Statistics
    changes: tuple[str, ...] = ()
    places: tuple[Group, ...] = ()
    signature: str = ""
    best: Explanation | None = field(default=None, compare=False, repr=False)
    counting: Counting | None = field(default=None, compare=False, repr=False)

    @property
    def cause(self) -> Group:
        """Return the group as it is told: with the signature, where most of it has one."""
        if not self.signature:
            return self.group
        return (f"signature+{self.group[0]}", f"{self.signature}{PAIR}{self.group[1]}")

    @property
    def face(self) -> tuple[object, ...]:
        """Return what must be told when it changes."""
        suspects = tuple(one.group for one in self.suspects)
        times = (self.onset_ns, self.latest_ns)
        return (
            self.incident_id,
            self.code,
            suspects,
            *times,
            len(self.marks),
            self.changes,
            self.places,
            self.signature,
        )


def verdict_of(
    parts: list[Explanation],
    absorbed: frozenset[Mark],
    changes: tuple[str, ...],
    counting: Counting,
    signed: Iterable[Mark] = (),
) -> Verdict:
    """Return the verdict on one group from what it explains in each aspect and time, best first.

    Args:
        parts: its explanations.
        absorbed: what trickled in around them.
        changes: names of those that came before most of it.
        counting: sizes and learnt rates.
        signed: all marks of the fleet that may have a signature.
    """
    best = parts[0]
    group = best.candidate.group
    marks = absorbed.union(*(one.marks for one in parts))
    onset_ns, latest_ns = min(one.time_ns for one in marks), max(one.time_ns for one in marks)
    odds, suspects = _odds(best)
    return Verdict(
        incident_id=verdict_id(group, onset_ns),
        group=group,
        code=_code(group, {one.aspect for one in marks}, latest_ns - onset_ns),
        odds=odds,
        suspects=suspects,
        marks=marks,
        onset_ns=onset_ns,
        latest_ns=latest_ns,
        statistics=statistics_of(best.candidate, best.marks, best.score, counting),
        changes=changes,
        signature=_signature(group, marks, signed, counting),
        places=tuple(dict.fromkeys(chain.from_iterable(one.places for one in parts))),
        best=best,
        counting=counting,
    )


def _signature(group: Group, marks: frozenset[Mark], signed: Iterable[Mark], counting: Counting) -> str:
    if group[0] != "kernel":
        return ""
    others = (mark for mark in signed if mark not in marks)
    return common_signature(marks, others, counting.settings.prior_nats)


def verdict_id(group: Group, onset_ns: int) -> str:
    """Return the id of a shared cause: the same group on the same day is the same incident."""
    return "inc-" + hashlib.sha256(f"group\0{group[0]}\0{group[1]}\0{onset_ns // DAY_NS}".encode()).hexdigest()[:16]


def _code(group: Group, aspects: set[str], took_ns: int) -> str:
    row = dimension(group[0])
    if aspects == {"silent"}:
        return "CONNECTION_LOST"
    if row.code == "AREA_FAULT" and took_ns > _SLOW_NS and aspects <= _ENVIRONMENT:
        return "ENVIRONMENT_DRIFT"
    return row.code


def _odds(best: Explanation) -> tuple[float, tuple[Suspect, ...]]:
    """Turn scores into odds: each is a log likelihood ratio against the same chance, with its prior taken off."""
    scores = [best.score, *(score for _, score in best.suspects)]
    top = max(scores)
    weights = [math.exp(max(score - top, -700.0)) for score in scores]
    total = math.fsum(weights)
    odds = [min(weight / max(total - weight, weight / _MOST_ODDS), _MOST_ODDS) for weight in weights]
    return odds[0], tuple(Suspect(group, odds[at + 1]) for at, (group, _) in enumerate(best.suspects))
