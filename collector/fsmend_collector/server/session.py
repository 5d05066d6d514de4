"""One agent's stream after Welcome: batches in; acknowledgements, commands and heartbeats out.

One task reads, one writes, one looks for commands. Whatever ends the session goes through `end`; the last message is
then written before the stream is closed.
"""

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import Any

import grpc

from fsmend_collector.dispatch import Dispatch
from fsmend_collector.errors import CollectorError, EpochStale, ProtocolError, StoreError
from fsmend_collector.fleet import Presence
from fsmend_collector.ingest import Committed, Ingest
from fsmend_collector.server.outbox import Outbox
from fsmend_collector.sessions import Opened
from fsmend_proto.v1 import link_pb2

log = logging.getLogger(__name__)

STORE_RETRY_SECONDS = 10
FLUSH_SECONDS = 5.0
SILENT_INTERVALS = 3


@dataclass(frozen=True, slots=True)
class End:
    """How a session ends.

    Attributes:
        message: the last one to write.
        status: of the stream; None: OK.
    """

    message: link_pb2.ConnectResponse | None = None
    status: grpc.StatusCode | None = None
    details: str = ""


def drain(retry_after_seconds: int, reason: str) -> link_pb2.ConnectResponse:
    """Return the message that asks an agent to come back later."""
    return link_pb2.ConnectResponse(drain=link_pb2.Drain(retry_after_seconds=retry_after_seconds, reason=reason))


def end_of(error: BaseException, epoch: str) -> End:
    """Say how an error of ingest ends the session."""
    if isinstance(error, EpochStale):
        stale = link_pb2.EpochStale(epoch=epoch, reason=str(error))
        return End(link_pb2.ConnectResponse(epoch_stale=stale))
    if isinstance(error, StoreError):
        return End(drain(STORE_RETRY_SECONDS, str(error)))
    if isinstance(error, ProtocolError):
        return End(status=grpc.StatusCode.FAILED_PRECONDITION, details=str(error))
    return End(status=grpc.StatusCode.INTERNAL, details=f"{type(error).__name__} while storing a batch")


@dataclass(frozen=True, slots=True)
class Timing:
    """What ends a session by time.

    Attributes:
        heartbeat_interval_seconds: the agent was told to send a heartbeat this often.
        lasts_seconds: then it is drained: the connection's greatest age, or the end of its certificate.
    """

    heartbeat_interval_seconds: int
    lasts_seconds: float


