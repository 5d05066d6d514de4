"""The state machine of a stream, without a stream."""

import pytest

from fsmend_agent.errors import ProtocolError
from fsmend_agent.link.protocol import LinkProtocol, Stop
from fsmend_proto.v1 import command_pb2, link_pb2, seam_pb2

Response, Reply = link_pb2.ConnectResponse, seam_pb2.SeamReply
EPOCH = "ab" * 16


def protocol(oldest=1, following=101):
    machine = LinkProtocol(
        seam_pb2.SeamState(boot_id="b", epoch=EPOCH, oldest_sequence=oldest, next_sequence=following)
    )
    machine.hello(1000, 10)
    return machine


def give(machine, **body):
    return machine.from_collector(Response(**body), 2000, 20)


def welcomed(oldest=1, following=101, through=0, window=4):
    machine = protocol(oldest, following)
    welcome = link_pb2.Welcome(session_id="s", durable_through=through, window_batches=window)
    return machine, give(machine, welcome=welcome)


def batch(machine, first, following, epoch=EPOCH):
    message = seam_pb2.SeamBatch(epoch=epoch, first_sequence=first, next_sequence=following, records=[b"r"])
    return machine.from_spool(Reply(batch=message))


def asked(outputs):
    return [o.read.from_sequence for o in outputs if isinstance(o, seam_pb2.SeamRequest) and o.HasField("read")]


def sent(outputs):
    return [o.batch.first_sequence for o in outputs if isinstance(o, link_pb2.ConnectRequest) and o.HasField("batch")]


def acks(outputs):
    return [o.ack.durable_through for o in outputs if isinstance(o, seam_pb2.SeamRequest) and o.HasField("ack")]


def test_hello_says_what_the_spool_holds():
    hello = protocol(5, 9).hello(7, 8).hello
    assert (hello.epoch, hello.oldest_sequence, hello.next_sequence) == (EPOCH, 5, 9)
    assert (hello.wall_ns, hello.boot_ns, hello.protocol_version) == (7, 8, 1)


def test_after_welcome_it_reads_behind_what_the_collector_has():
    _, outputs = welcomed(oldest=5, through=41)
    assert asked(outputs) == [42]
    assert acks(outputs) == [41]


def test_welcome_tells_the_clock():
    machine = protocol()
    welcome = link_pb2.Welcome(session_id="s", window_batches=1, server_wall_ns=5000)
    (clock,) = [o.clock for o in give(machine, welcome=welcome) if o.HasField("clock")]
    assert clock.offset_ns == 5000 + 5 - 2000
    assert clock.uncertainty_ns >= 5


def test_the_window_bounds_what_is_under_way():
    machine, outputs = welcomed(window=2)
    assert asked(outputs) == [1]
    outputs = batch(machine, 1, 11)
    assert (sent(outputs), asked(outputs)) == ([1], [11])
    outputs = batch(machine, 11, 21)
    assert (sent(outputs), asked(outputs)) == ([11], [])
    outputs = give(machine, ack=link_pb2.Ack(durable_through=10))
    assert (acks(outputs), asked(outputs)) == ([10], [21])


def test_repeated_and_older_acknowledgements_do_nothing():
    machine, _ = welcomed()
    batch(machine, 1, 11)
    assert acks(give(machine, ack=link_pb2.Ack(durable_through=10))) == [10]
    for through in (10, 3, 0):
        assert give(machine, ack=link_pb2.Ack(durable_through=through)) == []


def test_received_alone_forgets_nothing():
    machine, _ = welcomed()
    batch(machine, 1, 11)
    assert give(machine, ack=link_pb2.Ack(received_through=10)) == []
    assert machine.in_flight == 1


def test_a_reject_goes_to_the_spool_and_the_stream_goes_on_there():
    machine, _ = welcomed()
    batch(machine, 1, 11)
    batch(machine, 11, 21)
    outputs = give(machine, reject=link_pb2.Reject(sequence=7, reason="odd"))
    assert outputs[0].reject.sequence == 7
    assert asked(outputs) == [7]
    assert sent(batch(machine, 21, 31)) == []  # was under way before the reject
    assert sent(batch(machine, 7, 15)) == [7]


