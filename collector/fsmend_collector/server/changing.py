"""The change feed as operators write it: maintenance, roll-outs and campaigns, declared, listed and ended."""
# ruff: noqa: N802  gRPC calls the methods by the service's own names

import time
from abc import abstractmethod
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any, Protocol

import grpc

from fsmend_collector.diagnose.changing import (
    CAMPAIGN,
    MAINTENANCE,
    ROLLOUT,
    Declared,
    declare_change,
    end_change,
    stored_changes,
)
from fsmend_collector.diagnose.scoping import scope_in
from fsmend_collector.diagnosis.groups import Change
from fsmend_collector.diagnosis.groups.views import Group
from fsmend_collector.errors import CommandRefused, NoSuchObject
from fsmend_collector.pki.certificates import Subject
from fsmend_collector.store.engine import Store
from fsmend_proto.v1 import why_pb2

_KINDS = (MAINTENANCE, ROLLOUT, CAMPAIGN)
_LONGEST_NS = 366 * 86_400 * 1_000_000_000
_WEEK_NS = 7 * 86_400 * 1_000_000_000
_LONGEST_NAME = 200
_BY_OPERATOR = "operator:"

Context = grpc.aio.ServicerContext[Any, Any]


class ChangingParts(Protocol):
    """What the change feed needs of the service's parts."""

    @property
    def store(self) -> Store:
        """Return the store."""


class Changing:
    """Answer what is asked about changes; QueryService is one of these."""

    _parts: ChangingParts

    @abstractmethod
    def _answering(self, context: Context) -> AbstractAsyncContextManager[Subject]:
        """Say who calls, and turn what goes wrong into a status."""

    async def AddChange(self, request: why_pb2.AddChangeRequest, context: Context) -> why_pb2.ChangeView:
        """Declare what is done to a part of the fleet."""
        async with self._answering(context) as operator:
            now_ns = time.time_ns()
            scope = await self._parts.store.read(partial(scope_in, to_come=request.force), request.scope)
            declared = _declared(request, scope, operator.actor, now_ns)
            if not request.dry_run:
                await self._parts.store.write(declare_change, declared, now_ns)
            return _view(declared, expects_silence=declared.kind == MAINTENANCE)

    async def ListChanges(self, request: why_pb2.ListChangesRequest, context: Context) -> why_pb2.ListChangesReply:
        """Return what was or is done."""
        async with self._answering(context):
            since_ns = min(request.since_ns or time.time_ns() - _WEEK_NS, (1 << 63) - 1)
            found = await self._parts.store.read(stored_changes, since_ns)
            return why_pb2.ListChangesReply(
                changes=[_view(one, expects_silence=bool(one.change.expected)) for one in found]
            )

    async def EndChange(self, request: why_pb2.EndChangeRequest, context: Context) -> why_pb2.ChangeView:
        """End what an operator declared, now."""
        async with self._answering(context) as operator:
            now_ns = time.time_ns()
            going_on = await self._parts.store.read(stored_changes, now_ns)
            one = _named(going_on, request.id)
            if not one.by.startswith(_BY_OPERATOR):
                raise CommandRefused(f"change {one.id} was seen by the collector itself\nit ends by itself too")
            if not request.dry_run:
                await self._parts.store.write(end_change, one.id, operator.actor, now_ns)
            view = _view(one, expects_silence=bool(one.change.expected))
            view.until_ns = now_ns
            return view


def _declared(request: why_pb2.AddChangeRequest, scope: Group, by: str, now_ns: int) -> Declared:
    """Check what is declared.

    Raises:
        CommandRefused: it says no kind, no time, or no name.
    """
    kind, name = request.kind or MAINTENANCE, request.name.strip()
    from_ns = request.from_ns or now_ns
    if kind not in _KINDS:
        raise CommandRefused(f"{kind[:40]!r} is no kind of change\nwrite one of {', '.join(_KINDS)}")
    if not 0 < len(name) <= _LONGEST_NAME:
        raise CommandRefused(f"a change needs a name of {_LONGEST_NAME} characters at most\nsay what is done")
    if not from_ns < request.until_ns <= from_ns + _LONGEST_NS:
        raise CommandRefused("a change ends after it begins, within a year\npass --for 4h, or --until")
    if request.until_ns <= now_ns:
        raise CommandRefused("that change is over already\npass a later end")
    change = Change(name, scope, from_ns, request.until_ns)
    return Declared(f"{kind}-{now_ns:x}", kind, change, by)


def _named(found: list[Declared], name: str) -> Declared:
    exact = [one for one in found if one.id == name]
    near = exact or [one for one in found if name and one.id.startswith(name)]
    if len(near) == 1:
        return near[0]
    if near:
        raise NoSuchObject(f"{name!r} is not unique: {', '.join(one.id for one in near[:5])}\nwrite more of it")
    raise NoSuchObject(f"there is no change {name!r} that goes on\n`fsmend change list` lists them")


def _view(one: Declared, *, expects_silence: bool) -> why_pb2.ChangeView:
    return why_pb2.ChangeView(
        id=one.id,
        kind=one.kind,
        name=one.change.name,
        dimension=one.change.scope[0],
        value=one.change.scope[1],
        from_ns=one.change.from_ns,
        until_ns=one.change.until_ns,
        expects_silence=expects_silence,
        declared_by=one.by,
    )
