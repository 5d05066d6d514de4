"""The Link service: let an agent in, open its session, fence an older one."""

import asyncio
import logging
import time
import uuid
from dataclasses import dataclass
from typing import Any

import grpc

from fsmend_collector.config import SessionsConfig
from fsmend_collector.dispatch import Dispatch
from fsmend_collector.errors import EpochStale, IdentityError, ProtocolError, Quarantined, StoreError
from fsmend_collector.feed import Feed
from fsmend_collector.fleet import Presence, quarantine, standing, write_disconnected
from fsmend_collector.ingest import Ingest
from fsmend_collector.server.admission import Admission, CloneWatch
from fsmend_collector.server.identity import Gate, seconds_until, status_of
from fsmend_collector.server.session import STORE_RETRY_SECONDS, End, Session, Timing, drain
from fsmend_collector.sessions import PROTOCOL_VERSION, Opened, check_hello, open_session
from fsmend_collector.store.engine import Store
from fsmend_proto.v1 import link_pb2, link_pb2_grpc

log = logging.getLogger(__name__)

HELLO_SECONDS = 10.0
QUARANTINE_RETRY_SECONDS = 300
# Heartbeats cost more than idle connections: a large fleet is told a longer interval.
HEARTBEATS_PER_SECOND = 50


@dataclass(frozen=True, slots=True)
class Services:
    """What sessions work with."""

    store: Store
    feed: Feed
    ingest: Ingest
    dispatch: Dispatch
    presence: Presence
    gate: Gate


class LinkService(link_pb2_grpc.LinkServicer):
    """Serve agents' streams."""

    def __init__(self, services: Services, config: SessionsConfig) -> None:
        self._services = services
        self._config = config
        self._admission = Admission(config.admit_per_second)
        self._clones = CloneWatch()
        self._sessions: dict[str, Session] = {}
        self._draining = ""

    async def Connect(self, request_iterator: Any, context: Any) -> None:  # type: ignore[override]  # noqa: ARG002, N802  grpc.aio's other signature
        """Serve one stream; the first message is Hello."""
        subject = await self._services.gate.require(context, "agent")
        if self._draining:
            await context.write(drain(1, self._draining))
            return
        if not self._admission.admit(time.monotonic()):
            await context.write(drain(self._admission.retry_after_seconds(), "too many agents connect at once"))
            return
        hello = await self._hello(context)
        opened = await self._open(context, subject.name, hello)
        if opened is None:
            return
        lasts_seconds = min(seconds_until(subject.not_after), self._config.max_connection_age_seconds)
        interval = max(self._config.heartbeat_interval_seconds, len(self._sessions) // HEARTBEATS_PER_SECOND)
        session = Session(context, opened, hello.epoch, self._config.window_batches, Timing(interval, lasts_seconds))
        await self._serve(session, hello, interval)

    async def _hello(self, context: Any) -> link_pb2.Hello:
        """Read and check the first message; an agent that sends none loses the call."""
        try:
            async with asyncio.timeout(HELLO_SECONDS):
                first = await context.read()
        except TimeoutError:
            # The timeout has cancelled the read, and with it the call.
            await context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, f"no Hello within {HELLO_SECONDS:.0f} s")
        if first is grpc.aio.EOF or first.WhichOneof("body") != "hello":
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, "the first message must be Hello")
        try:
            check_hello(first.hello)
        except ProtocolError as error:
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error))
        hello: link_pb2.Hello = first.hello
        return hello

    async def _open(self, context: Any, agent_id: str, hello: link_pb2.Hello) -> Opened | None:
        """Open the session in the store; None: the agent was told why not."""
        try:
            return await self._services.store.write(open_session, agent_id, hello, str(uuid.uuid4()), time.time_ns())
        except EpochStale as error:
            stale = link_pb2.EpochStale(epoch=hello.epoch, reason=str(error))
            await context.write(link_pb2.ConnectResponse(epoch_stale=stale))
        except Quarantined as error:
            await context.write(drain(QUARANTINE_RETRY_SECONDS, f"quarantined: {error}"))
        except StoreError as error:
            await context.write(drain(STORE_RETRY_SECONDS, str(error)))
        except IdentityError as error:
            await context.abort(status_of(error), str(error))
        return None

    async def _serve(self, session: Session, hello: link_pb2.Hello, interval_seconds: int) -> None:
        try:
            reason = await self._fence(session, hello.boot_id)
            if reason is not None:
                await session.refuse(reason)
                return
            await self._welcome(session, interval_seconds)
        finally:
            self._closed(session)

    async def _welcome(self, session: Session, interval_seconds: int) -> None:
        services, opened = self._services, session.opened
        services.presence.opened(opened.agent_id, opened.session_id, time.time_ns())
        services.feed.changed("presence")
        welcome = link_pb2.Welcome(
            session_id=opened.session_id,
            durable_through=opened.durable_through,
            window_batches=self._config.window_batches,
            heartbeat_interval_seconds=interval_seconds,
            server_wall_ns=time.time_ns(),
            protocol_version=PROTOCOL_VERSION,
        )
        await session.run(welcome, services.ingest, services.dispatch, services.presence)

    async def _fence(self, session: Session, boot_id: str) -> link_pb2.ConnectResponse | None:
        """End an older session of the same agent; return what ends this one too, as when two hosts use the identity."""
        agent_id = session.opened.agent_id
        older = self._sessions.get(agent_id)
        self._sessions[agent_id] = session
        living = older is not None and older.living
        if older is not None:
            older.end(End(drain(0, "a newer session of this agent began")))
        reason = self._clones.observe(agent_id, boot_id, fenced_living=living, now_seconds=time.monotonic())
        if not reason:
            return drain(1, self._draining) if self._draining else None
        log.error("agent %s is quarantined: %s", agent_id, reason)
        try:
            await self._services.store.write(quarantine, agent_id, reason, time.time_ns())
        except StoreError as error:
            return drain(STORE_RETRY_SECONDS, str(error))
        self._clones.forget(agent_id)
        return drain(QUARANTINE_RETRY_SECONDS, f"quarantined: {reason}")

    def _closed(self, session: Session) -> None:
        opened = session.opened
        if self._sessions.get(opened.agent_id) is session:
            del self._sessions[opened.agent_id]
        if self._services.presence.closed(opened.agent_id, opened.session_id):
            self._services.feed.changed("presence")
            self._services.store.write_soon(write_disconnected, opened.agent_id, opened.session_id, time.time_ns())

    def __len__(self) -> int:
        """Return how many sessions are open."""
        return len(self._sessions)

    async def end_unwelcome(self) -> None:
        """End the sessions of agents that were revoked or quarantined meanwhile."""
        shut_out = await self._services.store.read(standing)
        for agent_id in (shut_out.revoked | shut_out.quarantined) & self._sessions.keys():
            revoked = agent_id in shut_out.revoked
            denied = End(status=grpc.StatusCode.PERMISSION_DENIED, details=f"agent {agent_id} is revoked")
            waits = End(drain(QUARANTINE_RETRY_SECONDS, "quarantined"))
            self._sessions[agent_id].end(denied if revoked else waits)

    async def drain(self, reason: str, retry_after_seconds: int = 1) -> None:
        """Ask every agent to come back later, and wait until the streams have ended."""
        self._draining = reason
        for session in tuple(self._sessions.values()):
            session.end(End(drain(retry_after_seconds, reason)))
        while self._sessions:  # noqa: ASYNC110  at most some seconds, once in the life of the process
            await asyncio.sleep(0.01)
