"""The spool as its users see it."""

import threading

import pytest
from agent.spool.spooling import Bench, drain, event, gap, inventory, limits, update

from fsmend_agent.errors import ProtocolError
from fsmend_agent.spool import SpoolBatch
from fsmend_proto.v1 import record_pb2


def test_records_are_numbered_from_one_without_holes(bench):
    spool = bench.open()
    assert spool.append([event("a"), event("b")]) == range(1, 3)
    assert spool.append([update()]) == range(3, 4)
    assert [record.sequence for record in drain(spool)] == [1, 2, 3]
    assert (spool.oldest_sequence, spool.next_sequence) == (1, 4)


def test_an_empty_append_does_nothing(bench):
    spool = bench.open()
    assert spool.append([]) == range(1, 1)


def test_reading_where_nothing_is_yet_returns_nothing(bench):
    spool = bench.open()
    assert spool.read(1, 1000, 10) == SpoolBatch(spool.epoch, 1, 1, [])


@pytest.mark.parametrize("sequence", [0, 3])
def test_reading_what_was_never_written_is_refused(bench, sequence):
    spool = bench.open()
    spool.append([event()])
    with pytest.raises(ProtocolError):
        spool.read(sequence, 1000, 10)


def test_a_read_is_bounded_in_records_and_bytes(bench):
    spool = bench.open()
    spool.append([event("x" * 100) for _ in range(50)])
    assert len(spool.read(1, 1 << 20, 7).records) == 7
    assert 1 <= len(spool.read(1, 500, 100).records) <= 4
    assert len(spool.read(1, 1, 100).records) == 1


def test_reading_goes_on_anywhere(bench):
    spool = bench.open()
    for start in range(0, 3000, 100):
        spool.append([event(f"{start + i}" + "x" * 60) for i in range(100)])
    assert len(spool._segments) > 2
    for sequence in (1, 2999, 1500, 1501, 17, 3000):
        record = record_pb2.Record.FromString(spool.read(sequence, 1000, 1).records[0])
        assert record.event.message.startswith(str(sequence - 1))


def test_everything_is_there_after_the_end_of_the_process(bench):
    spool = bench.open()
    spool.append([event(str(i)) for i in range(100)])
    epoch = spool.epoch
    spool = bench.open()
    assert (spool.epoch, spool.next_sequence, spool.damage) == (epoch, 101, ())
    assert [record.event.message for record in drain(spool)] == [str(i) for i in range(100)]
    assert spool.append([event("next")]) == range(101, 102)


def test_sequences_are_not_used_again_when_all_is_acknowledged(bench):
    spool = bench.open()
    spool.append([event("x" * 1000) for _ in range(200)])
    spool.ack(spool.epoch, 200)
    spool.close()
    spool = bench.open()
    assert spool.append([event()]) == range(201, 202)


def test_acknowledged_segments_are_unlinked_after_the_ledger(bench):
    spool = bench.open()
    for _ in range(10):
        spool.append([event("x" * 1000) for _ in range(50)])
    files = len(list((bench.root / "spool").glob("*.segment")))
    spool.ack(spool.epoch, 400)
    assert len(list((bench.root / "spool").glob("*.segment"))) < files
    assert bench.open().oldest_sequence <= 401
    assert len(drain(bench.spool, 401)) == 100


@pytest.mark.parametrize(("epoch", "through"), [("0" * 32, 1), (None, 3), (None, 1 << 63)])
def test_a_wrong_acknowledgement_is_refused_and_deletes_nothing(bench, epoch, through):
    spool = bench.open()
    spool.append([event(), event()])
    with pytest.raises(ProtocolError):
        spool.ack(epoch or spool.epoch, through)
    assert len(drain(spool)) == 2


def test_repeated_and_older_acknowledgements_do_nothing(bench):
    spool = bench.open()
    spool.append([event(), event(), event()])
    spool.ack(spool.epoch, 2)
    spool.ack(spool.epoch, 1)
    spool.ack(spool.epoch, 2)
    assert spool.oldest_sequence == 3


def test_asking_for_what_was_forgotten_gives_a_gap(bench):
    spool = bench.open()
    for _ in range(20):
        spool.append([event("x" * 1000) for _ in range(50)])
    spool.ack(spool.epoch, 900)
    first = drain(spool, 1)[0]
    assert first.gap.from_sequence == 1
    assert first.gap.to_sequence < 901
    assert not first.gap.lost_is_exact


