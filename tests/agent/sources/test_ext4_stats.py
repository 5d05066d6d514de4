"""Readings of ext4's counters become exact deltas."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsmend_agent.kernel.ext4 import ErrorCounters, ErrorPlace
from fsmend_agent.sources import ext4_stats
from fsmend_agent.sources._units import Units
from fsmend_agent.sources.ext4_stats import Ext4StatsSource, compare
from fsmend_proto.v1 import event_pb2 as pb

CAPTURE = b"""\
/sys/fs/ext4/loop0/errors_count:3
/sys/fs/ext4/loop0/first_error_time:1700000000
/sys/fs/ext4/loop0/last_error_time:1700000100
/sys/fs/ext4/loop0/last_error_ino:12
/sys/fs/ext4/loop0/last_error_block:77
/sys/fs/ext4/loop0/last_error_func:ext4_lookup
/sys/fs/ext4/loop0/last_error_line:1787
/sys/fs/ext4/loop0/last_error_errcode:5
/sys/fs/ext4/loop0/warning_count:2
/sys/fs/ext4/loop0/msg_count:9
"""


def place(time_seconds=1000, code="EFSCORRUPTED"):
    return ErrorPlace(time_seconds, 12, 0, "ext4_lookup", 1787, code)


def counters(count, first_seconds=1000):
    error = place(first_seconds) if count else None
    return ErrorCounters(count, 0, 0, error, error)


@pytest.mark.parametrize(
    ("known", "count", "first_seconds", "expected"),
    [
        (None, 0, 0, (0, True)),
        (None, 3, 900, (3, True)),
        (None, 3, 1000, (3, False)),  # the first error is younger than the watch
        (3, 3, 900, (0, False)),
        (3, 10, 900, (7, False)),
        (10, 2, 1500, (2, False)),  # e2fsck cleared the count meanwhile
    ],
)
def test_a_delta_is_exact(known, count, first_seconds, expected):
    assert compare(known, counters(count, first_seconds), since_seconds=1000) == expected


@given(st.lists(st.integers(0, 100), max_size=30))
def test_the_sum_of_deltas_is_what_was_counted(steps):
    total, known, told = 0, 0, 0
    for step in steps:
        total += step
        told += compare(known, counters(total), 0)[0]
        known = total
    assert told == total


def test_a_capture_replays(make_stage):
    (event,) = Ext4StatsSource(make_stage().watch).replay(CAPTURE)
    detail = event.ext4_counters
    assert (detail.errors_count, detail.warning_count, detail.msg_count, detail.before_agent) == (3, 2, 9, True)
    assert (detail.last.function, detail.last.line, detail.last.code, detail.last.code_name) == (
        "ext4_lookup",
        1787,
        5,
        "EFSCORRUPTED",
    )
    assert (event.kind, event.errno, event.count) == (pb.EVENT_KIND_FS_METADATA_CORRUPTION, 117, 1)
    assert event.inode.ino == 12


def test_no_errors_are_no_event(make_stage):
    assert list(Ext4StatsSource(make_stage().watch).replay(b"errors_count:0\n")) == []


@given(raw=st.binary(max_size=200))
def test_no_bytes_make_it_raise(make_stage, raw):
    for event in Ext4StatsSource(make_stage().watch).replay(raw):
        assert event.SerializeToString()


@given(name=st.sampled_from(CAPTURE.split(b"\n")[:-1]), value=st.binary(max_size=40))
def test_no_value_makes_it_raise(make_stage, name, value):
    raw = CAPTURE.replace(name, name.split(b":")[0] + b":" + value)
    for event in Ext4StatsSource(make_stage().watch).replay(raw):
        assert event.SerializeToString()


async def test_it_reads_at_once_after_a_poke_and_names_the_filesystem(make_stage, make_filesystem, monkeypatch):
    count = 0
    monkeypatch.setattr(ext4_stats.ext4, "error_counters", lambda _name: counters(count, 2**40))
    filesystem = make_filesystem()
    stage = make_stage(filesystem)
    source = Ext4StatsSource(stage.watch)
    task = asyncio.create_task(source.run())
    await asyncio.sleep(0.05)
    (first,) = stage.events
    assert (first.kind, first.severity) == (pb.EVENT_KIND_FS_HEALTHY, pb.SEVERITY_INFO)
    count = 5
    source.poke(filesystem.uuid)
    async with asyncio.timeout(5):
        while len(stage.events) < 2:  # noqa: ASYNC110  a list has no event
            await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.wait({task})
    event = stage.events[1]
    assert (event.count, event.ext4_counters.new_errors, event.others_unknown) == (5, 5, True)
    assert (event.filesystem.uuid, event.device.name) == (filesystem.uuid, "loop0")


async def looks(make_stage, monkeypatch, counts, *filesystems):
    """Return the events of one look after the other."""
    stage = make_stage(*filesystems)
    source, units = Ext4StatsSource(stage.watch), Units(stage.watch)
    for count in counts:
        monkeypatch.setattr(ext4_stats.ext4, "error_counters", lambda _name, count=count: counters(count, 2**40))
        await source._look(filesystems[0], units)
    units.close()
    return stage.events


async def test_a_counter_that_falls_to_zero_is_the_proof_that_all_is_well(make_stage, make_filesystem, monkeypatch):
    events = await looks(make_stage, monkeypatch, [3, 0, 0], make_filesystem())
    assert [event.kind for event in events] == [pb.EVENT_KIND_FS_METADATA_CORRUPTION, pb.EVENT_KIND_FS_HEALTHY]
    assert events[1].HasField("ext4_counters")
    assert (events[1].ext4_counters.errors_count, events[1].severity) == (0, pb.SEVERITY_NOTICE)
    assert events[1].filesystem.uuid == events[0].filesystem.uuid


async def test_a_counter_that_fell_and_grew_again_is_no_proof(make_stage, make_filesystem, monkeypatch):
    events = await looks(make_stage, monkeypatch, [3, 2], make_filesystem())
    assert [(event.kind, event.count) for event in events] == [
        (pb.EVENT_KIND_FS_METADATA_CORRUPTION, 3),
        (pb.EVENT_KIND_FS_METADATA_CORRUPTION, 2),
    ]


async def test_a_clone_without_errors_proves_nothing_of_its_original(make_stage, make_filesystem, monkeypatch):
    clone = make_filesystem(names=("loop1",), minor=1, mount_points=(b"/clone",))
    events = await looks(make_stage, monkeypatch, [0], clone, make_filesystem())
    assert events == []
