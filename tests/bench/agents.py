"""Simulated agents over the real protocol and real mutual TLS, all in this process; the collector is another one."""

import asyncio
from types import SimpleNamespace

from collector.rig import Agent, Stream, enrol, parse_join_token

from fsmend_collector.query.client import Client
from fsmend_collector.query.contexts import load_context
from fsmend_proto.v1 import event_pb2, link_pb2, record_pb2
from fsmend_proto.v1 import query_pb2 as pb
from stage.processes import Stage

ANSWER_SECONDS = 60.0
BASE_WALL_NS = 1_700_000_000_000_000_000


def record(agent: int, sequence: int) -> bytes:
    """Return a record as a real agent's spool holds it: an ext4 error with about twenty fields, about 350 bytes."""
    number = agent * 1_000_000 + sequence
    uuid = f"{agent:08x}-9d6c-4b0a-8a53-2a2a3b9a1f10"
    clocks = event_pb2.Clocks(wall_ns=BASE_WALL_NS + number, boot_ns=number, boot_id=uuid)
    event = event_pb2.Event(
        kind=event_pb2.EVENT_KIND_FS_METADATA_CORRUPTION,
        severity=event_pb2.SEVERITY_ERROR,
        source="fanotify",
        clocks=clocks,
        count=1,
        errno=117,
        filesystem=event_pb2.FilesystemRef(
            uuid=uuid, type="ext4", fsid=f"{agent:016x}", mount_point=b"/srv/data", device_name="sda1"
        ),
        device=event_pb2.DeviceRef(id=f"wwid:naa.5000c500{agent:08x}", name="sda1", major=8, minor=1, diskseq=9),
        inode=event_pb2.InodeRef(ino=12 + sequence % 97, generation=number % 2**32, generation_known=True, path=b"a/b"),
        message="filesystem error in inode: Structure needs cleaning (EUCLEAN)",
        signature="fs_error inode EUCLEAN",
        fanotify=event_pb2.FanotifyDetail(error_count=1, handle_type=1, handle=number.to_bytes(8, "little"), pid=4242),
    )
    return record_pb2.Record(sequence=sequence, event=event).SerializeToString()


async def join(stage: Stage, count: int) -> list[Agent]:
    """Enrol that many hosts, each with a token of its own."""
    with Client(load_context(stage.contexts, None), ANSWER_SECONDS) as client:
        request = pb.CreateTokenRequest(time_to_live_seconds=3600)
        tokens = [parse_join_token(client.create_token(request).join_token) for _ in range(count)]
    found = []
    for number, token in enumerate(tokens):
        authority = (stage.directory / "authority.crt").read_bytes()
        where = SimpleNamespace(
            servers=SimpleNamespace(enrol_port=stage.enrol_port), authority=SimpleNamespace(pem=authority)
        )
        found.append(Agent(await enrol(where, token.secret, f"host-{number}"), stage.port, f"epoch-{number}"))
    return found


async def send_all(agent: Agent, stream: Stream, batches: list[link_pb2.RecordBatch], last_sequence: int) -> None:
    """Send batches within the window that Welcome allowed, until the last record is durable."""
    window = asyncio.Semaphore(stream.welcome.window_batches)
    sent: list[int] = []

    async def acknowledged() -> None:
        settled = 0
        while stream.durable_through < last_sequence:
            await stream.until("ack")
            while settled < len(sent) and sent[settled] <= stream.durable_through:
                settled += 1
                window.release()

    reading = asyncio.create_task(acknowledged())
    for batch in batches:
        await window.acquire()
        sent.append(batch.first_sequence + len(batch.records) - 1)
        await stream.send(batch)
    await reading
