"""A collector in this process, and agents that speak the real protocol over loopback with real mutual TLS."""

import asyncio
import base64
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from sqlalchemy import text

from fsmend_collector.collector import Collector
from fsmend_collector.config import Config, SessionsConfig
from fsmend_collector.initialise import initialise
from fsmend_collector.pki.certificates import key_pem, new_key
from fsmend_collector.pki.tokens import new_token, store_token
from fsmend_proto.v1 import enrol_pb2, enrol_pb2_grpc, event_pb2, link_pb2, link_pb2_grpc, record_pb2

WAIT_SECONDS = 10.0


async def eventually(check: Callable[[], Awaitable[Any]]) -> Any:
    """Return the first true answer of `check`."""
    async with asyncio.timeout(WAIT_SECONDS):
        while not (answer := await check()):  # noqa: ASYNC110  what is waited for happens in rows of a database
            await asyncio.sleep(0.02)
    return answer


def make_config(directory: Path, **sessions: int) -> Config:
    """Return a configuration with an authority, on free ports."""
    config = Config(
        state_directory=directory / "state",
        listen_address="127.0.0.1:0",
        enrol_listen_address="127.0.0.1:0",
        advertise=("localhost",),
        sessions=replace(SessionsConfig(), **sessions),
    )
    initialise(config)
    return config


def event_record(sequence: int, **changes: Any) -> bytes:
    """Return a serialised record with an event."""
    fields: dict[str, Any] = {
        "kind": event_pb2.EVENT_KIND_FS_ERROR,
        "severity": event_pb2.SEVERITY_INFO,
        "source": "test",
        "count": 1,
        "clocks": event_pb2.Clocks(
            wall_ns=1_700_000_000_000_000_000 + sequence % 1000, boot_ns=sequence, boot_id="boot-1"
        ),
        "message": f"event {sequence}",
    }
    event = event_pb2.Event(**(fields | changes))
    return record_pb2.Record(sequence=sequence, event=event).SerializeToString()


def gap_record(first: int, last: int, sequence: int | None = None) -> bytes:
    gap = record_pb2.Gap(reason=record_pb2.GAP_REASON_SPOOL_FULL, from_sequence=first, to_sequence=last, lost=1)
    return record_pb2.Record(sequence=sequence or first, gap=gap).SerializeToString()


def batch(epoch: str, first: int, *records: bytes) -> link_pb2.RecordBatch:
    return link_pb2.RecordBatch(epoch=epoch, first_sequence=first, records=records)


def events_batch(epoch: str, first: int, count: int) -> link_pb2.RecordBatch:
    return batch(epoch, first, *(event_record(one) for one in range(first, first + count)))


def signing_request(key: ec.EllipticCurvePrivateKey) -> bytes:
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


def parse_join_token(token: str) -> enrol_pb2.JoinToken:
    body = token.removeprefix("fsm1.")
    return enrol_pb2.JoinToken.FromString(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))


@dataclass
class Identity:
    """What an enrolled host has."""

    agent_id: str
    key: ec.EllipticCurvePrivateKey
    chain: bytes
    authority: bytes


def channel_to(port: int, authority: bytes, identity: Identity | None = None) -> grpc.aio.Channel:
    key, chain = (key_pem(identity.key), identity.chain) if identity else (None, None)
    return grpc.aio.secure_channel(f"127.0.0.1:{port}", grpc.ssl_channel_credentials(authority, key, chain))


async def enrol(collector: Collector, secret: str, host_name: str = "host-1") -> Identity:
    """Enrol a host over the wire."""
    key = new_key()
    request = enrol_pb2.EnrolRequest(token=secret, signing_request=signing_request(key), host_name=host_name)
    async with channel_to(collector.servers.enrol_port, collector.authority.pem) as channel:
        reply = await enrol_pb2_grpc.EnrolStub(channel).Enrol(request)
    return Identity(reply.agent_id, key, reply.certificate_chain, reply.authorities)


