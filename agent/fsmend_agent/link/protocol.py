"""The state machine of one stream: pure, no I/O, no clock.

Inputs are the messages of both sides with the time they came; outputs are what to send to either side, and when to
stop. One machine lives as long as one stream; the next stream begins with a new one.

Records: after Welcome it reads from the spool at `durable_through + 1`, at most `window_batches` batches ahead of what
is acknowledged. Cumulative acknowledgements go to the spool as they come; repeated and older ones do nothing. A Reject
goes to the spool, and the stream goes on from that sequence, where the spool now has a Gap; the batches that were under
way after it are sent again, and the collector knows them by their sequences. EpochStale asks the spool for a new epoch
and then ends the stream, so that Hello can say so. A spool that begins one by itself, because its disk failed, says its
state unasked: that ends the stream as well.
"""

from collections import deque
from dataclasses import dataclass, field

from fsmend_agent.errors import ProtocolError
from fsmend_agent.link.clock import ClockEstimate
from fsmend_proto.v1 import link_pb2, seam_pb2

PROTOCOL_VERSION = 1
_MAX_WINDOW = 64
_MAX_READ_BYTES = 1 << 20
_MAX_READ_RECORDS = 500


@dataclass(frozen=True, slots=True)
class Stop:
    """End the stream.

    Attributes:
        reason: one line.
        retry_after_seconds: the least wait before the next stream, when the collector named one.
        healthy: whether the stream did what it should; then the back-off begins anew.
    """

    reason: str
    retry_after_seconds: float = 0.0
    healthy: bool = True


Output = link_pb2.ConnectRequest | seam_pb2.SeamRequest | Stop


