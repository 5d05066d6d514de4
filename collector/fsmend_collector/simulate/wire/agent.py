"""One simulated agent: it connects, keeps its stream, and comes back when it is sent away."""

import asyncio
import random
import time
import uuid
from collections.abc import Callable
from typing import Any

import grpc

from fsmend_collector.diagnosis.groups import HostView
from fsmend_collector.simulate.wire.channels import Identity, open_channel
from fsmend_collector.simulate.wire.conversation import Conversation, Ended
from fsmend_collector.simulate.wire.events import event_of
from fsmend_collector.simulate.wire.inventory import inventory_of
from fsmend_collector.simulate.wire.spool import Spool
from fsmend_proto.v1 import event_pb2, link_pb2_grpc, record_pb2

_FIRST_BACK_OFF_SECONDS = 1.0
_MOST_BACK_OFF_SECONDS = 300.0
_UP_BEFORE_NS = 40 * 86_400 * 1_000_000_000
_CALL_BROKE = (grpc.aio.BaseError, grpc.RpcError, asyncio.InvalidStateError)


class SimulatedAgent:
    """One host's agent.

    Attributes:
        view: what its inventory says.
        connected: it was welcomed, and the stream stands.
        refused: why the collector will never let it in; empty: nothing of the kind.
    """

    def __init__(self, view: HostView, identity: Identity, address: str, changed: Callable[[], None]) -> None:
        self.view = view
        self.identity = identity
        self.connected = False
        self.refused = ""
        self._address = address
        self._changed = changed
        self._wake = asyncio.Event()
        self._powered = asyncio.Event()
        self._commands: set[str] = set()
        self._sent: dict[str, tuple[int, bytes]] = {}
        self._repeats: list[tuple[int, bytes]] = []
        self._conversation: Conversation | None = None
        self._spool = Spool(f"simulated-{uuid.uuid4().hex[:12]}.{time.time_ns()}")
        self._booted_ns = 0
        self._boot_id = ""
        self.boot(time.time_ns() - _UP_BEFORE_NS)

    @property
    def idle(self) -> bool:
        """Say whether all that it had to tell is durable at the collector."""
        return not self._spool

    def clocks(self, wall_ns: int) -> event_pb2.Clocks:
        """Return the host's clocks at a time."""
        return event_pb2.Clocks(wall_ns=wall_ns, boot_ns=max(1, wall_ns - self._booted_ns), boot_id=self._boot_id)

    def boot(self, now_ns: int) -> None:
        """Begin a new life of the host; the spool outlives it."""
        self._boot_id, self._booted_ns = str(uuid.uuid4()), now_ns
        self.tell_inventory(time.time_ns())
        self._powered.set()

    def lose_power(self) -> None:
        """Be gone, without a goodbye."""
        self._powered.clear()
        self._wake.set()

    def tell_inventory(self, now_ns: int) -> None:
        """Spool the whole inventory."""
        self._tell(record_pb2.Record(inventory=inventory_of(self.view, self.clocks(now_ns))))

    def tell(self, evidence: Any, wall_ns: int) -> None:
        """Spool a finding that happened at a time; the same one again is sent again as it was."""
        known = self._sent.get(evidence.event_id)
        if known is not None:
            self._repeats.append(known)
            self._wake.set()
            return
        record = record_pb2.Record(event=event_of(evidence, self.clocks(wall_ns)))
        self._sent[evidence.event_id] = (self._tell(record), record.SerializeToString())

    def _tell(self, record: record_pb2.Record) -> int:
        sequence = self._spool.append(record)
        self._wake.set()
        return sequence

    async def run(self) -> None:
        """Live until cancelled, or until the collector refuses for good."""
        failures = 0
        while not self.refused:
            await self._powered.wait()
            ended, welcomed = await self._stream()
            self._set_connected(connected=False)
            if not self._powered.is_set():
                continue
            failures = 0 if welcomed else failures + 1
            seconds = max(ended.retry_after_seconds, _back_off(failures))
            await asyncio.sleep(seconds * (1 + random.random()))  # noqa: S311  jitter, no secret

    async def _stream(self) -> tuple[Ended, bool]:
        """Carry one stream to its end; say also whether it was welcomed."""
        channel = open_channel(self._address, self.identity.authority, self.identity)
        talk = self._conversation = Conversation(self._spool, self._boot_id, self._commands)
        call: Any = link_pb2_grpc.LinkStub(channel).Connect()
        reading: asyncio.Task[None] | None = None
        try:
            now_ns = time.time_ns()
            await call.write(talk.hello(now_ns, self.clocks(now_ns).boot_ns))
            reading = asyncio.create_task(self._read(call, talk))
            await self._write(call, talk)
        except _CALL_BROKE as error:
            talk.ended = talk.ended or self._ended_by(error)
        finally:
            if reading is not None:
                reading.cancel()
            call.cancel()
            self._conversation = None
            await channel.close()
        return talk.ended or Ended("the host lost power"), talk.window > 0

    async def _read(self, call: Any, talk: Conversation) -> None:
        """Be the one reader; a read that is cancelled takes the call with it."""
        try:
            while (message := await call.read()) is not grpc.aio.EOF:
                talk.heard(message, self.clocks(time.time_ns()))
                if talk.window and not self.connected and talk.ended is None:
                    self._set_connected(connected=True)
                self._wake.set()
            talk.ended = talk.ended or Ended("the collector ended the stream")
        except _CALL_BROKE as error:
            talk.ended = talk.ended or self._ended_by(error)
        self._wake.set()

    async def _write(self, call: Any, talk: Conversation) -> None:
        beat_seconds = time.monotonic() + talk.heartbeat_interval_seconds
        while talk.ended is None and self._powered.is_set():
            self._wake.clear()
            for message in talk.due():
                await call.write(message)
            while self._repeats and talk.window:
                await call.write(talk.repeat(*self._repeats.pop()))
            if self.idle:
                self._changed()
            if time.monotonic() >= beat_seconds:
                await call.write(talk.heartbeat(time.time_ns()))
                beat_seconds = time.monotonic() + talk.heartbeat_interval_seconds * random.uniform(0.8, 1.0)  # noqa: S311
            await _woken(self._wake, beat_seconds - time.monotonic())

    def _set_connected(self, *, connected: bool) -> None:
        self.connected = connected
        self._changed()

    def _ended_by(self, error: BaseException) -> Ended:
        """Say why a call broke, and give up where no retry can help."""
        code = error.code() if isinstance(error, grpc.aio.AioRpcError) else None
        text = (error.details() or "") if isinstance(error, grpc.aio.AioRpcError) else str(error)
        if code in {grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAUTHENTICATED}:
            self.refused = text or str(code)
        return Ended(f"{code.name if code else type(error).__name__}: {text}")


def _back_off(failures: int) -> float:
    return min(_MOST_BACK_OFF_SECONDS, _FIRST_BACK_OFF_SECONDS * float(1 << min(failures, 9)))


async def _woken(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(max(0.0, seconds)):
            await event.wait()
    except TimeoutError:
        pass