@dataclass
class Stream:
    """One open Link.Connect call."""

    call: Any
    welcome: link_pb2.Welcome | None = None
    others: list[link_pb2.ConnectResponse] = field(default_factory=list)
    durable_through: int = 0

    async def send(self, message: link_pb2.RecordBatch | link_pb2.Hello | link_pb2.Heartbeat) -> None:
        field_name = {link_pb2.RecordBatch: "batch", link_pb2.Hello: "hello", link_pb2.Heartbeat: "heartbeat"}
        await self.call.write(link_pb2.ConnectRequest(**{field_name[type(message)]: message}))

    async def next(self) -> link_pb2.ConnectResponse | None:
        """Return the next message, None at the end of the stream."""
        async with asyncio.timeout(WAIT_SECONDS):
            message = await self.call.read()
        if message is grpc.aio.EOF:
            return None
        if message.HasField("ack"):
            assert message.ack.durable_through >= self.durable_through
            self.durable_through = message.ack.durable_through
        return message

    async def until(self, body: str) -> Any:
        """Return the next message of one sort; others are kept."""
        while (message := await self.next()) is not None:
            if message.WhichOneof("body") == body:
                return getattr(message, body)
            self.others.append(message)
        raise AssertionError(f"the stream ended with {await self.call.code()} before {body}: {self.others}")

    async def acked(self, through: int) -> None:
        """Wait until everything up to `through` is durable."""
        while self.durable_through < through:
            await self.until("ack")

    async def status(self) -> tuple[grpc.StatusCode, str]:
        """Read to the end and return how the stream ended."""
        while True:
            try:
                message = await self.next()
            except grpc.aio.AioRpcError:
                break
            if message is None:
                break
            self.others.append(message)
        return await self.call.code(), await self.call.details()


class Agent:
    """An enrolled host with a spool in memory."""

    def __init__(self, identity: Identity, port: int, epoch: str = "epoch-1") -> None:
        self.identity = identity
        self.epoch = epoch
        self.channel = channel_to(port, identity.authority, identity)

    def open(self) -> Stream:
        return Stream(link_pb2_grpc.LinkStub(self.channel).Connect())

    def hello(self, next_sequence: int = 1_000_000, **changes: Any) -> link_pb2.Hello:
        fields = {"protocol_version": 1, "boot_id": "boot-1", "epoch": self.epoch, "oldest_sequence": 1}
        return link_pb2.Hello(**(fields | {"next_sequence": next_sequence, "spool_durable": True} | changes))

    async def connect(self, **hello: Any) -> Stream:
        """Open a stream and wait for Welcome."""
        stream = self.open()
        await stream.send(self.hello(**hello))
        stream.welcome = await stream.until("welcome")
        stream.durable_through = stream.welcome.durable_through
        return stream

    async def close(self) -> None:
        await self.channel.close()


class Rig:
    """A running collector and its agents."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.collector = Collector(config)
        self.agents: list[Agent] = []

    async def start(self) -> None:
        await self.collector.start()

    async def secret(self, host_name: str = "", ttl_seconds: int = 600, now_ns: int = 0) -> str:
        token = new_token("operator:test", host_name, ttl_seconds, now_ns or time.time_ns())
        await self.collector.store.write(store_token, token)
        return token.secret

    async def agent(self, host_name: str = "") -> Agent:
        identity = await enrol(self.collector, await self.secret(), host_name or f"host-{uuid.uuid4().hex[:6]}")
        return self.clone(identity)

    def clone(self, identity: Identity) -> Agent:
        agent = Agent(identity, self.collector.servers.link_port)
        self.agents.append(agent)
        return agent

    async def rows(self, sql: str, **values: Any) -> list[Any]:
        return await self.collector.store.read(lambda c: list(c.execute(text(sql), values)))

    async def stop(self) -> None:
        for agent in self.agents:
            await agent.close()
        await self.collector.stop()