def test_a_rejected_record_goes_to_quarantine_and_leaves_a_gap(bench):
    spool = bench.open()
    spool.append([event("a"), event("poison", count=4), event("c")])
    spool.reject(spool.epoch, 2, "too odd")
    for now in (spool, bench.open()):
        records = drain(now)
        assert [record.sequence for record in records] == [1, 2, 3]
        lost = records[1].gap
        assert (lost.reason, lost.from_sequence, lost.to_sequence) == (record_pb2.GAP_REASON_REJECTED, 2, 2)
        assert (lost.lost, lost.lost_is_exact, dict(lost.lost_by_kind)) == (4, True, {"EVENT_KIND_FS_ERROR": 4})
        assert lost.message == "too odd"
    (kept,) = (bench.root / "spool/quarantine").iterdir()
    assert record_pb2.Record.FromString(kept.read_bytes()).event.message == "poison"
    assert bench.spool.append([event("d")]) == range(4, 5)


@pytest.mark.parametrize("sequence", [0, 1, 4])
def test_rejecting_what_is_not_kept_is_refused(bench, sequence):
    spool = bench.open()
    spool.append([event(), event(), event()])
    spool.ack(spool.epoch, 1)
    with pytest.raises(ProtocolError):
        spool.reject(spool.epoch, sequence, "no")


def test_quarantine_is_bounded(tmp_path):
    bench = Bench(tmp_path, limits(tmp_path, quarantine_max_bytes=2500))
    spool = bench.open()
    spool.append([event("x" * 1000) for _ in range(6)])
    for sequence in range(1, 7):
        spool.reject(spool.epoch, sequence, "no")
    assert len(list((tmp_path / "spool/quarantine").iterdir())) == 2
    bench.abandon()


def test_a_new_epoch_carries_over_what_is_not_acknowledged(bench):
    spool = bench.open()
    spool.append([event(str(i)) for i in range(1, 11)])
    spool.reject(spool.epoch, 8, "no")
    spool.ack(spool.epoch, 6)
    old = spool.epoch
    new = spool.new_epoch()
    assert new != old
    assert spool.append([event("11")]) == range(5, 6)
    for now in (spool, bench.open()):
        assert now.epoch == new
        records = drain(now)
        assert [record.event.message for record in records] == ["7", "", "9", "10", "11"]
        assert records[1].gap.from_sequence == 2
    with pytest.raises(ProtocolError):
        bench.spool.ack(old, 1)
    bench.spool.ack(new, 5)


def test_epochs_may_follow_each_other_without_loss(bench):
    spool = bench.open()
    for turn in range(5):
        spool.append([event(f"{turn}.{i}") for i in range(3)])
        if turn == 2:
            spool.ack(spool.epoch, 4)
        spool.new_epoch()
        spool = bench.open()
    messages = [record.event.message for record in drain(spool)]
    assert messages == ["1.1", "1.2", "2.0", "2.1", "2.2", "3.0", "3.1", "3.2", "4.0", "4.1", "4.2"]


def test_epochs_that_hold_nothing_of_their_own_do_not_add_up(bench):
    spool = bench.open()
    spool.append([event("kept")])
    for _ in range(100):
        spool.new_epoch()
    assert (bench.root / "spool/ledger").stat().st_size < 4096
    spool.append([event("new")])
    for now in (spool, bench.open()):
        assert [record.event.message for record in drain(now)] == ["kept", "new"]
    assert not bench.spool.damage


def test_a_record_too_large_for_the_wire_becomes_a_gap(bench):
    spool = bench.open()
    assert spool.append([event("x" * (4 << 20), count=2)]) == range(1, 2)
    (record,) = drain(spool)
    assert (record.gap.from_sequence, record.gap.lost) == (0, 2)


def test_a_reader_in_another_thread_sees_every_record_once(bench):
    spool = bench.open()
    seen = []

    def read():
        while len(seen) < 2000:
            payloads = spool.read(len(seen) + 1, 4000, 50).records
            seen.extend(record_pb2.Record.FromString(payload).sequence for payload in payloads)

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(100):
        spool.append([event("x" * 50) for _ in range(20)])
    reader.join(30)
    assert seen == list(range(1, 2001))


def test_old_records_become_a_gap_that_says_how_many(bench):
    bench.open().append([event(count=2), event(), inventory()])
    bench.clocks.wall_ns += (bench.limits.max_age_seconds + 10) * 1_000_000_000
    spool = bench.open()
    spool.append([event("young")])
    spool.tend()
    for now in (spool, bench.open()):
        aged, young = drain(now)
        assert (aged.gap.reason, aged.gap.from_sequence, aged.gap.to_sequence) == (
            record_pb2.GAP_REASON_SPOOL_AGED,
            1,
            3,
        )
        assert (aged.gap.lost, dict(aged.gap.lost_by_kind)) == (4, {"EVENT_KIND_FS_ERROR": 3, "INVENTORY": 1})
        assert (young.sequence, young.event.message) == (4, "young")


def test_gaps_of_sources_pass_through_unchanged(bench):
    spool = bench.open()
    spool.append([gap(7)])
    (record,) = drain(spool)
    assert (record.gap.lost, record.gap.from_sequence, record.sequence) == (7, 0, 1)
    assert record.gap.reason == record_pb2.GAP_REASON_KERNEL_OVERFLOW
