"""Sense's end of the seam: serve the spool to one link at a time, and pass commands on."""

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from fsmend_agent.errors import ProtocolError, SpoolError
from fsmend_agent.seam import MAX_REPLY_BYTES, MAX_REQUEST_BYTES, decode_request, encode_frame, read_frame
from fsmend_agent.spool import Spool
from fsmend_proto.v1 import seam_pb2
from fsmend_proto.v1.command_pb2 import CancelCommand, Command

T = TypeVar("T")

_PEER_CREDENTIALS = struct.Struct("3i")
# A batch that fits in the seam's frame, whatever was asked for.
_MAX_BATCH_BYTES = MAX_REPLY_BYTES - (1 << 20)
_MAX_BATCH_RECORDS = 10_000
_DEFAULT_BATCH_BYTES = 1 << 20
_DEFAULT_BATCH_RECORDS = 500


def _nothing(*_: object) -> None:
    """Be the callback of somebody who does not care."""


@dataclass(frozen=True, slots=True)
class SeamCalls:
    """What sense does with what link passes on. All are called in sense's loop and must not block.

    Attributes:
        on_command: a command from the collector, unchecked: the executor trusts nothing in it.
        on_cancel: likewise.
        on_clock: the collector's clock minus the host's, and the uncertainty, both in nanoseconds.
        on_epoch: a new epoch was begun because the collector asked for one.
        on_error: one line about a connection that was closed for what it did.
        unfinished_commands: ids for SeamState.
    """

    on_command: Callable[[Command], None] = _nothing
    on_cancel: Callable[[CancelCommand], None] = _nothing
    on_clock: Callable[[int, int], None] = _nothing
    on_epoch: Callable[[str], None] = _nothing
    on_error: Callable[[str], None] = _nothing
    unfinished_commands: Callable[[], Sequence[str]] = field(default=tuple)


class SeamServer:
    """Listen on the seam's socket. What a peer sends can end its connection, never this process.

    Args:
        spool: what is read, acknowledged and rejected.
        path: of the socket.
        calls: where the rest goes.
        boot_id: for SeamState.
        agent_version: for SeamState.
        allowed_uids: users that may connect.
        group_id: the socket's group; a process with it as its primary group may connect as well, for systemd gives a
            dynamic user another id at every start.
    """

    def __init__(
        self,
        spool: Spool,
        path: Path,
        calls: SeamCalls,
        *,
        boot_id: str,
        agent_version: str,
        allowed_uids: frozenset[int] = frozenset({0}),
        group_id: int | None = None,
    ) -> None:
        self.spool = spool
        self.calls = calls
        self.boot_id = boot_id
        self.agent_version = agent_version
        self._path = path
        self._allowed_uids = allowed_uids
        self._group_id = group_id
        self._server: asyncio.Server | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._session: SeamSession | None = None
        self._threads: ThreadPoolExecutor | None = None

    async def in_thread(self, work: Callable[..., T], *arguments: object) -> T:
        """Run what blocks on the spool."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)

    async def start(self) -> None:
        """Make the socket, mode 0660, and listen.

        Raises:
            OSError: the socket cannot be made there.
        """
        self._loop = asyncio.get_running_loop()
        # Not the loop's threads: those may all hang in calls into a disk that does not answer.
        self._threads = ThreadPoolExecutor(2, "seam")
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._path.unlink(missing_ok=True)
            listener.bind(str(self._path))
            self._path.chmod(0o660)  # nobody can connect before listen(2)
            if self._group_id is not None:
                os.chown(self._path, -1, self._group_id)
            self._server = await asyncio.start_unix_server(self._serve, sock=listener, limit=MAX_REQUEST_BYTES)
        except OSError:
            listener.close()
            raise

    def notify(self) -> None:
        """Wake a link that waits for records. Any thread may call it."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        if self._session:
            self._session.wake()

    async def close(self) -> None:
        """Stop listening, end the connection, remove the socket."""
        if self._server:
            self._server.close()
        if self._session:
            self._session.close()
        if self._threads:
            self._threads.shutdown(wait=False)
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        session = SeamSession(self, reader, writer)
        uid, gid = _peer_ids(writer)
        if uid not in self._allowed_uids and (self._group_id is None or gid != self._group_id):
            self.calls.on_error(f"user {uid} may not use the seam")
            await session.refuse("this user may not use the seam")
            return
        if self._session:
            self._session.close()  # a newer link replaces the older: the old one may be half dead
        self._session = session
        try:
            await session.run()
        finally:
            if self._session is session:
                self._session = None


def _peer_ids(writer: asyncio.StreamWriter) -> tuple[int, int]:
    """Return the user and group id of whoever connected. See unix(7), SO_PEERCRED."""
    peer = writer.get_extra_info("socket")
    data = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER_CREDENTIALS.size)
    _, uid, gid = _PEER_CREDENTIALS.unpack(data)
    return uid, gid