def test_a_collector_that_went_on_after_a_reject_is_followed():
    machine, _ = welcomed()
    batch(machine, 1, 11)
    give(machine, reject=link_pb2.Reject(sequence=7))
    outputs = give(machine, ack=link_pb2.Ack(durable_through=10))
    assert asked(outputs) == [11]
    assert sent(batch(machine, 7, 11)) == []
    assert sent(batch(machine, 11, 12)) == [11]


@pytest.mark.parametrize(
    "body",
    [
        {"ack": link_pb2.Ack(durable_through=11)},
        {"ack": link_pb2.Ack(durable_through=(1 << 64) - 1)},
        {"reject": link_pb2.Reject(sequence=11)},
        {"reject": link_pb2.Reject(sequence=0)},
        {"welcome": link_pb2.Welcome(session_id="t")},
        {"epoch_stale": link_pb2.EpochStale(epoch="cd" * 16)},
    ],
)
def test_a_collector_that_breaks_the_protocol_is_left(body):
    machine, _ = welcomed()
    batch(machine, 1, 11)
    with pytest.raises(ProtocolError):
        give(machine, **body)


@pytest.mark.parametrize(
    "body",
    [{"ack": link_pb2.Ack()}, {"command": command_pb2.Command()}, {"heartbeat": link_pb2.Heartbeat()}],
)
def test_nothing_counts_before_welcome(body):
    with pytest.raises(ProtocolError):
        give(protocol(), **body)


@pytest.mark.parametrize("welcome", [link_pb2.Welcome(durable_through=101), link_pb2.Welcome(protocol_version=9)])
def test_a_welcome_that_cannot_be_is_refused(welcome):
    with pytest.raises(ProtocolError):
        give(protocol(), welcome=welcome)


def test_drain_stops_without_blame():
    (stop,) = give(protocol(), drain=link_pb2.Drain(retry_after_seconds=7, reason="full"))
    assert (stop.retry_after_seconds, stop.healthy) == (7.0, True)


def test_a_stale_epoch_is_left_and_the_stream_with_it():
    machine = protocol()
    (request,) = give(machine, epoch_stale=link_pb2.EpochStale(epoch=EPOCH))
    assert request.new_epoch.epoch == EPOCH
    assert batch(machine, 1, 2) == []
    (stop,) = machine.from_spool(Reply(state=seam_pb2.SeamState(epoch="cd" * 16)))
    assert isinstance(stop, Stop)


def test_an_epoch_that_the_spool_began_by_itself_ends_the_stream_without_blame():
    machine, _ = welcomed()
    assert machine.from_spool(Reply(state=seam_pb2.SeamState(epoch=EPOCH))) == []
    (stop,) = machine.from_spool(Reply(state=seam_pb2.SeamState(epoch="cd" * 16)))
    assert isinstance(stop, Stop)
    assert stop.healthy


def test_commands_pass_through():
    machine, _ = welcomed()
    assert give(machine, command=command_pb2.Command(id="c"))[0].command.id == "c"
    assert give(machine, cancel=command_pb2.CancelCommand(command_id="c"))[0].cancel.command_id == "c"


def test_heartbeats_are_answered_and_answers_tell_the_clock():
    machine, _ = welcomed()
    (answer,) = give(machine, heartbeat=link_pb2.Heartbeat(wall_ns=5))
    assert (answer.heartbeat.echo_wall_ns, answer.heartbeat.wall_ns) == (5, 2000)
    machine.heartbeat(3000, 30)
    beat = link_pb2.Heartbeat(wall_ns=9000, echo_wall_ns=3000)
    (clock,) = machine.from_collector(Response(heartbeat=beat), 3010, 40)
    assert clock.clock.offset_ns == 9000 + 5 - 3010


def test_an_error_of_sense_ends_the_stream():
    machine, _ = welcomed()
    with pytest.raises(ProtocolError, match="full of it"):
        machine.from_spool(Reply(error=seam_pb2.SeamError(message="full of it")))


def test_a_message_newer_than_this_agent_is_let_pass():
    machine, _ = welcomed()
    assert give(machine) == []
