"""The query service: what operators ask and order, with the CLI or the web pages.

Every call needs an operator's certificate. Methods are named as the service in query.proto names them.
"""
# ruff: noqa: N802  gRPC calls the methods by the service's own names

import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NoReturn

import grpc

from fsmend_collector.commands import FINAL_STATES
from fsmend_collector.diagnosis import DiagnosisConfig
from fsmend_collector.diagnosis.groups import Population, ScanSettings
from fsmend_collector.dispatch import Dispatch
from fsmend_collector.errors import CollectorError, CommandRefused, IdentityError, NoSuchObject, StoreError
from fsmend_collector.feed import Feed, Topic
from fsmend_collector.pki.certificates import Subject
from fsmend_collector.pki.tokens import new_token, store_token
from fsmend_collector.server.asking import Asking
from fsmend_collector.server.changing import Changing
from fsmend_collector.server.health_checks import assess
from fsmend_collector.server.identity import Gate, status_of
from fsmend_collector.server.repair_orders import UnclearOrder, resolve_order
from fsmend_collector.server.replaying import Replaying
from fsmend_collector.store import reads
from fsmend_collector.store.engine import Store
from fsmend_collector.store.health_reads import SourceStates, read_health_facts
from fsmend_collector.store.keyset import BadPageToken
from fsmend_collector.store.scope import NoSuchHost
from fsmend_collector.waiting import Backlog
from fsmend_proto.v1 import command_pb2
from fsmend_proto.v1 import query_pb2 as pb
from fsmend_proto.v1.query_pb2_grpc import QueryServicer

FOLLOW_BATCH = 500
# A follower is told the cursor at least so often, so that a client that resumes does not read far back.
QUIET_SECONDS = 15.0
DEFAULT_TOKEN_SECONDS = 3600
LONGEST_TOKEN_SECONDS = 30 * 86_400
_LAST_NS = (1 << 63) - 1
LONGEST_DETAILS = 1000

Context = grpc.aio.ServicerContext[Any, Any]


@dataclass(frozen=True, slots=True)
class QueryParts:
    """What the query service is made of.

    Attributes:
        join_token: from a token's secret to the one string that a new host needs.
        token_seconds: how long a token is good when the operator does not say.
        diagnosis, groups: the settings that diagnosis runs with.
        population: gives the population that diagnosis counts with.
        backlog: says how far the policy is behind.
    """

    store: Store
    feed: Feed
    dispatch: Dispatch
    gate: Gate
    join_token: Callable[[str], str]
    token_seconds: int = DEFAULT_TOKEN_SECONDS
    diagnosis: DiagnosisConfig = field(default_factory=DiagnosisConfig)
    groups: ScanSettings = field(default_factory=ScanSettings)
    population: Callable[[], Population] = Population
    backlog: Callable[[], Backlog] = Backlog