class Session:
    """One open stream."""

    def __init__(self, context: Any, opened: Opened, epoch: str, window_batches: int, timing: Timing) -> None:
        self.opened = opened
        self._epoch = epoch
        self._context = context
        self._timing = timing
        self._window = asyncio.Semaphore(window_batches)
        self._outbox = Outbox()
        self._in_flight: set[asyncio.Future[Committed]] = set()
        self._ended: asyncio.Future[End] = asyncio.get_running_loop().create_future()
        self._heard_seconds = time.monotonic()

    @property
    def living(self) -> bool:
        """Say whether the agent was heard from within its heartbeat interval."""
        return time.monotonic() - self._heard_seconds < self._timing.heartbeat_interval_seconds

    def end(self, end: End) -> None:
        """End the session; only the first call counts."""
        if not self._ended.done():
            self._ended.set_result(end)

    async def refuse(self, message: link_pb2.ConnectResponse) -> None:
        """Write one message instead of serving the stream."""
        await self._context.write(message)

    async def run(self, welcome: link_pb2.Welcome, ingest: Ingest, dispatch: Dispatch, presence: Presence) -> None:
        """Serve the stream until it ends."""
        self._outbox.push(link_pb2.ConnectResponse(welcome=welcome))
        writer = asyncio.create_task(self._write())
        tasks = [
            asyncio.create_task(self._read(ingest, presence)),
            asyncio.create_task(self._send_commands(dispatch)),
            asyncio.create_task(self._watch_time()),
        ]
        for task in (*tasks, writer):
            task.add_done_callback(self._task_done)
        try:
            end = await self._ended
            await self._finish(end, writer, tasks[1:])
        finally:
            # Cancelling the reader cancels the call, which by now has its status or is lost.
            for task in (*tasks, writer):
                task.cancel()
        if end.status is not None:
            await self._context.abort(end.status, end.details)

    async def _finish(self, end: End, writer: "asyncio.Task[None]", helpers: "list[asyncio.Task[None]]") -> None:
        """Write what is due: acknowledgements of what is still being committed, and the last message."""
        for task in helpers:
            task.cancel()
        if self._in_flight:
            await asyncio.wait(self._in_flight, timeout=FLUSH_SECONDS)
            await asyncio.sleep(0)
        if end.message is not None:
            self._outbox.push(end.message)
        self._outbox.close()
        await asyncio.wait([writer], timeout=FLUSH_SECONDS)

    def _task_done(self, task: "asyncio.Task[None]") -> None:
        """End the session when one of its tasks fails; an ordinary end says so itself."""
        if task.cancelled():
            self.end(End())
        elif (error := task.exception()) is not None:
            # gRPC's own: the agent is gone.
            if not isinstance(error, (CollectorError, grpc.aio.BaseError)):
                log.error("the session of agent %s broke", self.opened.agent_id, exc_info=error)
            self.end(end_of(error, self._epoch))

    async def _read(self, ingest: Ingest, presence: Presence) -> None:
        opened = self.opened
        while True:
            await self._outbox.room()
            request = await self._context.read()
            if request is grpc.aio.EOF:
                self.end(End())
                return
            self._heard_seconds = time.monotonic()
            presence.seen(opened.agent_id, opened.session_id, time.time_ns())
            match request.WhichOneof("body"):
                case "batch":
                    await self._take(request.batch, ingest)
                case "heartbeat":
                    answer = link_pb2.Heartbeat(wall_ns=time.time_ns(), echo_wall_ns=request.heartbeat.wall_ns)
                    self._outbox.push(link_pb2.ConnectResponse(heartbeat=answer))
                case other:
                    raise ProtocolError(f"{other or 'an unknown message'} in the middle of a session")

    async def _take(self, batch: link_pb2.RecordBatch, ingest: Ingest) -> None:
        """Hand one batch to ingest; not reading on while the window is full is what holds the agent back."""
        await self._window.acquire()
        through, future = await ingest.submit(self.opened.agent, self.opened.agent_id, batch)
        self._outbox.received(through)
        self._in_flight.add(future)
        future.add_done_callback(self._committed)

    def _committed(self, future: "asyncio.Future[Committed]") -> None:
        self._in_flight.discard(future)
        self._window.release()
        if future.cancelled():
            return
        if (error := future.exception()) is not None:
            self.end(end_of(error, self._epoch))
            return
        committed = future.result()
        self._outbox.durable(committed.durable_through)
        if committed.rejection is not None:
            reject = link_pb2.Reject(sequence=committed.rejection.sequence, reason=committed.rejection.reason)
            self._outbox.push(link_pb2.ConnectResponse(reject=reject))

    async def _write(self) -> None:
        while messages := await self._outbox.take():
            for message in messages:
                await self._context.write(message)

    async def _send_commands(self, dispatch: Dispatch) -> None:
        with dispatch.listening(self.opened.agent_id) as wake:
            while True:
                await wake.wait()
                wake.clear()
                for message in await dispatch.lease(self.opened.agent_id, self.opened.session_id):
                    self._outbox.push(message)

    async def _watch_time(self) -> None:
        """End the session when it is too old, or when the agent fell silent."""
        deadline = time.monotonic() + self._timing.lasts_seconds
        silence_seconds = SILENT_INTERVALS * self._timing.heartbeat_interval_seconds
        while True:
            now = time.monotonic()
            silent_at = self._heard_seconds + silence_seconds
            if now >= deadline:
                self.end(End(drain(0, "connect anew: greatest age of a connection, or end of the certificate")))
            elif now >= silent_at:
                self.end(End(status=grpc.StatusCode.DEADLINE_EXCEEDED, details=f"nothing for {silence_seconds} s"))
            await asyncio.sleep(max(0.05, min(deadline, silent_at) - now))
