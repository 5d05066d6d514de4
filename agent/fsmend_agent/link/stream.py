"""One stream to one collector: the I/O around `protocol`.

What bites in grpc.aio, and what is done about it: cancelling the await of a read or a write cancels the call, so one
task reads and one writes for the life of the stream, and neither is ever given a timeout; an abandoned call is
cancelled in `finally`; a write that returned is no delivery, so only acknowledgements count, and the window bounds what
is under way.
"""

import asyncio
import contextlib
import time
from typing import Any

import grpc

from fsmend_agent.errors import ProtocolError
from fsmend_agent.link.protocol import LinkProtocol, Output, Stop
from fsmend_agent.seam import SeamClient
from fsmend_proto.v1 import link_pb2, seam_pb2
from fsmend_proto.v1.link_pb2_grpc import LinkStub

# The window, heartbeats and their answers fit many times over; more means that the collector stopped reading.
_MAX_OUTGOING = 256
_MAX_INCOMING = 256
_WELCOME_SECONDS = 30.0
# Between heartbeats when the collector names no interval.
_SILENT_SECONDS = 60.0
_TICK = object()


class Stream:
    """Carry records up and commands down until either side ends it."""

    def __init__(self, channel: grpc.aio.Channel, seam: SeamClient) -> None:
        self._seam = seam
        self._call: Any = LinkStub(channel).Connect()
        self._incoming: asyncio.Queue[object] = asyncio.Queue(_MAX_INCOMING)
        self._outgoing: asyncio.Queue[link_pb2.ConnectRequest] = asyncio.Queue(_MAX_OUTGOING)
        self._welcome = asyncio.Event()

    @property
    def welcomed(self) -> bool:
        """Tell whether the collector opened a session."""
        return self._welcome.is_set()

    async def run(self) -> Stop:
        """Return why the stream ended.

        Raises:
            OSError: the seam broke; sense is gone.
        """
        await self._seam.send(seam_pb2.SeamRequest(open=seam_pb2.SeamOpen()))
        protocol = LinkProtocol(await self._state())
        self._outgoing.put_nowait(protocol.hello(*_clocks()))
        tasks = [
            asyncio.create_task(work)
            for work in (self._read_collector(), self._write_collector(), self._read_seam(), self._tick(protocol))
        ]
        try:
            return await self._turn(protocol)
        except ProtocolError as error:
            return Stop(str(error), healthy=False)
        finally:
            for task in tasks:
                task.cancel()
            self._call.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _state(self) -> seam_pb2.SeamState:
        """Return the answer to SeamOpen; what an earlier stream asked for may come before it."""
        while True:
            reply = await self._seam.receive()
            if reply.HasField("state"):
                return reply.state

    async def _turn(self, protocol: LinkProtocol) -> Stop:
        while True:
            item = await self._incoming.get()
            if isinstance(item, Stop):
                return item
            if isinstance(item, BaseException):
                raise item
            if isinstance(item, link_pb2.ConnectResponse):
                outputs = protocol.from_collector(item, *_clocks())
            elif isinstance(item, seam_pb2.SeamReply):
                outputs = protocol.from_spool(item)
            else:
                outputs = protocol.heartbeat(*_clocks())
            if protocol.session_id:
                self._welcome.set()
            stop = await self._put_out(outputs)
            if stop:
                return stop

    async def _put_out(self, outputs: list[Output]) -> Stop | None:
        for output in outputs:
            if isinstance(output, Stop):
                return output
            if isinstance(output, seam_pb2.SeamRequest):
                await self._seam.send(output)
                continue
            try:
                self._outgoing.put_nowait(output)
            except asyncio.QueueFull:
                return Stop("the collector does not read", healthy=False)
        return None

    async def _read_collector(self) -> None:
        try:
            while (message := await self._call.read()) is not grpc.aio.EOF:
                await self._incoming.put(message)
            await self._incoming.put(Stop("the collector ended the stream"))
        except grpc.aio.AioRpcError as error:
            await self._incoming.put(_stop_of(error))

    async def _write_collector(self) -> None:
        # Why the call ended is told by the reader, which gets its status.
        with contextlib.suppress(grpc.aio.AioRpcError, grpc.aio.UsageError, asyncio.InvalidStateError):
            while True:
                await self._call.write(await self._outgoing.get())

    async def _read_seam(self) -> None:
        try:
            while True:
                await self._incoming.put(await self._seam.receive())
        except (ProtocolError, OSError) as error:
            await self._incoming.put(error)

    async def _tick(self, protocol: LinkProtocol) -> None:
        try:
            async with asyncio.timeout(_WELCOME_SECONDS):
                await self._welcome.wait()
        except TimeoutError:
            await self._incoming.put(Stop(f"no Welcome within {_WELCOME_SECONDS:.0f} s", healthy=False))
        while True:
            await asyncio.sleep(protocol.heartbeat_interval_seconds or _SILENT_SECONDS)
            await self._incoming.put(_TICK)


def _clocks() -> tuple[int, int]:
    return time.time_ns(), time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def _stop_of(error: grpc.aio.AioRpcError) -> Stop:
    return Stop(f"{error.code().name}: {error.details()}", healthy=error.code() is grpc.StatusCode.OK)