class QueryService(Asking, Changing, Replaying, QueryServicer):
    """Answer operators."""

    _parts: QueryParts

    def __init__(self, parts: QueryParts) -> None:
        self._parts = parts
        self._sources = SourceStates()

    @contextlib.asynccontextmanager
    async def _answering(self, context: Context) -> AsyncIterator[Subject]:
        """Yield who calls; turn what goes wrong into a status."""
        operator = await self._parts.gate.require(context, "operator")
        try:
            yield operator
        except NoSuchHost as error:
            problem = f"there is no host {str(error)!r}\n`fsmend get hosts` lists them"
            await _abort(context, grpc.StatusCode.NOT_FOUND, problem)
        except NoSuchObject as error:
            await _abort(context, grpc.StatusCode.NOT_FOUND, str(error))
        except IdentityError as error:
            await _abort(context, status_of(error), str(error))
        except (BadPageToken, UnclearOrder) as error:
            await _abort(context, grpc.StatusCode.INVALID_ARGUMENT, str(error))
        except CommandRefused as error:
            await _abort(context, grpc.StatusCode.FAILED_PRECONDITION, str(error))
        except StoreError as error:
            await _abort(context, grpc.StatusCode.UNAVAILABLE, str(error))
        except CollectorError as error:
            await _abort(context, grpc.StatusCode.INTERNAL, str(error))

    async def GetHealth(self, request: pb.GetHealthRequest, context: Context) -> pb.GetHealthReply:  # noqa: ARG002
        """Judge the whole fleet."""
        async with self._answering(context):
            now_ns = time.time_ns()
            facts = await self._parts.store.read(read_health_facts, self._sources, now_ns)
            facts.store_failure = self._parts.store.writer.state.failure
            facts.policy_backlog = self._parts.backlog()
            return assess(facts, now_ns)

    async def List(self, request: pb.ListRequest, context: Context) -> pb.ListReply:
        """Return one page of objects of one kind."""
        async with self._answering(context):
            if request.kind == pb.OBJECT_KIND_UNSPECIFIED or request.kind not in pb.ObjectKind.values():
                await _abort(context, grpc.StatusCode.INVALID_ARGUMENT, f"there is no kind {request.kind} of objects")
            _clamp(request.filter)
            return await self._parts.store.read(reads.list_objects, request, time.time_ns())

    async def FollowEvents(
        self, request: pb.FollowEventsRequest, context: Context
    ) -> AsyncIterator[pb.FollowEventsReply]:
        """Send a cursor alone, and then every event after it that the filter lets pass, as they are committed."""
        async with self._answering(context) as operator:
            _clamp(request.filter)
            cursor = told = await self._start(request, context)
            yield pb.FollowEventsReply(cursor=str(cursor))
            async for batch, reached in self._committed(request.filter, cursor):
                self._parts.gate.check(operator, datetime.now(UTC))
                for event in batch:
                    yield pb.FollowEventsReply(event=event, cursor=event.id)
                    told = int(event.id)
                if reached - told >= FOLLOW_BATCH:
                    yield pb.FollowEventsReply(cursor=str(reached))
                    told = reached

    async def _committed(self, wanted: pb.Filter, cursor: int) -> AsyncIterator[tuple[list[pb.EventView], int]]:
        """Yield what is committed after `cursor`, as it is, in batches, each with the cursor that it reaches."""
        async with self._woken("records") as wakes:
            async for _ in wakes:
                reached = -1
                while reached != cursor:
                    cursor = max(cursor, reached)
                    batch, reached = await self._parts.store.read(reads.events_following, wanted, cursor, FOLLOW_BATCH)
                    yield batch, reached

    def _woken(self, topic: Topic) -> contextlib.aclosing[AsyncGenerator[None, None]]:
        return contextlib.aclosing(self._parts.feed.follow(topic, at_least_every_seconds=QUIET_SECONDS))

    async def _start(self, request: pb.FollowEventsRequest, context: Context) -> int:
        if not request.cursor:
            return await self._parts.store.read(reads.start_cursor, request.filter.since_ns)
        if not (request.cursor.isascii() and request.cursor.isdecimal()) or len(request.cursor) > 18:
            await _abort(
                context, grpc.StatusCode.INVALID_ARGUMENT, f"{request.cursor[:40]!r} is not the id of an event"
            )
        return int(request.cursor)

    async def WatchCommand(self, request: pb.WatchCommandRequest, context: Context) -> AsyncIterator[pb.CommandView]:
        """Send the command as it is, then each change, up to its final state."""
        async with self._answering(context) as operator:
            view = await self._command(request.command_id, context)
            yield view
            if view.state in FINAL_STATES:
                return
            async with self._woken("commands") as wakes:
                async for _ in wakes:
                    self._parts.gate.check(operator, datetime.now(UTC))
                    now = await self._parts.store.read(reads.command_by_id, view.command.id)
                    if now is None:  # past its retention
                        return
                    if (now.updated_ns, now.state, now.last_update) != (view.updated_ns, view.state, view.last_update):
                        view = now
                        yield view
                    if view.state in FINAL_STATES:
                        return

    async def RunRepair(self, request: pb.RunRepairRequest, context: Context) -> pb.RunRepairReply:
        """Find the target, complete the command, and queue it."""
        async with self._answering(context) as operator:
            now_ns = time.time_ns()
            order = await self._parts.store.read(resolve_order, request, operator.actor, now_ns)
            if not request.dry_run:
                await self._parts.dispatch.create(order.command, order.agent_id, operator.actor)
                stored = await self._parts.store.read(reads.command_by_id, order.command.id)
                return pb.RunRepairReply(command=stored)
            view = pb.CommandView(command=order.command, agent_id=order.agent_id, host_name=order.host_name)
            return pb.RunRepairReply(command=view)

    async def CancelRepair(self, request: pb.CancelRepairRequest, context: Context) -> pb.CancelRepairReply:
        """Stop a command: at once when it was never sent, else by asking the agent."""
        async with self._answering(context) as operator:
            view = await self._command(request.command_id, context)
            if view.state in FINAL_STATES:
                state = command_pb2.CommandState.Name(view.state).removeprefix("COMMAND_STATE_").lower()
                raise CommandRefused(f"command {view.command.id} has ended: {state}")
            if not request.dry_run:
                await self._parts.dispatch.cancel(view.command.id, request.reason, operator.actor)
            now = await self._parts.store.read(reads.command_by_id, view.command.id)
            return pb.CancelRepairReply(command=now)

    async def CreateToken(self, request: pb.CreateTokenRequest, context: Context) -> pb.CreateTokenReply:
        """Make a one-use join token; its secret is in this answer only."""
        async with self._answering(context) as operator:
            seconds = request.time_to_live_seconds or self._parts.token_seconds
            if seconds > LONGEST_TOKEN_SECONDS:
                problem = f"a token may be good for {LONGEST_TOKEN_SECONDS // 86_400} days at most"
                await _abort(context, grpc.StatusCode.INVALID_ARGUMENT, f"{problem}\npass a shorter --ttl")
            token = new_token(operator.actor, request.host_name, seconds, time.time_ns())
            view = pb.TokenView(
                id="" if request.dry_run else token.id,
                created_ns=token.created_ns,
                not_after_ns=token.not_after_ns,
                created_by=token.created_by,
                host_name=token.host_name,
            )
            if request.dry_run:
                return pb.CreateTokenReply(token=view)
            await self._parts.store.write(store_token, token)
            return pb.CreateTokenReply(token=view, join_token=self._parts.join_token(token.secret))

    async def _command(self, name: str, context: Context) -> pb.CommandView:
        """Return the one command that an id or prefix names."""
        found = await self._parts.store.read(reads.commands_named, name) if name else []
        if not found:
            await _abort(
                context,
                grpc.StatusCode.NOT_FOUND,
                f"there is no command {name!r}\n`fsmend get commands --all` lists them",
            )
        if len(found) > 1:
            several = ", ".join(view.command.id for view in found[:5])
            problem = f"{name!r} is not unique among the commands: {several}\nwrite more of it"
            await _abort(context, grpc.StatusCode.INVALID_ARGUMENT, problem)
        return found[0]


def _clamp(wanted: pb.Filter) -> None:
    """Bound the times of a filter to what the store can compare: times there are signed."""
    wanted.since_ns = min(wanted.since_ns, _LAST_NS)
    wanted.until_ns = min(wanted.until_ns, _LAST_NS)


async def _abort(context: Context, code: grpc.StatusCode, details: str) -> NoReturn:
    # Details travel in a header: a caller that sent a huge name must not get a broken connection instead of an answer.
    shown = details if len(details) <= LONGEST_DETAILS else f"{details[:LONGEST_DETAILS]}…"
    await context.abort(code, shown)
    raise AssertionError("abort returns never")
