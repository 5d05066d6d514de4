"""One stream of a simulated agent, from Hello to its end: what `docs/protocol.md` asks of an agent. Pure."""

from collections import deque
from dataclasses import dataclass, field

from fsmend_collector.simulate.wire.answers import answers
from fsmend_collector.simulate.wire.inventory import AGENT_VERSION
from fsmend_collector.simulate.wire.spool import Spool
from fsmend_proto.v1 import event_pb2, link_pb2, record_pb2

PROTOCOL_VERSION = 1
BATCH_RECORDS = 300


@dataclass(frozen=True, slots=True)
class Ended:
    """Why a stream is over, and how long the collector asks to stay away."""

    reason: str
    retry_after_seconds: float = 0.0


@dataclass(slots=True)
class Conversation:
    """The state of one stream.

    Attributes:
        commands: ids that ran already; they outlive the stream.
        window: unacknowledged batches that are allowed; 0 before Welcome.
        offset_ns: the collector's wall clock minus ours, from the quickest exchange.
        ended: set when the stream is over.
    """

    spool: Spool
    boot_id: str
    commands: set[str]
    window: int = 0
    heartbeat_interval_seconds: int = 30
    offset_ns: int = 0
    durable_through: int = 0
    ended: Ended | None = None
    _next: int = 0
    _in_flight: deque[int] = field(default_factory=deque)
    _replies: list[link_pb2.ConnectRequest] = field(default_factory=list)
    _quickest_ns: int = 1 << 62
    _said_ns: int = 0

    def hello(self, wall_ns: int, boot_ns: int) -> link_pb2.ConnectRequest:
        """Return the first message."""
        self._said_ns = wall_ns
        return link_pb2.ConnectRequest(
            hello=link_pb2.Hello(
                protocol_version=PROTOCOL_VERSION,
                boot_id=self.boot_id,
                epoch=self.spool.epoch,
                oldest_sequence=self.spool.oldest_sequence,
                next_sequence=self.spool.next_sequence,
                wall_ns=wall_ns,
                boot_ns=boot_ns,
                agent_version=AGENT_VERSION,
                spool_durable=True,
            )
        )

    def heard(self, message: link_pb2.ConnectResponse, clocks: event_pb2.Clocks) -> None:
        """Take one message of the collector; `due` and `ended` say what follows from it."""
        body = message.WhichOneof("body")
        if body == "welcome":
            self._welcomed(message.welcome, clocks.wall_ns)
        elif body == "ack":
            self._acknowledged(message.ack.durable_through)
        elif body == "reject":
            self.spool.reject(message.reject.sequence)
            while self._in_flight and self._in_flight[-1] >= message.reject.sequence:
                self._in_flight.pop()
            self._next = min(self._next, message.reject.sequence)
        elif body == "heartbeat":
            self._beat(message.heartbeat, clocks.wall_ns)
        elif body in {"command", "cancel"}:
            self._ordered(message, clocks)
        elif body == "drain":
            self.ended = Ended(f"drained: {message.drain.reason}", float(message.drain.retry_after_seconds))
        elif body == "epoch_stale":
            self.spool.begin_epoch(f"{self.spool.epoch.rpartition('.')[0]}.{clocks.wall_ns}")
            self.ended = Ended("the collector asked for a new epoch")

    def due(self) -> list[link_pb2.ConnectRequest]:
        """Return what is to be sent now: answers, and batches as far as the window allows."""
        messages, self._replies = self._replies, []
        while len(self._in_flight) < self.window and (kept := self.spool.read(self._next, BATCH_RECORDS)):
            batch = link_pb2.RecordBatch(epoch=self.spool.epoch, first_sequence=kept[0].first)
            batch.records.extend(one.raw for one in kept)
            self._next = kept[-1].through + 1
            self._in_flight.append(kept[-1].through)
            messages.append(link_pb2.ConnectRequest(batch=batch))
        return messages

    def heartbeat(self, wall_ns: int) -> link_pb2.ConnectRequest:
        """Return a heartbeat."""
        return link_pb2.ConnectRequest(heartbeat=link_pb2.Heartbeat(wall_ns=wall_ns))

    def repeat(self, sequence: int, raw: bytes) -> link_pb2.ConnectRequest:
        """Return an acknowledged record once more, as after an acknowledgement that was lost."""
        return link_pb2.ConnectRequest(
            batch=link_pb2.RecordBatch(epoch=self.spool.epoch, first_sequence=sequence, records=[raw])
        )

    def _welcomed(self, welcome: link_pb2.Welcome, wall_ns: int) -> None:
        self.window = max(1, welcome.window_batches)
        self.heartbeat_interval_seconds = max(1, welcome.heartbeat_interval_seconds)
        self.spool.acknowledge(welcome.durable_through)
        self.durable_through = welcome.durable_through
        self._next = welcome.durable_through + 1
        self._measure(welcome.server_wall_ns, self._said_ns, wall_ns)

    def _acknowledged(self, through: int) -> None:
        self.durable_through = max(self.durable_through, through)
        self.spool.acknowledge(through)
        while self._in_flight and self._in_flight[0] <= through:
            self._in_flight.popleft()
        self._next = max(self._next, through + 1)

    def _beat(self, beat: link_pb2.Heartbeat, wall_ns: int) -> None:
        if beat.echo_wall_ns:
            self._measure(beat.wall_ns, beat.echo_wall_ns, wall_ns)
        else:
            answer = link_pb2.Heartbeat(wall_ns=wall_ns, echo_wall_ns=beat.wall_ns)
            self._replies.append(link_pb2.ConnectRequest(heartbeat=answer))

    def _measure(self, server_ns: int, asked_ns: int, answered_ns: int) -> None:
        if 0 <= answered_ns - asked_ns < self._quickest_ns:
            self._quickest_ns = answered_ns - asked_ns
            self.offset_ns = server_ns - (asked_ns + answered_ns) // 2

    def _ordered(self, message: link_pb2.ConnectResponse, clocks: event_pb2.Clocks) -> None:
        """Answer an order; a command id runs at most once."""
        if message.HasField("command"):
            if message.command.id in self.commands:
                return
            self.commands.add(message.command.id)
        elif message.cancel.command_id in self.commands:
            return  # it has ended, and its end is in the spool or was acknowledged
        for update in answers(message, clocks):
            self.spool.append(record_pb2.Record(command_update=update))
