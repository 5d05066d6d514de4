"""What waits to be written to one agent: acknowledgements coalesce, everything else keeps its order."""

import asyncio
from collections import deque

from fsmend_proto.v1 import link_pb2

# A peer that asks and never reads the answers is not read from any more.
MOST_WAITING = 64


class Outbox:
    """Messages of one session; bounded, because the session waits for room before it reads what calls for an answer."""

    def __init__(self) -> None:
        self._messages: deque[link_pb2.ConnectResponse] = deque()
        self._received = self._durable = 0
        self._acknowledge = False
        self._wake = asyncio.Event()
        self._taken = asyncio.Event()
        self._closed = False

    async def room(self) -> None:
        """Wait until few enough messages wait."""
        while len(self._messages) >= MOST_WAITING:
            self._taken.clear()
            await self._taken.wait()

    def push(self, message: link_pb2.ConnectResponse) -> None:
        """Append a message."""
        self._messages.append(message)
        self._wake.set()

    def received(self, through: int) -> None:
        """Note what was read off the wire; it travels with the next acknowledgement."""
        self._received = max(self._received, through)

    def durable(self, through: int) -> None:
        """Acknowledge what is committed; a later call before the message is written takes its place."""
        self._durable = max(self._durable, through)
        self._acknowledge = True
        self._wake.set()

    def close(self) -> None:
        """Let `take` return what is left, and then nothing."""
        self._closed = True
        self._wake.set()

    async def take(self) -> list[link_pb2.ConnectResponse]:
        """Wait for messages and return them all; empty: closed."""
        while not self._messages and not self._acknowledge and not self._closed:
            self._wake.clear()
            await self._wake.wait()
        taken = list(self._messages)
        self._messages.clear()
        self._taken.set()
        if self._acknowledge:
            ack = link_pb2.Ack(received_through=max(self._received, self._durable), durable_through=self._durable)
            taken.insert(0, link_pb2.ConnectResponse(ack=ack))
            self._acknowledge = False
        return taken
