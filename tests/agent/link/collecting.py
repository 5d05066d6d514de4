"""A fake collector: a real gRPC server with mutual TLS that does as the test says."""

import asyncio

import grpc
from agent.link.certifying import key_pem, pem

from fsmend_proto.v1 import link_pb2, link_pb2_grpc, record_pb2


def last_of(payload):
    """Return the sequence a record ends with, under the rule for Gaps."""
    record = record_pb2.Record.FromString(payload)
    if record.HasField("gap") and record.gap.from_sequence:
        return record.sequence, record.gap.to_sequence, record
    return record.sequence, record.sequence, record


class FakeCollector(link_pb2_grpc.LinkServicer):
    """Keeps records by epoch and sequence; knobs make it misbehave."""

    def __init__(self, authority):
        self.authority = authority
        self.records = {}  # epoch -> {sequence: record}
        self.through = {}  # epoch -> durable through
        self.hellos, self.heartbeats, self.peers = [], [], []
        self.poison = set()
        self.stale, self.drains = set(), 0
        self.acks_per_batch = 1
        self.die_after_batches = None
        self.to_send = []
        self.port = 0
        self.server = None

    async def start(self, port=0):
        self.server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        link_pb2_grpc.add_LinkServicer_to_server(self, self.server)
        pair = (key_pem(self.authority.server_key), pem(self.authority.server))
        credentials = grpc.ssl_server_credentials([pair], pem(self.authority.certificate), require_client_auth=True)
        self.port = self.server.add_secure_port(f"127.0.0.1:{port or self.port}", credentials)
        await self.server.start()
        return f"127.0.0.1:{self.port}"

    async def stop(self):
        if self.server:
            server, self.server = self.server, None
            await server.stop(None)

    async def Connect(self, requests, context):  # noqa: N802
        self.peers.append(context.auth_context()["x509_subject_alternative_name"][0])
        hello = (await context.read()).hello
        self.hellos.append(hello)
        if self.drains:
            self.drains -= 1
            await context.write(link_pb2.ConnectResponse(drain=link_pb2.Drain(reason="busy")))
            return
        if hello.epoch in self.stale:
            await context.write(link_pb2.ConnectResponse(epoch_stale=link_pb2.EpochStale(epoch=hello.epoch)))
            return
        through = self.through.setdefault(hello.epoch, 0)
        welcome = link_pb2.Welcome(
            session_id="s", durable_through=through, window_batches=4, heartbeat_interval_seconds=1, server_wall_ns=1
        )
        await context.write(link_pb2.ConnectResponse(welcome=welcome))
        for message in self.to_send:
            await context.write(message)
        while (request := await context.read()) is not grpc.aio.EOF:
            if request.HasField("heartbeat"):
                self.heartbeats.append(request.heartbeat)
                echo = link_pb2.Heartbeat(wall_ns=1, echo_wall_ns=request.heartbeat.wall_ns)
                await context.write(link_pb2.ConnectResponse(heartbeat=echo))
            elif request.HasField("batch"):
                await self._take(request.batch, context)

    async def _take(self, batch, context):
        kept = self.records.setdefault(batch.epoch, {})
        if self.die_after_batches is not None:
            self.die_after_batches -= 1
            if self.die_after_batches < 0:
                self.die_after_batches = None
                await context.abort(grpc.StatusCode.UNAVAILABLE, "killed in the middle of a batch")
        for payload in batch.records:
            first, last, record = last_of(payload)
            if last <= self.through[batch.epoch]:
                continue
            if first > self.through[batch.epoch] + 1:
                return
            if record.HasField("event") and record.event.message in self.poison:
                reject = link_pb2.Reject(sequence=first, reason="poison")
                await context.write(link_pb2.ConnectResponse(reject=reject))
                return
            assert first not in kept
            kept[first] = record
            self.through[batch.epoch] = last
        ack = link_pb2.Ack(received_through=self.through[batch.epoch], durable_through=self.through[batch.epoch])
        for _ in range(self.acks_per_batch):
            await context.write(link_pb2.ConnectResponse(ack=ack))


async def until(condition, seconds=20):
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  any condition of any test
            await asyncio.sleep(0.02)
