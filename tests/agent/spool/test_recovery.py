"""Damage of every kind, and what opening makes of it."""

import pytest
from agent.spool.spooling import Bench, drain, event, limits, span
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from soak import examples

from fsmend_agent.spool.frame import FRAME_HEADER, SEGMENT_HEADER
from fsmend_proto.v1 import record_pb2

CORRUPT = record_pb2.GAP_REASON_SPOOL_CORRUPT


def filled(bench, appends=8):
    spool = bench.open()
    for start in range(0, appends * 20, 20):
        spool.append([event(str(start + i + 1) + "x" * 1000) for i in range(20)])
    bench.abandon()
    return sorted((bench.root / "spool").glob("*.segment"))


def messages(records):
    return [int(record.event.message.rstrip("x")) for record in records if record.HasField("event")]


def test_a_torn_tail_is_no_loss(bench):
    files = filled(bench)
    with files[-1].open("ab") as file:
        file.write(b"half a frame")
    spool = bench.open()
    assert messages(drain(spool)) == list(range(1, 161))
    assert not [record for record in drain(spool) if record.HasField("gap")]
    assert spool.append([event("161")]) == range(161, 162)


def test_a_corrupt_record_in_the_middle_costs_only_itself(bench):
    file = filled(bench)[1]
    data = bytearray(file.read_bytes())
    data[SEGMENT_HEADER.size + 3 * (FRAME_HEADER.size + 1030) + 300] ^= 1
    file.write_bytes(data)
    for spool in (bench.open(), bench.open()):
        records = drain(spool)
        (lost,) = [record.gap for record in records if record.HasField("gap")]
        assert lost.reason == CORRUPT
        assert lost.from_sequence == lost.to_sequence
        assert sorted([*messages(records), lost.from_sequence]) == list(range(1, 161))


def test_a_missing_segment_becomes_a_gap(bench):
    filled(bench, appends=12)[1].unlink()
    records = drain(bench.open())
    (lost,) = [record.gap for record in records if record.HasField("gap")]
    assert messages(records) == [n for n in range(1, 241) if not lost.from_sequence <= n <= lost.to_sequence]
    assert span(records[-1]) == 240


def test_a_damaged_segment_header_costs_nothing(bench):
    file = filled(bench)[0]
    file.write_bytes(bytes(SEGMENT_HEADER.size) + file.read_bytes()[SEGMENT_HEADER.size :])
    spool = bench.open()
    assert messages(drain(spool)) == list(range(1, 161))
    assert spool.damage


@pytest.mark.parametrize("kept_bytes", [0, 1, SEGMENT_HEADER.size - 1])
def test_a_segment_whose_header_was_not_finished_is_no_damage(bench, kept_bytes):
    last = filled(bench)[-1]
    begun = last.with_name(f"{last.name.split('.')[0]}.{161:016d}.segment")
    begun.write_bytes(last.read_bytes()[:kept_bytes])
    spool = bench.open()
    assert messages(drain(spool)) == list(range(1, 161))
    assert not spool.damage
    assert spool.append([event("161")]) == range(161, 162)


@pytest.mark.parametrize("content", [None, b"", b"00000000 {}", b"\xff" * 100])
def test_a_lost_ledger_means_a_new_epoch_with_all_records(bench, content):
    filled(bench)
    old = bench.open().epoch
    bench.abandon()
    ledger = bench.root / "spool/ledger"
    ledger.unlink() if content is None else ledger.write_bytes(content)
    spool = bench.open()
    assert spool.epoch != old
    assert messages(drain(spool)) == list(range(1, 161))
    spool.append([event("161")])
    assert messages(drain(bench.open())) == list(range(1, 162))


def test_damage_found_while_reading_becomes_a_gap_too(bench):
    spool = bench.open()
    spool.append([event(str(i + 1) + "x" * 1000) for i in range(20)])
    (file,) = (bench.root / "spool").glob("*.segment")
    with file.open("r+b") as raw:
        raw.seek(5000)
        raw.write(b"rotten")
    records = drain(spool)
    (lost,) = [record.gap for record in records if record.HasField("gap")]
    assert sorted([*messages(records), lost.from_sequence]) == list(range(1, 21))
    assert spool.append([event("21")]) == range(21, 22)
    assert messages(drain(bench.open()))[-1] == 21


def test_foreign_files_are_left_alone(bench):
    bench.open().append([event("1")])
    (bench.root / "spool/notes.txt").write_text("mine")
    (bench.root / "spool/xyz.segment").write_text("what")
    assert messages(drain(bench.open())) == [1]
    assert (bench.root / "spool/notes.txt").read_text() == "mine"


def test_a_symbolic_link_is_not_followed(bench, tmp_path):
    spool = bench.open()
    spool.append([event("1")])
    target = tmp_path / "target"
    target.write_text("precious")
    (bench.root / "spool" / f"{spool.epoch}.{9:016x}.segment").symlink_to(target)
    assert messages(drain(bench.open())) == [1]
    assert target.read_text() == "precious"


def test_segments_that_overlap_are_settled(bench):
    second = filled(bench)[1]
    content = second.read_bytes()
    spool = bench.open()
    spool._close_writer()
    spool._evict(lambda eviction: eviction.join_small(1 << 20))
    bench.abandon()
    second.write_bytes(content)  # as after a crash between the merged segment and the unlinking of its parts
    assert messages(drain(bench.open())) == list(range(1, 161))


changes = st.lists(
    st.one_of(
        st.tuples(st.just("flip"), st.integers(0, 1 << 20), st.integers(1, 255)),
        st.tuples(st.just("cut"), st.integers(0, 1 << 20), st.just(0)),
        st.tuples(st.just("insert"), st.integers(0, 1 << 20), st.binary(max_size=60)),
        st.tuples(st.just("replace"), st.just(0), st.binary(max_size=300)),
    ),
    min_size=1,
    max_size=5,
)


def mutate(data, kind, at, what):
    at %= len(data) + 1
    if kind == "flip" and at < len(data):
        return data[:at] + bytes([data[at] ^ what]) + data[at + 1 :]
    if kind == "cut":
        return data[:at]
    if kind == "insert":
        return data[:at] + what + data[at:]
    return what if kind == "replace" else data


@given(changes, st.integers(0, 3))
@settings(max_examples=examples(30), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_mutation_of_a_file_stops_the_spool_or_is_taken_for_a_record(tmp_path_factory, some, which):
    root = tmp_path_factory.mktemp("mutated")
    bench = Bench(root, limits(root, segment_bytes=2000, ballast_bytes=0, max_bytes=1 << 20))
    spool = bench.open()
    for start in range(0, 40, 5):
        spool.append([event(str(start + i + 1) + "x" * 100) for i in range(5)])
    bench.abandon()
    files = sorted((root / "spool").iterdir())
    file = files[which % len(files)]
    data = file.read_bytes()
    for change in some:
        data = mutate(data, *change)
    file.write_bytes(data)
    spool = bench.open()
    records = drain(spool)
    found = messages(records)
    assert found == sorted(set(found))
    assert set(found) <= set(range(1, 41))
    before = spool.next_sequence
    assert spool.append([event("99")]) == range(before, before + 1)
    assert messages(drain(bench.open()))[-1] == 99
    bench.abandon()
