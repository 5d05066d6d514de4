"""A simulated agent's stream does what docs/protocol.md asks of an agent."""

import pytest

from fsmend_collector.simulate.wire.conversation import BATCH_RECORDS, Conversation
from fsmend_collector.simulate.wire.spool import Spool
from fsmend_proto.v1 import command_pb2, event_pb2, link_pb2, record_pb2

CLOCKS = event_pb2.Clocks(wall_ns=2_000_000_000, boot_ns=1, boot_id="boot")


def response(**body):
    return link_pb2.ConnectResponse(**body)


def welcome(through=0, window=2, server_wall_ns=0):
    fields = {"heartbeat_interval_seconds": 40, "server_wall_ns": server_wall_ns}
    return response(welcome=link_pb2.Welcome(durable_through=through, window_batches=window, **fields))


@pytest.fixture
def talk():
    spool = Spool("simulated.1")
    for _ in range(3 * BATCH_RECORDS):
        spool.append(record_pb2.Record(event=event_pb2.Event(message="x")))
    return Conversation(spool, "boot", set())


def test_nothing_is_sent_before_welcome(talk):
    hello = talk.hello(1, 1).hello
    assert (hello.epoch, hello.oldest_sequence, hello.next_sequence) == ("simulated.1", 1, 3 * BATCH_RECORDS + 1)
    assert talk.due() == []


def test_no_more_batches_are_under_way_than_the_window_allows(talk):
    talk.heard(welcome(window=2), CLOCKS)
    assert len(talk.due()) == 2
    assert talk.due() == []
    talk.heard(response(ack=link_pb2.Ack(durable_through=BATCH_RECORDS)), CLOCKS)
    (last,) = talk.due()
    assert last.batch.first_sequence == 2 * BATCH_RECORDS + 1


def test_it_sends_from_what_is_durable_on(talk):
    talk.heard(welcome(through=5), CLOCKS)
    assert talk.due()[0].batch.first_sequence == 6


def test_a_rejected_record_is_sent_again_as_a_gap(talk):
    talk.heard(welcome(), CLOCKS)
    talk.due()
    talk.heard(response(reject=link_pb2.Reject(sequence=7, reason="too large")), CLOCKS)
    again = talk.due()[0].batch
    assert again.first_sequence == 7
    assert record_pb2.Record.FromString(again.records[0]).gap.reason == record_pb2.GAP_REASON_REJECTED


def test_a_stale_epoch_ends_the_stream_and_begins_another(talk):
    talk.heard(response(epoch_stale=link_pb2.EpochStale(epoch="simulated.1")), CLOCKS)
    assert talk.ended is not None
    assert talk.spool.epoch != "simulated.1"
    assert talk.spool.oldest_sequence == 1


def test_drain_says_when_to_come_back(talk):
    talk.heard(response(drain=link_pb2.Drain(retry_after_seconds=9, reason="full")), CLOCKS)
    assert talk.ended.retry_after_seconds == 9


def test_the_offset_of_the_clocks_comes_from_the_quickest_exchange(talk):
    talk.hello(1_000_000_000, 1)
    talk.heard(welcome(server_wall_ns=11_500_000_000), CLOCKS)
    assert talk.offset_ns == 10_000_000_000
    beat = link_pb2.Heartbeat(wall_ns=99, echo_wall_ns=500_000_000)  # slower: it says less
    talk.heard(response(heartbeat=beat), CLOCKS)
    assert talk.offset_ns == 10_000_000_000


def test_a_heartbeat_is_answered(talk):
    talk.heard(welcome(window=1), CLOCKS)
    talk.heard(response(heartbeat=link_pb2.Heartbeat(wall_ns=7)), CLOCKS)
    assert talk.due()[0].heartbeat.echo_wall_ns == 7


def updates(talk):
    records = [record_pb2.Record.FromString(one.raw) for one in talk.spool.read(3 * BATCH_RECORDS + 1, 100)]
    return [(one.command_update.command_id, one.command_update.state) for one in records]


def test_a_command_is_answered_once_and_nothing_is_done(talk):
    command = command_pb2.Command(id="c1", collect_evidence=command_pb2.CollectEvidence())
    for _ in range(2):
        talk.heard(response(command=command), CLOCKS)
    assert updates(talk)[-1] == ("c1", command_pb2.COMMAND_STATE_SUCCEEDED)
    assert len(updates(talk)) == 3


@pytest.mark.parametrize("action", ["remount_read_only", "repair_xfs"])
def test_what_changes_a_disk_is_refused(talk, action):
    command = command_pb2.Command(id="c1")
    getattr(command, action).SetInParent()
    talk.heard(response(command=command), CLOCKS)
    assert updates(talk) == [("c1", command_pb2.COMMAND_STATE_REFUSED)]


def test_a_cancel_of_a_command_that_never_came_is_answered(talk):
    talk.heard(response(cancel=command_pb2.CancelCommand(command_id="c9")), CLOCKS)
    assert updates(talk) == [("c9", command_pb2.COMMAND_STATE_CANCELLED)]
