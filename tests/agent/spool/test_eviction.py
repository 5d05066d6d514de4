"""What goes first when the spool is full, and what stays behind."""

from agent.spool.spooling import Bench, counted, drain, event, gap, inventory, limits, update

from fsmend_proto.v1 import event_pb2, record_pb2

INFO, NOTICE, WARNING = event_pb2.SEVERITY_INFO, event_pb2.SEVERITY_NOTICE, event_pb2.SEVERITY_WARNING
ERROR, CRITICAL = event_pb2.SEVERITY_ERROR, event_pb2.SEVERITY_CRITICAL


def fill(spool, severities, rounds, size=900):
    """Append so many records of each severity, in turn; return how many occurrences that were."""
    counts = [1 + turn % 3 for turn in range(rounds)]
    records = [event("x" * size, severity, count) for count in counts for severity in severities]
    for start in range(0, len(records), 40):
        spool.append(records[start : start + 40])
    return sum(counts) * len(severities)


def of_severity(records, severity):
    return [record for record in records if record.HasField("event") and record.event.severity == severity]


def test_the_bound_holds_and_every_occurrence_is_accounted_for(bench):
    spool = bench.open()
    total = fill(spool, [INFO, NOTICE, WARNING, ERROR, CRITICAL], 600)
    assert spool.used_bytes <= bench.limits.max_bytes
    for now in (spool, bench.open()):
        records = drain(now)
        assert counted(records) == total
        assert all(record.gap.lost_is_exact for record in records if record.HasField("gap"))


def test_the_lightest_go_first(bench):
    spool = bench.open()
    fill(spool, [INFO, CRITICAL], 300)
    fill(spool, [ERROR], 500)
    records = drain(spool)
    assert len(of_severity(records, CRITICAL)) == 300
    assert len(of_severity(records, ERROR)) == 500
    assert len(of_severity(records, INFO)) < 300


def test_what_is_lost_is_told_by_kind(bench):
    spool = bench.open()
    for _ in range(60):
        pair = (event("x" * 900, INFO, 2, event_pb2.EVENT_KIND_KERNEL_LOG), event("y" * 900, INFO))
        spool.append([pair[i % 2] for i in range(20)])
    lost = [record.gap for record in drain(spool) if record.HasField("gap")]
    assert {gap.reason for gap in lost} == {record_pb2.GAP_REASON_SPOOL_FULL}
    by_kind = {}
    for one in lost:
        for kind, count in one.lost_by_kind.items():
            by_kind[kind] = by_kind.get(kind, 0) + count
    assert by_kind["EVENT_KIND_KERNEL_LOG"] == 2 * by_kind["EVENT_KIND_FS_ERROR"]


def test_command_updates_and_gaps_stay_before_any_event(bench):
    spool = bench.open()
    spool.append([update(f"command {i}") for i in range(50)])
    spool.append([gap(2) for _ in range(50)])
    fill(spool, [CRITICAL], 2500)
    records = drain(spool)
    assert sum(record.HasField("command_update") for record in records) == 50
    kept = [record for record in records if record.HasField("gap") and record.gap.source == "fanotify"]
    assert len(kept) == 50


def test_of_the_inventories_only_the_latest_must_stay(bench):
    spool = bench.open()
    for i in range(0, 40, 4):
        spool.append([inventory(f"{i + j} " + "h" * 9000) for j in range(4)])
    fill(spool, [ERROR], 400)
    spool = bench.open()
    fill(spool, [ERROR], 500)
    kept = [record.inventory.host.name for record in drain(spool) if record.HasField("inventory")]
    assert len(kept) < 40
    assert kept[-1].startswith("39 ")


def test_even_command_updates_alone_cannot_break_the_bound(tmp_path):
    bench = Bench(tmp_path, limits(tmp_path, max_bytes=1 << 17))
    spool = bench.open()
    for start in range(0, 1000, 10):
        spool.append([update(f"{i}" + "c" * 900) for i in range(start, start + 10)])
    assert spool.used_bytes <= 1 << 17
    records = drain(spool)
    assert sum(1 if record.HasField("command_update") else record.gap.lost for record in records) == 1000
    assert records[-1].command_update.command_id.startswith("999")
    bench.abandon()


def test_a_storm_that_never_ends_leaves_few_files(bench):
    spool = bench.open()
    total = fill(spool, [INFO] * 20, 600, size=400)
    assert len(list((bench.root / "spool").glob("*.segment"))) <= 40
    assert counted(drain(spool)) == total


def test_a_reader_in_the_middle_of_an_evicted_range_gets_its_rest_as_a_gap(bench):
    spool = bench.open()
    fill(spool, [INFO], 3000)
    first = drain(spool, 1)[0].gap
    assert first.to_sequence > 11
    rest = drain(spool, 11)[0].gap
    assert (rest.from_sequence, rest.to_sequence) == (11, first.to_sequence)
    assert (rest.lost, rest.lost_is_exact) == (first.to_sequence - 10, False)


def test_acknowledging_into_a_gap_is_fine(bench):
    spool = bench.open()
    fill(spool, [INFO], 3000)
    spool.ack(spool.epoch, 10)
    spool.new_epoch()
    first = drain(bench.open())[0]
    assert (first.sequence, first.gap.from_sequence) == (1, 1)


def test_a_damaged_record_at_the_end_of_a_segment_leaves_a_gap_when_its_neighbours_go(bench):
    spool = bench.open()
    fill(spool, [WARNING], 200)
    segment = spool._segments[1]
    content = bytearray(segment.path.read_bytes())
    content[-1] ^= 1
    segment.path.write_bytes(content)
    spool._close_writer()
    fill(spool, [ERROR], 2000)
    (gap,) = [record.gap for record in drain(spool) if record.sequence <= segment.last <= record.gap.to_sequence]
    assert not gap.lost_is_exact
