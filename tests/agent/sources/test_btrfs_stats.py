"""Readings of btrfs's device statistics become exact deltas."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsmend_agent.event import Clock
from fsmend_agent.kernel.btrfs import DeviceStats
from fsmend_agent.sources._units import Unit, Units
from fsmend_agent.sources.btrfs_stats import BtrfsStatsSource, Reading, to_events
from fsmend_proto.v1 import event_pb2 as pb

CLOCKS = Clock("boot").now()
counter = st.integers(0, 2**40)
counters = st.tuples(counter, counter, counter, counter, counter)


def events_between(known, now):
    before = None if known is None else DeviceStats(2, *known)
    return list(to_events(before, DeviceStats(2, *now), Unit(None, None), CLOCKS))


def test_a_delta_is_split_into_io_and_content():
    io, content = events_between((1, 1, 1, 1, 1), (2, 4, 1, 11, 1))
    assert (io.kind, io.count) == (pb.EVENT_KIND_FS_IO_ERROR, 4)
    assert (io.btrfs_device.added.write_errors, io.btrfs_device.added.read_errors) == (1, 3)
    assert (content.kind, content.count) == (pb.EVENT_KIND_FS_DATA_CORRUPTION, 10)
    assert content.btrfs_device.total.corruption_errors == 11
    assert content.btrfs_device.devid == 2


def test_a_stale_generation_is_metadata():
    (event,) = events_between((0,) * 5, (0, 0, 0, 0, 1))
    assert event.kind == pb.EVENT_KIND_FS_METADATA_CORRUPTION


def test_the_first_reading_is_from_before_the_agent():
    (event,) = events_between(None, (0, 0, 0, 7, 0))
    assert (event.count, event.btrfs_device.before_agent, event.severity) == (1, True, pb.SEVERITY_WARNING)


def test_after_a_reset_everything_is_new():
    (event,) = events_between((0, 0, 0, 100, 0), (0, 0, 0, 3, 0))
    assert event.count == 3


@given(counters, counters)
def test_what_grew_is_told_exactly(known, grown):
    now = tuple(before + more for before, more in zip(known, grown, strict=True))
    assert sum(event.count for event in events_between(known, now)) == sum(grown)


@pytest.fixture
def take(make_stage, make_filesystem):
    filesystem = make_filesystem("u-1", "btrfs", ("loop0", "loop1"))
    stage = make_stage(filesystem)
    source, units = BtrfsStatsSource(stage.watch), Units(stage.watch)

    def take(reading):
        stage.events.clear()
        source._take(filesystem, reading, units)
        return list(stage.events)

    return take


def test_a_device_that_is_missing_is_told_once_and_again_when_it_is_back(take):
    told = [take(Reading(2, b"", is_missing, None)) for is_missing in (False, True, True, False)]
    assert [[event.kind for event in events] for events in told] == [
        [],
        [pb.EVENT_KIND_DEVICE_GONE],
        [],
        [pb.EVENT_KIND_DEVICE_ADDED],
    ]


def test_the_device_at_fault_is_named(take):
    take(Reading(2, b"/dev/loop1", False, DeviceStats(2, 0, 0, 0, 0, 0)))
    (event,) = take(Reading(2, b"/dev/loop1", False, DeviceStats(2, 0, 0, 0, 9, 0)))
    assert (event.device.name, event.filesystem.uuid, event.count) == ("loop1", "u-1", 9)


def test_a_capture_replays(make_stage):
    raw = struct.pack("=QQQ5Q", 2, 5, 0, 1, 2, 3, 4, 5).ljust(1032, b"\0")
    events = list(BtrfsStatsSource(make_stage().watch).replay(raw))
    assert [event.btrfs_device.added.corruption_errors for event in events] == [0, 4]


@given(raw=st.binary(max_size=64) | st.binary(min_size=64, max_size=64).map(lambda head: head.ljust(1032, b"\xff")))
def test_no_bytes_make_it_raise(make_stage, raw):
    for event in BtrfsStatsSource(make_stage().watch).replay(raw):
        assert event.SerializeToString()
