"""What a batch means."""

import pytest
from collector.rig import batch, event_record, gap_record
from hypothesis import given
from hypothesis import strategies as st

from fsmend_collector.errors import ProtocolError
from fsmend_collector.ingest.plan import MAX_BATCH_RECORDS, MAX_RECORD_BYTES, MAX_SIGNED, make_plan
from fsmend_proto.v1 import event_pb2, link_pb2, record_pb2

KIND, SEVERITY, SOURCE, INO, COUNT, COMMAND, RAW = 2, 3, 4, 8, 9, 10, 11


def test_events_become_rows_with_the_record_as_it_came():
    raw = event_record(7, severity=4, errno=117, inode=event_pb2.InodeRef(ino=131))
    plan = make_plan(batch("e", 7, raw))
    (row,) = plan.events
    assert (row[0], row[SEVERITY], row[5], row[INO], row[RAW]) == (7, 4, 117, 131, raw)
    assert (plan.first, plan.through) == (7, 7)


def test_an_empty_batch_accounts_for_nothing():
    plan = make_plan(batch("e", 5))
    assert (plan.first, plan.through, plan.events) == (5, 4, [])


@pytest.mark.parametrize("first", [0, MAX_SIGNED, (1 << 64) - 1])
def test_a_first_sequence_outside_its_range_is_refused(first):
    with pytest.raises(ProtocolError, match="begins at"):
        make_plan(batch("e", first, event_record(1)))


@pytest.mark.parametrize("second", [1, 3, 0, MAX_SIGNED])
def test_records_that_are_not_contiguous_are_refused(second):
    with pytest.raises(ProtocolError, match="where 2 was due"):
        make_plan(batch("e", 1, event_record(1), event_record(second)))


def test_a_gap_that_begins_before_the_batch_is_taken_whole():
    plan = make_plan(batch("e", 5, gap_record(3, 9, sequence=3), event_record(10)))
    assert (plan.first, plan.through) == (3, 10)


def test_a_gap_that_leaves_a_hole_before_it_is_refused():
    with pytest.raises(ProtocolError):
        make_plan(batch("e", 1, event_record(1), gap_record(3, 9)))


def test_a_gap_before_the_spool_uses_one_sequence():
    plan = make_plan(batch("e", 1, gap_record(0, 0, sequence=1), event_record(2)))
    assert plan.through == 2


def test_values_that_do_not_fit_a_signed_column_are_clamped():
    big = (1 << 64) - 1
    raw = event_record(1, count=big, inode=event_pb2.InodeRef(ino=big), clocks=event_pb2.Clocks(wall_ns=big))
    (row,) = make_plan(batch("e", 1, raw)).events
    assert (row[1], row[INO], row[COUNT]) == (MAX_SIGNED, -1, MAX_SIGNED)


def test_nul_in_text_is_replaced_and_the_record_kept_exact():
    raw = event_record(1, source="a\0b", command_id="\0")
    (row,) = make_plan(batch("e", 1, raw)).events
    assert (row[SOURCE], row[COMMAND], row[RAW]) == ("a\ufffdb", "\ufffd", raw)


def test_bytes_that_are_no_record_become_an_event_with_the_bytes():
    plan = make_plan(batch("e", 4, event_record(4), b"\xff\xff", event_record(6)))
    row = plan.events[1]
    kept = record_pb2.Record.FromString(row[RAW])
    assert (row[KIND], kept.sequence, kept.event.undecoded.raw) == (event_pb2.EVENT_KIND_UNDECODED, 5, b"\xff\xff")
    assert (plan.undecoded, plan.through) == (1, 6)


def test_a_record_of_an_unknown_kind_is_kept():
    newer = record_pb2.Record(sequence=1).SerializeToString() + b"\xfa\x01\x03abc"
    plan = make_plan(batch("e", 1, newer, event_record(2)))
    assert "does not know" in record_pb2.Record.FromString(plan.events[0][RAW]).event.undecoded.reason


