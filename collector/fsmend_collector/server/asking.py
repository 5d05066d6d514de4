"""What operators ask of diagnosis, and their word on an incident: this part of the query service is about incidents.

A word (mute, resolve) is noted in the store, where diagnosis finds it; the answer waits for that a moment.
"""
# ruff: noqa: N802  gRPC calls the methods by the service's own names

import asyncio
import time
from abc import abstractmethod
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

import grpc

from fsmend_collector.ask import words
from fsmend_collector.ask.naming import incident_named, refuse_closed
from fsmend_collector.ask.same import find_same
from fsmend_collector.ask.why import explain
from fsmend_collector.diagnosis import DiagnosisConfig
from fsmend_collector.diagnosis.groups import Population
from fsmend_collector.errors import CommandRefused
from fsmend_collector.feed import Feed
from fsmend_collector.pki.certificates import Subject
from fsmend_collector.store.engine import Store
from fsmend_proto.v1 import incident_pb2, why_pb2

OBEYED_SECONDS = 8.0
LONGEST_TEXT = 2_000
_LONGEST_MUTE_NS = 366 * 86_400 * 1_000_000_000
_LOOK_SECONDS = 0.05

Context = grpc.aio.ServicerContext[Any, Any]


class AskingParts(Protocol):
    """What the answers need of the service's parts."""

    @property
    def store(self) -> Store:
        """Return the store."""

    @property
    def feed(self) -> Feed:
        """Return the feed."""

    @property
    def diagnosis(self) -> DiagnosisConfig:
        """Return the settings that diagnosis runs with."""

    @property
    def population(self) -> Callable[[], Population]:
        """Return what gives the population that diagnosis counts with."""


class Asking:
    """Answer what is asked about incidents; QueryService is one of these."""

    _parts: AskingParts

    @abstractmethod
    def _answering(self, context: Context) -> AbstractAsyncContextManager[Subject]:
        """Say who calls, and turn what goes wrong into a status."""

    async def ExplainIncident(self, request: why_pb2.ExplainIncidentRequest, context: Context) -> why_pb2.Why:
        """Say why an incident is one."""
        async with self._answering(context):
            population = self._parts.population()
            return await self._parts.store.read(explain, request, self._parts.diagnosis, population, time.time_ns())

    async def FindSame(self, request: why_pb2.FindSameRequest, context: Context) -> why_pb2.Same:
        """Say who shares something with a device."""
        async with self._answering(context):
            return await self._parts.store.read(find_same, request, self._parts.population(), time.time_ns())

    async def MuteIncident(self, request: why_pb2.MuteIncidentRequest, context: Context) -> why_pb2.IncidentWordReply:
        """Mute an incident until a time, or take the mute off."""
        async with self._answering(context) as operator:
            now_ns = time.time_ns()
            incident = await self._parts.store.read(incident_named, request.id)
            what, wish = (words.MUTE, "mute") if request.until_ns else (words.UNMUTE, "unmute")
            refuse_closed(incident, wish)
            _check_mute(incident, request, now_ns)
            word = words.Word(now_ns, operator.actor, what, incident.id, request.reason, request.until_ns)
            if request.dry_run:
                incident.muted_until_ns = request.until_ns
                return why_pb2.IncidentWordReply(incident=incident)
            return await self._say(word, lambda now: now.muted_until_ns == request.until_ns)

    async def ResolveIncident(
        self, request: why_pb2.ResolveIncidentRequest, context: Context
    ) -> why_pb2.IncidentWordReply:
        """Take an operator's word as the proof that an incident is over."""
        async with self._answering(context) as operator:
            now_ns = time.time_ns()
            incident = await self._parts.store.read(incident_named, request.id)
            refuse_closed(incident, "resolve")
            proof = request.proof.strip()
            if not proof:
                raise CommandRefused("a proof is missing: what makes sure that it is over?\npass --proof TEXT")
            _check_length(proof)
            word = words.Word(now_ns, operator.actor, words.RESOLVE, incident.id, proof, 0, request.members)
            if request.dry_run:
                incident.state, incident.resolved_ns = incident_pb2.INCIDENT_STATE_RESOLVED, now_ns
                incident.resolution = f"{operator.actor}: {proof}"
                return why_pb2.IncidentWordReply(incident=incident)
            return await self._say(word, lambda now: now.state == incident_pb2.INCIDENT_STATE_RESOLVED)

    async def _say(
        self, word: words.Word, obeyed: Callable[[incident_pb2.Incident], bool]
    ) -> why_pb2.IncidentWordReply:
        """Note a word, and return the incident once diagnosis has taken it in, or as it is after a while."""
        await self._parts.store.write(words.write_word, word)
        self._parts.feed.changed("words")
        until = time.monotonic() + OBEYED_SECONDS
        while True:
            incident = await self._parts.store.read(incident_named, word.incident_id)
            if obeyed(incident) or time.monotonic() > until:
                return why_pb2.IncidentWordReply(incident=incident, applied=obeyed(incident))
            await asyncio.sleep(_LOOK_SECONDS)


def _check_mute(incident: incident_pb2.Incident, request: why_pb2.MuteIncidentRequest, now_ns: int) -> None:
    _check_length(request.reason)
    if not request.until_ns:
        if not incident.muted_until_ns:
            raise CommandRefused(f"incident {incident.id} is not muted\nthere is nothing to take off")
    elif request.until_ns <= now_ns:
        raise CommandRefused("a mute must end in the future\npass --for 2h, or compare the clocks of the two hosts")
    elif request.until_ns > now_ns + _LONGEST_MUTE_NS:
        raise CommandRefused("a mute is for a year at most\npass a shorter --for")


def _check_length(text: str) -> None:
    if len(text) > LONGEST_TEXT:
        raise CommandRefused(f"the text has {len(text)} characters\nwrite {LONGEST_TEXT} at most")
