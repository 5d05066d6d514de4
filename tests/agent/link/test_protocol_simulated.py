"""A spool, a collector and a network that delays, repeats and breaks: all arrives, once, in order."""

from hypothesis import given, settings
from hypothesis import strategies as st
from soak import examples

from fsmend_agent.link.protocol import LinkProtocol, Stop
from fsmend_proto.v1 import link_pb2, seam_pb2

EPOCH = "ab" * 16


class Spool:
    def __init__(self, count):
        self.following, self.acknowledged, self.rejected, self.wanted = count + 1, 0, set(), None

    def state(self):
        return seam_pb2.SeamState(epoch=EPOCH, oldest_sequence=self.acknowledged + 1, next_sequence=self.following)

    def take(self, request):
        if request.HasField("ack"):
            assert request.ack.durable_through < self.following
            self.acknowledged = max(self.acknowledged, request.ack.durable_through)
        elif request.HasField("reject"):
            self.rejected.add(request.reject.sequence)
        elif request.HasField("read"):
            self.wanted = request.read.from_sequence

    def answer(self, size):
        first, end = self.wanted, min(self.wanted + size, self.following)
        self.wanted = None
        records = [f"{s}{'!' if s in self.rejected else ''}".encode() for s in range(first, end)]
        batch = seam_pb2.SeamBatch(epoch=EPOCH, first_sequence=first, next_sequence=end, records=records)
        return seam_pb2.SeamReply(batch=batch)


class Collector:
    def __init__(self, poison):
        self.rows, self.poison = [], poison

    def take(self, batch):
        """Store a batch; return Ack, Reject, or nothing for a batch that leaves a hole."""
        if batch.first_sequence > len(self.rows) + 1:
            return None
        for sequence, record in enumerate(batch.records, batch.first_sequence):
            if sequence <= len(self.rows):
                continue
            if sequence in self.poison and not record.endswith(b"!"):
                return link_pb2.ConnectResponse(reject=link_pb2.Reject(sequence=sequence))
            self.rows.append(record)
        return link_pb2.ConnectResponse(ack=link_pb2.Ack(durable_through=len(self.rows)))


def stream(spool, collector, random, limit):
    """Run one stream for up to `limit` steps of a random scheduler."""
    machine = LinkProtocol(spool.state())
    up, down = [], []
    welcome = link_pb2.Welcome(session_id="s", durable_through=len(collector.rows), window_batches=3)
    down.append(link_pb2.ConnectResponse(welcome=welcome))
    machine.hello(1, 1)

    def put(outputs):
        for output in outputs:
            assert not isinstance(output, Stop)
            if isinstance(output, seam_pb2.SeamRequest):
                spool.take(output)
            elif output.HasField("batch"):
                up.append(output.batch)
                assert machine.in_flight <= 3

    for _ in range(limit):
        ready = spool.wanted is not None and spool.wanted < spool.following
        choices = [name for name, there in (("down", down), ("up", up), ("spool", ready)) if there]
        if not choices:
            return
        chosen = random.choice(choices)
        if chosen == "down":
            put(machine.from_collector(down.pop(0), 1, 1))
        elif chosen == "up":
            answer = collector.take(up.pop(0))
            if answer is not None:
                down += [answer] * (random.randint(1, 2) if answer.HasField("ack") else 1)
        else:
            put(machine.from_spool(spool.answer(random.randint(1, 5))))


@given(
    st.integers(0, 30), st.sets(st.integers(1, 30), max_size=3), st.lists(st.integers(0, 25), max_size=4), st.randoms()
)
@settings(max_examples=examples(150), deadline=None)
def test_all_records_arrive_once_and_in_order_whatever_breaks(count, poison, breaks, random):
    spool, collector = Spool(count), Collector(poison)
    for limit in [*breaks, 2000]:
        spool.wanted = None
        stream(spool, collector, random, limit)
    expected = [f"{s}{'!' if s in poison else ''}".encode() for s in range(1, count + 1)]
    assert collector.rows == expected
    assert spool.acknowledged == count