@dataclass(slots=True)
class LinkProtocol:
    """Carry one stream from Hello to its end.

    Attributes:
        state: what the spool said when the seam was opened.
        max_read_bytes: how much of the spool to ask for at once.
        session_id: given by the collector; empty before Welcome.
        heartbeat_interval_seconds: 0 before Welcome.
    """

    state: seam_pb2.SeamState
    max_read_bytes: int = _MAX_READ_BYTES
    session_id: str = ""
    heartbeat_interval_seconds: int = 0
    _window: int = 0
    _next_read: int = 0
    _durable_through: int = 0
    _reading: bool = False
    _stale: bool = False
    _in_flight: deque[int] = field(default_factory=deque)  # the last sequence of each batch under way
    _sent_end: int = 0  # beyond every sequence that this stream has sent
    _clock: ClockEstimate = field(default_factory=ClockEstimate)

    def hello(self, wall_ns: int, boot_ns: int) -> link_pb2.ConnectRequest:
        """Return the first message up."""
        self._clock.asked(wall_ns, boot_ns)
        return link_pb2.ConnectRequest(
            hello=link_pb2.Hello(
                protocol_version=PROTOCOL_VERSION,
                boot_id=self.state.boot_id,
                epoch=self.state.epoch,
                oldest_sequence=self.state.oldest_sequence,
                next_sequence=self.state.next_sequence,
                unfinished_commands=self.state.unfinished_commands,
                wall_ns=wall_ns,
                boot_ns=boot_ns,
                agent_version=self.state.agent_version,
                spool_durable=self.state.spool_durable,
            )
        )

    def from_collector(self, message: link_pb2.ConnectResponse, wall_ns: int, boot_ns: int) -> list[Output]:
        """Take one message of the collector.

        Raises:
            ProtocolError: it breaks the protocol; the stream has to end.
        """
        body = message.WhichOneof("body")
        if body in {"ack", "reject", "command", "cancel", "heartbeat"} and not self.session_id:
            raise ProtocolError(f"the collector began with {body}, not with Welcome")
        outputs: list[Output] = []  # of a message that is newer than this agent
        if body == "welcome":
            outputs = self._on_welcome(message.welcome, wall_ns, boot_ns)
        elif body == "ack":
            outputs = self._on_ack(message.ack)
        elif body == "reject":
            outputs = self._on_reject(message.reject)
        elif body == "command":
            outputs = [seam_pb2.SeamRequest(command=message.command)]
        elif body == "cancel":
            outputs = [seam_pb2.SeamRequest(cancel=message.cancel)]
        elif body == "heartbeat":
            outputs = self._on_heartbeat(message.heartbeat, wall_ns, boot_ns)
        elif body == "epoch_stale":
            outputs = self._on_epoch_stale(message.epoch_stale)
        elif body == "drain":
            outputs = [Stop(f"drained: {message.drain.reason}", float(message.drain.retry_after_seconds))]
        return outputs

    def from_spool(self, reply: seam_pb2.SeamReply) -> list[Output]:
        """Take one message of sense.

        Raises:
            ProtocolError: sense refused something, or its records do not follow each other.
        """
        if reply.HasField("error"):
            raise ProtocolError(f"sense refused: {reply.error.message}")
        if reply.HasField("state"):
            if self._stale or reply.state.epoch != self.state.epoch:
                return [Stop(f"the spool began epoch {reply.state.epoch}")]
            return []
        if reply.HasField("batch"):
            return self._on_batch(reply.batch)
        return []

    def heartbeat(self, wall_ns: int, boot_ns: int) -> list[Output]:
        """Return the heartbeat to send when its time has come."""
        self._clock.asked(wall_ns, boot_ns)
        return [link_pb2.ConnectRequest(heartbeat=link_pb2.Heartbeat(wall_ns=wall_ns))]

    @property
    def in_flight(self) -> int:
        """Return how many batches are not acknowledged."""
        return len(self._in_flight)

    def _on_welcome(self, welcome: link_pb2.Welcome, wall_ns: int, boot_ns: int) -> list[Output]:
        if self.session_id:
            raise ProtocolError("the collector welcomed this session twice")
        if welcome.protocol_version not in {0, PROTOCOL_VERSION}:
            raise ProtocolError(f"the collector speaks version {welcome.protocol_version}, this is {PROTOCOL_VERSION}")
        if welcome.durable_through >= self.state.next_sequence:
            raise ProtocolError(
                f"the collector has sequence {welcome.durable_through} of this epoch, never written here"
            )
        self.session_id = welcome.session_id or "unnamed"
        self.heartbeat_interval_seconds = welcome.heartbeat_interval_seconds
        self._window = min(max(1, welcome.window_batches), _MAX_WINDOW)
        self._durable_through = welcome.durable_through
        self._next_read = self._sent_end = welcome.durable_through + 1
        outputs: list[Output] = []
        if welcome.durable_through >= self.state.oldest_sequence:
            outputs.append(self._seam_ack())
        outputs += self._measure(welcome.server_wall_ns, wall_ns, boot_ns)
        return outputs + self._ask()

    def _on_ack(self, ack: link_pb2.Ack) -> list[Output]:
        if ack.durable_through >= self._sent_end:
            raise ProtocolError(f"sequence {ack.durable_through} was acknowledged, and never sent")
        if ack.durable_through <= self._durable_through:
            return []
        self._durable_through = ack.durable_through
        while self._in_flight and self._in_flight[0] <= ack.durable_through:
            self._in_flight.popleft()
        if self._next_read <= ack.durable_through:  # after a reject: the collector has what we were about to repeat
            self._next_read = ack.durable_through + 1
            self._reading = False
        return [self._seam_ack(), *self._ask()]

    def _on_reject(self, reject: link_pb2.Reject) -> list[Output]:
        if not self._durable_through < reject.sequence < self._sent_end:
            raise ProtocolError(f"sequence {reject.sequence} was rejected, and is not under way")
        while self._in_flight and self._in_flight[-1] >= reject.sequence:
            self._in_flight.pop()
        self._next_read = reject.sequence
        # A batch that sense is about to send lies behind the rejected record: it must not be taken for the answer.
        self._reading = False
        request = seam_pb2.SeamReject(epoch=self.state.epoch, sequence=reject.sequence, reason=reject.reason)
        return [seam_pb2.SeamRequest(reject=request), *self._ask()]

    def _on_epoch_stale(self, stale: link_pb2.EpochStale) -> list[Output]:
        if stale.epoch and stale.epoch != self.state.epoch:
            raise ProtocolError(f"the collector calls epoch {stale.epoch!r} stale, this is {self.state.epoch}")
        self._stale = True
        return [seam_pb2.SeamRequest(new_epoch=seam_pb2.SeamNewEpoch(epoch=self.state.epoch))]

    def _on_heartbeat(self, beat: link_pb2.Heartbeat, wall_ns: int, boot_ns: int) -> list[Output]:
        if beat.echo_wall_ns:
            return self._measure(beat.wall_ns, wall_ns, boot_ns, echo_wall_ns=beat.echo_wall_ns)
        answer = link_pb2.Heartbeat(wall_ns=wall_ns, echo_wall_ns=beat.wall_ns)
        return [link_pb2.ConnectRequest(heartbeat=answer)]

    def _on_batch(self, batch: seam_pb2.SeamBatch) -> list[Output]:
        if (
            self._stale
            or batch.epoch != self.state.epoch
            or batch.first_sequence != self._next_read
            or not self._reading
        ):
            return []  # asked for before a reject or a new epoch
        if not batch.records or batch.next_sequence <= batch.first_sequence:
            raise ProtocolError("sense sent a batch that goes nowhere")
        self._reading = False
        self._next_read = batch.next_sequence
        self._sent_end = max(self._sent_end, batch.next_sequence)
        self._in_flight.append(batch.next_sequence - 1)
        message = link_pb2.RecordBatch(epoch=batch.epoch, first_sequence=batch.first_sequence, records=batch.records)
        return [link_pb2.ConnectRequest(batch=message), *self._ask()]

    def _ask(self) -> list[Output]:
        """Return a request for the next records, unless one is under way or the window is full."""
        if self._reading or self._stale or len(self._in_flight) >= self._window:
            return []
        self._reading = True
        read = seam_pb2.SeamRead(
            from_sequence=self._next_read,
            max_bytes=self.max_read_bytes,
            max_records=_MAX_READ_RECORDS,
        )
        return [seam_pb2.SeamRequest(read=read)]

    def _seam_ack(self) -> seam_pb2.SeamRequest:
        ack = seam_pb2.SeamAck(epoch=self.state.epoch, durable_through=self._durable_through)
        return seam_pb2.SeamRequest(ack=ack)

    def _measure(self, server_wall_ns: int, wall_ns: int, boot_ns: int, echo_wall_ns: int = 0) -> list[Output]:
        clock = self._clock.answered(server_wall_ns, wall_ns, boot_ns, echo_wall_ns)
        return [seam_pb2.SeamRequest(clock=clock)] if clock else []
