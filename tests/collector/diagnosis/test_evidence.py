"""Evidence takes from an Event what diagnosis needs, and survives any Event."""

from dataclasses import replace

from collector.diagnosis.findings import START, engine
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from fsmend_collector.diagnosis import Evidence
from fsmend_proto.v1 import command_pb2, event_pb2, record_pb2


def of(event, offset=0):
    return Evidence.of("e1", "a1", "h1", event, START, offset)


def test_time_is_on_the_collectors_clock():
    event = event_pb2.Event(clocks=event_pb2.Clocks(wall_ns=1_000))
    assert of(event, 500).time_ns == 1_500
    assert of(event, 2 * START).time_ns == START
    assert of(event_pb2.Event(), 500).time_ns == START
    assert of(event, -5_000).time_ns == 1


def test_folded_event_says_when_its_last_occurrence_was():
    event = event_pb2.Event(count=9, clocks=event_pb2.Clocks(wall_ns=1_000), last=event_pb2.Clocks(wall_ns=2_000))
    assert (of(event).time_ns, of(event).latest_ns) == (1_000, 2_000)
    event.ClearField("last")
    assert of(event).latest_ns == 1_000


def test_ext4_counters_count_by_their_difference():
    event = event_pb2.Event(kind=event_pb2.EVENT_KIND_FS_ERROR, count=1)
    event.ext4_counters.errors_count, event.ext4_counters.new_errors = 9, 4
    event.ext4_counters.first.time_seconds = 77
    event.ext4_counters.last.ino, event.ext4_counters.last.function, event.ext4_counters.last.line = 12, "f", 3
    evidence = of(event)
    assert (evidence.count, evidence.reading, evidence.since_ns) == (4, 9, 77 * 10**9)
    assert (evidence.ino, evidence.function, evidence.line) == (12, "f", 3)


def test_btrfs_counters_count_what_the_kind_speaks_of():
    event = event_pb2.Event(kind=event_pb2.EVENT_KIND_FS_DATA_CORRUPTION, count=1)
    event.btrfs_device.devid = 2
    event.btrfs_device.added.corruption_errors, event.btrfs_device.added.read_errors = 12, 5
    event.btrfs_device.total.corruption_errors = 20
    assert (of(event).count, of(event).reading, of(event).devid) == (12, 20, 2)
    event.kind = event_pb2.EVENT_KIND_FS_IO_ERROR
    assert of(event).count == 5


def test_code_location_comes_from_trace_and_kernel_log():
    event = event_pb2.Event()
    event.ext4_error.function, event.ext4_error.line = "ext4_lookup", 1787
    assert (of(event).function, of(event).line) == ("ext4_lookup", 1787)
    event.kernel_log.function, event.kernel_log.line, event.kernel_log.form = "ext4_iget", 5, "ext4_error"
    assert (of(event).function, of(event).line, of(event).form) == ("ext4_iget", 5, "ext4_error")


def test_location_is_the_most_exact_that_the_event_gives():
    event = event_pb2.Event()
    assert of(event).location == ""
    event.ext4_error.function = "f"
    assert of(event).location == "code f:0"
    event.inode.ino = 12
    assert of(event).location == "inode 0/12"
    event.sectors.start = 0
    assert of(event).location == "sector 0"


def test_xfs_health_says_which_part_is_sick():
    event = event_pb2.Event()
    event.xfs_health.scope, event.xfs_health.number, event.xfs_health.sick = event_pb2.XFS_SCOPE_AG, 3, 16
    assert (of(event).sick, of(event).scope) == (True, "ag 3")
    event.xfs_health.sick = 0
    assert of(event).sick is False


def test_source_state_is_sick_only_when_broken():
    sick = {}
    for name, number in event_pb2.SourceState.items():
        event = event_pb2.Event(kind=event_pb2.EVENT_KIND_SOURCE_STATE)
        event.source_state.state = number
        sick[name.removeprefix("SOURCE_STATE_").lower()] = of(event).sick
    assert sick == {"unspecified": None, "started": False, "stopped": None, "broken": True, "unavailable": None}


@given(st.binary(max_size=300))
def test_no_bytes_from_an_agent_break_diagnosis(raw):
    event = event_pb2.Event()
    try:
        event.MergeFromString(raw)
    except DecodeError:
        return
    diagnosis = engine()
    for change in diagnosis.observe(of(event), START):
        change.incident.SerializeToString()
    diagnosis.tick(START + 10**9)


@given(
    st.sampled_from([*event_pb2.EventKind.values(), 99]),
    st.sampled_from([*event_pb2.Severity.values(), 99, -1]),
    st.binary(max_size=20),
    st.text(max_size=10),
    st.integers(0, 2**64 - 1),
    st.integers(-(2**31), 2**31 - 1),
)
def test_every_kind_of_event_with_any_content_is_taken(kind, severity, raw, text, number, errno):
    event = event_pb2.Event(kind=kind, severity=severity, count=number, errno=errno, source=text, message=text)
    event.clocks.wall_ns = number
    event.filesystem.uuid, event.filesystem.mount_point, event.inode.path, event.inode.ino = text, raw, raw, number
    event.sectors.start, event.device.name = number, text
    event.xfs_health.scope, event.xfs_health.sick = errno, 1
    diagnosis = engine()
    repeated = [*diagnosis.observe(of(event), START), *diagnosis.observe(replace(of(event), event_id="e2"), START)]
    for change in repeated + diagnosis.tick(START + 10**10):
        change.incident.SerializeToString()
        assert change.incident.summary.isprintable()


@given(st.binary(max_size=60), st.integers(-(2**31), 2**31 - 1))
def test_no_gap_and_no_report_on_a_command_breaks_diagnosis(raw, number):
    diagnosis = engine()
    gap = record_pb2.Gap(reason=number, lost=2**64 - 1, message=raw.decode("latin-1"))
    changes = diagnosis.observe_gap(gap, "a1", START) + diagnosis.observe_gap(gap, "a1", START, gap_id="other")
    for state in command_pb2.CommandState.values():
        update = command_pb2.CommandUpdate(state=state, message=raw.decode("latin-1"))
        update.result.verdict = number
        update.result.scrubs.add(errors_uncorrectable=2**64 - 1)
        target = command_pb2.Target(filesystem_uuid=raw.decode("latin-1"))
        changes += diagnosis.observe_update("a1", f"c{state}", target, update, START, START)
    for change in changes:
        change.incident.SerializeToString()


def test_a_hosts_names_are_bounded_and_have_no_nul():
    event = event_pb2.Event(
        device=event_pb2.DeviceRef(id="a\0b", name="n" * 5_000),
        kernel_log=event_pb2.KernelLogDetail(function="f\0", form="o" * 1_024),
    )
    one = of(event)
    assert (one.device_id, one.function, one.form) == ("a\ufffdb", "f\ufffd", "o" * 1_024)
    assert one.device_name == "n" * 1_024