def test_the_record_after_an_undecodable_one_says_where_the_batch_stands():
    plan = make_plan(batch("e", 1, b"\xff", event_record(9), event_record(10)))
    assert [row[0] for row in plan.events] == [1, 9, 10]


def test_a_record_that_is_too_large_ends_the_plan_before_it():
    plan = make_plan(batch("e", 1, event_record(1), b"x" * (MAX_RECORD_BYTES + 1), event_record(3)))
    assert (plan.through, plan.rejection.sequence) == (1, 2)


def test_a_batch_of_more_records_than_any_agent_sends_is_refused_as_a_whole():
    with pytest.raises(ProtocolError, match=f"{MAX_BATCH_RECORDS + 1} records; at most {MAX_BATCH_RECORDS}"):
        make_plan(batch("e", 1, *[b""] * (MAX_BATCH_RECORDS + 1)))
    assert make_plan(batch("e", 1, *[b""] * MAX_BATCH_RECORDS)).undecoded == MAX_BATCH_RECORDS


@pytest.mark.parametrize(
    "after",
    [event_record(MAX_SIGNED + 1), gap_record(0, 0, sequence=MAX_SIGNED + 1), b"\xff"],
    ids=["event", "gap", "no record"],
)
def test_nothing_follows_the_last_sequence_that_there_is(after):
    with pytest.raises(ProtocolError, match="last sequence"):
        make_plan(batch("e", 3, gap_record(3, MAX_SIGNED), after))


@pytest.mark.parametrize("sequence", [MAX_SIGNED + 1, (1 << 64) - 1])
def test_a_gap_whose_own_sequence_is_past_the_last_one_is_refused(sequence):
    with pytest.raises(ProtocolError, match="last sequence"):
        make_plan(batch("e", 3, gap_record(3, MAX_SIGNED, sequence=sequence)))


def test_what_the_store_has_is_taken_out():
    raws = [event_record(1), gap_record(2, 4), event_record(5), gap_record(6, 6), event_record(7)]
    plan = make_plan(batch("e", 1, *raws)).after(4)
    assert [row[0] for row in plan.events] == [5, 7]
    assert [(one.sequence, one.events_before) for one in plan.others] == [(6, 1)]
    assert (plan.first, plan.through) == (5, 7)


def test_a_gap_across_the_watermark_is_still_news():
    plan = make_plan(batch("e", 1, event_record(1), gap_record(2, 9), event_record(10))).after(5)
    assert [(one.sequence, one.through, one.events_before) for one in plan.others] == [(2, 9, 0)]
    assert [row[0] for row in plan.events] == [10]


@given(st.integers(0, (1 << 64) - 1), st.lists(st.binary(max_size=200), max_size=5))
def test_hostile_bytes_are_kept_or_the_batch_is_refused(first, raws):
    try:
        plan = make_plan(link_pb2.RecordBatch(epoch="e", first_sequence=first, records=raws))
    except ProtocolError:
        return
    assert len(plan.events) + len(plan.others) == len(raws)
    assert all(0 < row[0] <= MAX_SIGNED for row in plan.events)


@st.composite
def spools(draw):
    """Draw a spool's records with the sequences that each accounts for."""
    records, sequence = [], 1
    for _ in range(draw(st.integers(1, 12))):
        width = draw(st.integers(0, 4))
        raw = gap_record(sequence, sequence + width) if draw(st.booleans()) else event_record(sequence)
        last = record_pb2.Record.FromString(raw).gap.to_sequence or sequence
        records.append((sequence, last, raw))
        sequence = last + 1
    return records


@given(spools(), st.data())
def test_every_part_of_a_spool_from_any_watermark_gives_exactly_what_is_new(spool, data):
    start = data.draw(st.integers(0, len(spool) - 1))
    watermark = data.draw(st.integers(spool[start][0] - 1, spool[-1][1]))
    plan = make_plan(batch("e", spool[start][0], *(raw for _, _, raw in spool[start:]))).after(watermark)
    got = sorted([row[0] for row in plan.events] + [one.sequence for one in plan.others])
    assert got == [first for first, last, _ in spool[start:] if last > watermark]
    assert plan.through == spool[-1][1]
