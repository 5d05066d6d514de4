"""The seam between `sense` and `link`: frames of protobuf over a Unix stream socket.

A frame is a 4-byte big-endian length and a message: SeamRequest from link to sense, SeamReply back. `sense` trusts
nothing that comes in: who connects is checked by SO_PEERCRED (unix(7)), lengths are bounded, and whatever does not fit
ends that one connection with a SeamError. Here is what both sides share, and link's side; sense's is in
`seam_server.py`.
"""

import asyncio
import struct
from pathlib import Path

from google.protobuf.message import DecodeError as ProtobufDecodeError
from google.protobuf.message import Message

from fsmend_agent.errors import ProtocolError
from fsmend_proto.v1 import seam_pb2

LENGTH = struct.Struct(">I")
MAX_REPLY_BYTES = 4 << 20
MAX_REQUEST_BYTES = 64 << 10


def encode_frame(message: Message, limit_bytes: int) -> bytes:
    """Return a message as a frame.

    Raises:
        ProtocolError: it is larger than the other side takes.
    """
    body = message.SerializeToString()
    if len(body) > limit_bytes:
        raise ProtocolError(f"a frame of {len(body)} bytes is larger than the seam takes, {limit_bytes}")
    return LENGTH.pack(len(body)) + body


async def read_frame(reader: asyncio.StreamReader, limit_bytes: int) -> bytes | None:
    """Return the body of the next frame, or nothing at the end of the stream.

    Raises:
        ProtocolError: the frame is empty or larger than `limit_bytes`, or the stream ends in its middle.
    """
    try:
        head = await reader.readexactly(LENGTH.size)
    except asyncio.IncompleteReadError as error:
        if not error.partial:
            return None
        raise ProtocolError("the stream ended inside a frame's length") from error
    (length,) = LENGTH.unpack(head)
    if not 0 < length <= limit_bytes:
        raise ProtocolError(f"a frame of {length} bytes was announced, 1 to {limit_bytes} are allowed")
    try:
        return await reader.readexactly(length)
    except asyncio.IncompleteReadError as error:
        raise ProtocolError(f"the stream ended {length - len(error.partial)} bytes before a frame's end") from error


def decode_request(body: bytes) -> seam_pb2.SeamRequest:
    """Decode what link sent.

    Raises:
        ProtocolError: it is no SeamRequest, or says nothing.
    """
    try:
        request = seam_pb2.SeamRequest.FromString(body)
    except ProtobufDecodeError as error:
        raise ProtocolError(f"the frame holds no SeamRequest: {error}") from error
    if request.WhichOneof("body") is None:
        raise ProtocolError("the SeamRequest is empty, or newer than this agent")
    return request


class SeamClient:
    """Link's end of the seam."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def connect(cls, path: Path) -> "SeamClient":
        """Connect to the socket of `sense`.

        Raises:
            OSError: nobody listens, or this user may not.
        """
        return cls(*await asyncio.open_unix_connection(path, limit=MAX_REPLY_BYTES))

    async def send(self, request: seam_pb2.SeamRequest) -> None:
        """Send one request.

        Raises:
            ProtocolError: it is too large for the seam.
            OSError: sense is gone.
        """
        self._writer.write(encode_frame(request, MAX_REQUEST_BYTES))
        await self._writer.drain()

    async def receive(self) -> seam_pb2.SeamReply:
        """Wait for one reply.

        Raises:
            ProtocolError: the bytes are no SeamReply.
            ConnectionError: sense closed the connection.
        """
        body = await read_frame(self._reader, MAX_REPLY_BYTES)
        if body is None:
            raise ConnectionResetError("sense closed the seam")
        try:
            return seam_pb2.SeamReply.FromString(body)
        except ProtobufDecodeError as error:
            raise ProtocolError(f"the frame holds no SeamReply: {error}") from error

    def close(self) -> None:
        """Close the connection."""
        self._writer.close()
