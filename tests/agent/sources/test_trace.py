"""Pages of the trace ring become events."""

import errno
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsmend_agent.kernel.trace_records import BlockRequestError, Ext4Error, TraceEvent
from fsmend_agent.sources._units import Units
from fsmend_agent.sources.trace import TraceSource, from_block_error, from_ext4_error, is_benign
from fsmend_proto.v1 import event_pb2 as pb


def page(*records):
    """Make a page of the ring of 6.18 from the bytes of its events."""
    body = b"".join(struct.pack("=I", len(record) // 4 | 100 << 5) + record for record in records)
    return struct.pack("=QQ", 5_000_000_000, len(body)) + body


def block_record(error=-errno.EIO, sector=2048, rwbs=b"R", minor=0):
    common = struct.pack("=HBBi", 2106, 0, 0, 77)
    fixed = struct.pack("=IxxxxQIiH10sI", 7 << 20 | minor, sector, 8, error, 3, rwbs, 0)
    return common + fixed


def ext4_record(line=1787):
    return struct.pack("=HBBiIxxxxQIxxxx", 1166, 0, 0, 77, 7 << 20, 0xFFFFFFFF81000000, line)


def failed(operation="R", error=errno.EIO, sector=2048, minor=0):
    return BlockRequestError(1, 0, 77, 7, minor, sector, 8, error, operation, "")


@pytest.fixture
def stage(make_stage, make_filesystem):
    return make_stage(make_filesystem(device_numbers=((7, 0),)))


def test_a_page_with_both_events(stage):
    block, ext4 = TraceSource(stage.watch).replay(page(block_record(), ext4_record()))
    assert (block.kind, block.errno) == (pb.EVENT_KIND_DEVICE_IO_ERROR, errno.EIO)
    assert (block.sectors.start, block.sectors.count, block.block_request.operation) == (2048, 8, "R")
    assert (block.device.name, block.filesystem.uuid) == ("loop0", "11111111-1111-1111-1111-111111111111")
    assert block.clocks.boot_ns == 5_000_000_100
    assert (ext4.ext4_error.line, ext4.filesystem.uuid) == (1787, block.filesystem.uuid)


def test_the_place_in_the_code_is_the_signature(stage):
    units = Units(stage.watch)
    event = from_ext4_error(Ext4Error(1, 0, 77, 7, 0, "ext4_lookup", 1787), units, stage.watch.clock)
    assert (event.signature, event.ext4_error.function) == ("ext4_error ext4_lookup:1787", "ext4_lookup")


def test_an_ext4_that_is_not_in_the_table_yet_goes_by_its_device(make_stage):
    watch = make_stage().watch
    event = from_ext4_error(Ext4Error(1, 0, 77, 7, 0, "ext4_fill_super", 1), Units(watch), watch.clock)
    assert (event.filesystem.type, event.filesystem.device_name, event.filesystem.uuid) == ("ext4", "loop0", "")


def test_an_error_on_a_disk_is_the_filesystems_of_the_partition_it_lies_in(
    make_stage, make_filesystem, monkeypatch, tmp_path
):
    for name, start in (("sda1", 2048), ("sda2", 10_000)):
        folder = tmp_path / "class/block/sda" / name
        folder.mkdir(parents=True)
        (folder / "start").write_text(str(start))
        (folder / "size").write_text("5000")
    monkeypatch.setattr("fsmend_agent.sysfs.SYSFS", tmp_path)
    stage = make_stage(
        make_filesystem("u-1", names=("sda1",), minor=3), make_filesystem("u-2", names=("sda2",), minor=4)
    )
    units = Units(stage.watch)
    found = [from_block_error(failed(sector=at, minor=2), 0, units, stage.watch.clock) for at in (2048, 14_999, 9_000)]
    assert [event.filesystem.uuid for event in found] == ["u-1", "u-2", ""]
    assert {event.device.name for event in found} == {"sda"}


@pytest.mark.parametrize(
    ("operation", "error", "benign"),
    [
        ("D", errno.EOPNOTSUPP, True),
        ("DE", errno.EOPNOTSUPP, True),
        ("N", errno.ENOSPC, True),
        ("D", errno.EREMOTEIO, True),
        ("D", errno.EIO, False),
        ("R", errno.EAGAIN, True),
        ("W", errno.ENOSPC, False),
        ("WS", errno.EOPNOTSUPP, False),
        ("FWS", errno.EREMOTEIO, False),
        ("F", errno.EOPNOTSUPP, False),
        ("FF", errno.EIO, False),
        ("RA", errno.EIO, False),
    ],
)
def test_only_what_loses_nothing_is_benign(stage, operation, error, benign):
    assert is_benign(operation, error) == benign
    event = from_block_error(failed(operation, error), 0, Units(stage.watch), stage.watch.clock)
    assert (event is None) == benign


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (errno.ENODATA, "DEVICE_MEDIUM_ERROR"),
        (errno.ENOLINK, "DEVICE_LINK_ERROR"),
        (errno.ETIMEDOUT, "DEVICE_LINK_ERROR"),
        (errno.ENODEV, "DEVICE_GONE"),
        (errno.ENOSPC, "DEVICE_IO_ERROR"),
        (errno.ENOMEM, "DEVICE_IO_ERROR"),
        (999, "DEVICE_IO_ERROR"),
    ],
)
def test_the_errno_of_a_request_tells_the_kind(stage, error, kind):
    event = from_block_error(failed(error=error), 0, Units(stage.watch), stage.watch.clock)
    assert pb.EventKind.Name(event.kind) == f"EVENT_KIND_{kind}"


