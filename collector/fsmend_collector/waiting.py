"""Incidents that wait for the policy: bounded, the newest state of each, and nobody starves. Pure."""

import heapq
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Any

from fsmend_collector.policy import ANSWERS
from fsmend_proto.v1 import incident_pb2

OPEN = (incident_pb2.INCIDENT_STATE_OPEN, incident_pb2.INCIDENT_STATE_REPAIRING)
MOST_CHANGED = 10_000
BATCH = 100


@dataclass(frozen=True, slots=True)
class Backlog:
    """How far the policy is behind.

    Attributes:
        waiting: incidents that it has not looked at since they changed.
        oldest_seconds: how long the first of them has waited.
        put_off: how often a changed one found no place since the start; the next round over all has it.
    """

    waiting: int = 0
    oldest_seconds: float = 0.0
    put_off: int = 0


class Waiting:
    """Hold what changed, and the rest of a round over everything that is open.

    A round comes to all, so what finds no place among the changed ones is only looked at later. Of both a batch is
    taken at a time, the worst first: what keeps changing does not hold up the round, nor the round what is new.

    Args:
        most: incidents that changed; the round holds no more than diagnosis itself has open.
        batch: of each.
    """

    def __init__(self, most: int = MOST_CHANGED, batch: int = BATCH) -> None:
        self._most, self._batch = most, batch
        self._changed: dict[str, incident_pb2.Incident] = {}
        self._since_seconds: dict[str, float] = {}
        self._round: dict[str, incident_pb2.Incident] = {}
        self._taken: dict[str, float | None] = {}  # since when each waited
        self._put_off = 0

    @property
    def wants_round(self) -> bool:
        """Say whether the last round is over."""
        return not self._round

    def add(self, changed: Iterable[incident_pb2.Incident], now_seconds: float) -> None:
        """Take incidents in their newest state; what is over waits no longer."""
        for one in changed:
            if not calls(one):
                self._drop(one.id)
                self._taken.pop(one.id, None)
                continue
            if one.id in self._round:
                self._round[one.id] = one
            if one.id in self._changed or len(self._changed) < self._most:
                self._changed[one.id] = one
                self._since_seconds.setdefault(one.id, now_seconds)
            else:
                self._put_off += 1

    def begin_round(self, everything: Iterable[incident_pb2.Incident]) -> None:
        """Take everything in its newest state."""
        self._round = {one.id: one for one in worst_first(everything) if calls(one)}

    def take(self) -> list[incident_pb2.Incident]:
        """Take the next batch out, worst first; empty when nothing waits."""
        batch = heapq.nsmallest(self._batch, self._changed.values(), key=_by_urgency)
        for one in batch:
            self._round.pop(one.id, None)
        batch += [self._changed.get(one.id, one) for one in islice(self._round.values(), self._batch)]
        self._taken = {one.id: self._since_seconds.get(one.id) for one in batch}
        for one in batch:
            self._drop(one.id)
        return worst_first(batch)

    def put_back(self, batch: Iterable[incident_pb2.Incident], now_seconds: float) -> None:
        """Take back the batch taken last, which could not be looked at; what came meanwhile is newer, and stays."""
        for one in batch:
            if one.id not in self._taken:
                continue  # it is over
            since_seconds = self._taken.pop(one.id)
            self._changed.setdefault(one.id, one)
            self._since_seconds[one.id] = now_seconds if since_seconds is None else since_seconds

    def _drop(self, incident_id: str) -> None:
        holders: tuple[dict[str, Any], ...] = (self._changed, self._since_seconds, self._round)
        for one in holders:
            one.pop(incident_id, None)

    def backlog(self, now_seconds: float) -> Backlog:
        """Say how far the policy is behind."""
        oldest = min(self._since_seconds.values(), default=now_seconds)
        return Backlog(len(self._changed), now_seconds - oldest, self._put_off)


def calls(incident: incident_pb2.Incident) -> bool:
    """Say whether an incident may call for a command at all."""
    return incident.state in OPEN and (incident.code, incident.unit.filesystem_type) in ANSWERS


def worst_first(found: Iterable[incident_pb2.Incident]) -> list[incident_pb2.Incident]:
    """Return incidents in the order in which they are to be looked at."""
    return sorted(found, key=_by_urgency)


def _by_urgency(one: incident_pb2.Incident) -> tuple[int, int, str]:
    return -one.severity, one.opened_ns, one.id