class SeamSession:
    """One connection: requests are taken in order, and one read may wait for records meanwhile."""

    def __init__(self, server: SeamServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._server = server
        self._spool = server.spool
        self._reader = reader
        self._writer = writer
        self._wanted: seam_pb2.SeamRead | None = None
        self._epoch = self._spool.epoch
        self._stir = asyncio.Event()
        self._answers: dict[str, Callable[[seam_pb2.SeamRequest], Awaitable[None]]] = {
            "open": self._open,
            "read": self._read,
            "ack": self._ack,
            "reject": self._reject,
            "new_epoch": self._new_epoch,
            "command": self._pass_on,
            "cancel": self._pass_on,
            "clock": self._pass_on,
        }

    def wake(self) -> None:
        """Look whether the read that waits can be answered."""
        self._stir.set()

    def close(self) -> None:
        """Drop the connection; `run` ends."""
        self._writer.close()
        self._reader.feed_eof()

    async def run(self) -> None:
        """Serve until the peer goes, or breaks a rule."""
        sender = asyncio.create_task(self._send_batches())
        sender.add_done_callback(lambda _: self.close())  # a link that gets no answer would wait for ever
        try:
            while (body := await read_frame(self._reader, MAX_REQUEST_BYTES)) is not None:
                await self._answer(decode_request(body))
        except ProtocolError as error:
            self._server.calls.on_error(f"the seam was closed: {error}")
            await self.refuse(str(error))
        except OSError as error:
            self._server.calls.on_error(f"the seam was closed: {error}")
        finally:
            sender.cancel()
            await asyncio.gather(sender, return_exceptions=True)
            self._writer.close()

    async def refuse(self, message: str) -> None:
        """Say why, and close."""
        with contextlib.suppress(OSError):
            await self._reply(seam_pb2.SeamReply(error=seam_pb2.SeamError(message=message)))
        self._writer.close()

    async def _answer(self, request: seam_pb2.SeamRequest) -> None:
        """Do what is asked; what the spool refuses is told, and the connection goes on."""
        body = request.WhichOneof("body")
        if body is None:
            return
        try:
            await self._answers[body](request)
        except ConnectionError:
            raise
        except (ProtocolError, SpoolError, OSError) as error:
            reply = seam_pb2.SeamReply(error=seam_pb2.SeamError(message=str(error)))
            if self._spool.epoch != self._epoch:  # what was asked was right when it was sent
                self._wanted = None
                reply = seam_pb2.SeamReply(state=self._state())
            await self._reply(reply)

    async def _open(self, _: seam_pb2.SeamRequest) -> None:
        await self._reply(seam_pb2.SeamReply(state=self._state()))

    def _state(self) -> seam_pb2.SeamState:
        self._epoch = self._spool.epoch
        return seam_pb2.SeamState(
            boot_id=self._server.boot_id,
            epoch=self._epoch,
            oldest_sequence=self._spool.oldest_sequence,
            next_sequence=self._spool.next_sequence,
            unfinished_commands=self._server.calls.unfinished_commands(),
            agent_version=self._server.agent_version,
            spool_durable=self._spool.durable,
        )

    async def _read(self, request: seam_pb2.SeamRequest) -> None:
        same = self._spool.epoch == self._epoch  # of another epoch it is answered with the state
        if same and not 0 < request.read.from_sequence <= self._spool.next_sequence:
            raise ProtocolError(f"sequence {request.read.from_sequence} was asked for, and never written")
        self._wanted = request.read
        self._stir.set()

    async def _ack(self, request: seam_pb2.SeamRequest) -> None:
        await self._server.in_thread(self._spool.ack, request.ack.epoch, request.ack.durable_through)

    async def _reject(self, request: seam_pb2.SeamRequest) -> None:
        reject = request.reject
        await self._server.in_thread(self._spool.reject, reject.epoch, reject.sequence, reject.reason)

    async def _new_epoch(self, request: seam_pb2.SeamRequest) -> None:
        """Begin a new epoch, once: the same request again finds the epoch gone, and gets the state as it is."""
        self._wanted = None
        if request.new_epoch.epoch == self._spool.epoch:
            self._server.calls.on_epoch(await self._server.in_thread(self._spool.new_epoch))
        await self._reply(seam_pb2.SeamReply(state=self._state()))

    async def _pass_on(self, request: seam_pb2.SeamRequest) -> None:
        calls = self._server.calls
        if request.HasField("command"):
            calls.on_command(request.command)
        elif request.HasField("cancel"):
            calls.on_cancel(request.cancel)
        else:
            calls.on_clock(request.clock.offset_ns, request.clock.uncertainty_ns)

    async def _send_batches(self) -> None:
        while True:
            await self._stir.wait()
            self._stir.clear()
            wanted = self._wanted
            if wanted is not None and self._spool.epoch != self._epoch:
                # The disk failed, and the spool goes on in memory: what was asked for will never be written.
                self._wanted = None
                if not await self._told(seam_pb2.SeamReply(state=self._state())):
                    return
                continue
            if wanted is None or self._spool.next_sequence <= wanted.from_sequence:
                continue
            try:
                reply = await self._server.in_thread(self._batch, wanted)
            except ProtocolError as error:
                reply = seam_pb2.SeamReply(error=seam_pb2.SeamError(message=str(error)))
            if self._spool.epoch != self._epoch:
                self._stir.set()  # it began while we read; the link would wait for ever for the answer to its own
                continue
            if self._wanted is not wanted or not (reply.HasField("error") or reply.batch.records):
                continue
            self._wanted = None
            if not await self._told(reply):
                return

    async def _told(self, reply: seam_pb2.SeamReply) -> bool:
        """Send a reply; false when the peer is gone, and `run` sees the end of the stream."""
        try:
            await self._reply(reply)
        except OSError:
            return False
        return True

    def _batch(self, wanted: seam_pb2.SeamRead) -> seam_pb2.SeamReply:
        batch = self._spool.read(
            wanted.from_sequence,
            min(wanted.max_bytes or _DEFAULT_BATCH_BYTES, _MAX_BATCH_BYTES),
            min(wanted.max_records or _DEFAULT_BATCH_RECORDS, _MAX_BATCH_RECORDS),
        )
        message = seam_pb2.SeamBatch(
            epoch=batch.epoch,
            first_sequence=batch.first_sequence,
            records=batch.records,
            next_sequence=batch.next_sequence,
        )
        return seam_pb2.SeamReply(batch=message)

    async def _reply(self, reply: seam_pb2.SeamReply) -> None:
        self._writer.write(encode_frame(reply, MAX_REPLY_BYTES))
        await self._writer.drain()