def test_a_flush_has_no_sectors(stage):
    event = from_block_error(failed("FF", sector=2**64 - 1), 0, Units(stage.watch), stage.watch.clock)
    assert not event.HasField("sectors")


def test_what_follows_damage_is_kept_raw(stage):
    good, bad = TraceSource(stage.watch).replay(page(block_record(), b"\0\0\0\0"))
    assert good.sectors.start == 2048
    assert bad.undecoded.interface == "trace page"


def test_ext4_errors_of_one_place_and_one_read_are_one_event_with_an_exact_count(stage):
    def event(line, time_ns):
        fields = {"dev": 7 << 20, "function": 0xFF, "line": line, "common_pid": 1}
        return TraceEvent("ext4", "ext4_error", fields, time_ns, 0)

    class Names:
        def name(self, _event):
            return "ext4_lookup"

    events = [event(1, 10), event(2, 20), event(1, 30), event(1, 40)]
    first, second = TraceSource(stage.watch)._fold(events, Names(), Units(stage.watch))
    assert (first.count, first.clocks.boot_ns, first.last.boot_ns) == (3, 10, 40)
    assert (second.count, second.clocks.boot_ns, second.HasField("last")) == (1, 20, False)


@pytest.mark.parametrize("time_ns", [0, 2**63, 2**64 - 1])
def test_impossible_times_and_errnos_are_bounded(stage, time_ns):
    raw = struct.pack("=Q", time_ns) + page(block_record(error=-(2**31)), ext4_record())[8:]
    assert len([event.SerializeToString() for event in TraceSource(stage.watch).replay(raw)]) == 2


@given(raw=st.binary(max_size=300))
def test_no_bytes_make_it_raise(make_stage, raw):
    for event in TraceSource(make_stage().watch).replay(raw):
        assert event.SerializeToString()


@given(at=st.integers(0, 130), damage=st.binary(min_size=1, max_size=8))
def test_no_damage_to_a_page_makes_it_raise(make_stage, at, damage):
    raw = page(block_record(), ext4_record())
    for event in TraceSource(make_stage().watch).replay(raw[:at] + damage + raw[at + len(damage) :]):
        assert event.SerializeToString()
