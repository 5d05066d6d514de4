"""A simulated agent's spool keeps the promises of a real one: no holes, no sequence used twice, every loss told."""

from hypothesis import given
from hypothesis import strategies as st

from fsmend_collector.ingest.plan import make_plan
from fsmend_collector.simulate.wire import spool as module
from fsmend_collector.simulate.wire.spool import Spool
from fsmend_proto.v1 import event_pb2, link_pb2, record_pb2


def record(text="x"):
    return record_pb2.Record(event=event_pb2.Event(message=text))


def batch(spool, sequence=1, most=1_000):
    kept = spool.read(sequence, most)
    return link_pb2.RecordBatch(epoch=spool.epoch, first_sequence=kept[0].first, records=[one.raw for one in kept])


def test_sequences_count_from_one():
    spool = Spool("e.1")
    assert [spool.append(record()) for _ in range(3)] == [1, 2, 3]
    assert make_plan(batch(spool)).through == 3


def test_what_is_acknowledged_is_forgotten():
    spool = Spool("e.1")
    for _ in range(3):
        spool.append(record())
    spool.acknowledge(2)
    assert (spool.oldest_sequence, spool.next_sequence, len(spool)) == (3, 4, 1)


def test_a_rejected_record_leaves_a_gap_in_its_place():
    spool = Spool("e.1")
    for _ in range(3):
        spool.append(record())
    spool.reject(2)
    plan = make_plan(batch(spool))
    assert plan.through == 3
    assert plan.others[0].record.gap.reason == record_pb2.GAP_REASON_REJECTED


def test_a_full_spool_tells_what_it_lost(monkeypatch):
    monkeypatch.setattr(module, "MAX_RECORDS", 10)
    monkeypatch.setattr(module, "_EVICTED_AT_ONCE", 3)
    spool = Spool("e.1")
    for _ in range(40):
        spool.append(record())
    plan = make_plan(batch(spool))
    assert (plan.first, plan.through) == (1, 40)
    assert plan.others[0].record.gap.lost + len(plan.events) == 40
    assert len(spool) <= 10


def test_a_new_epoch_begins_at_one_with_what_is_left():
    spool = Spool("e.1")
    for at in range(5):
        spool.append(record(str(at)))
    spool.acknowledge(2)
    spool.reject(3)
    spool.begin_epoch("e.2")
    plan = make_plan(batch(spool))
    assert (plan.first, plan.through) == (1, 3)
    assert plan.others[0].record.gap.from_sequence == 0


@given(st.lists(st.sampled_from(["append", "append", "ack", "reject", "epoch"]), max_size=60), st.randoms())
def test_whatever_happens_the_collector_can_read_it(steps, rng):
    spool = Spool("e.1")
    for step in steps:
        if step == "append":
            spool.append(record())
        elif step == "ack":
            spool.acknowledge(rng.randint(0, spool.next_sequence - 1))
        elif step == "reject" and len(spool):
            spool.reject(rng.choice(spool.read(1, 100)).first)
        elif step == "epoch":
            spool.begin_epoch(f"e.{rng.random()}")
        if len(spool):
            plan = make_plan(batch(spool, spool.oldest_sequence))
            assert (plan.first, plan.through) == (spool.oldest_sequence, spool.next_sequence - 1)
            assert plan.undecoded == 0
