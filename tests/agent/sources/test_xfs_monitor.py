"""Events of the health monitor, from constructed bytes through a pipe in the kernel's place."""

import asyncio
import errno
import os
import struct
import threading
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsmend_agent.config import SourcesConfig
from fsmend_agent.devices import DeviceTable
from fsmend_agent.event import Clock
from fsmend_agent.filesystems import FilesystemTable, MountedFilesystem
from fsmend_agent.kernel.xfs_health import HealthDomain
from fsmend_agent.sources import SourceUnavailableError, Watch, xfs_monitor
from fsmend_agent.sources._xfs_poll import Change, Place, Poll
from fsmend_agent.sources.xfs_health import XfsHealthSource
from fsmend_agent.sources.xfs_monitor import XfsMonitorSource, lost_in
from fsmend_proto.v1 import event_pb2 as pb

UUID = "0f5ac0de-1111-4222-8333-000000000001"
XFS = MountedFilesystem(UUID, "xfs", "00", 7, 9, ("loop9",), (b"/data",), read_only=False, options="")
WALL_NS = 1_700_000_000 * 10**9


def record(domain, event_type, union=b"", time_ns=WALL_NS):
    return struct.pack("=IIQ32s16x", domain, event_type, time_ns, union)


SICK_AG = record(2, 3, struct.pack("=II", 0x10, 3))
HEALTHY_AG = record(2, 5, struct.pack("=II", 0x10, 3))


class Seen:
    def __init__(self):
        self.events, self.gaps = [], []
        self.watch = Watch(
            SourcesConfig(), Clock(), FilesystemTable([XFS]), DeviceTable(), self.events.append, self.gaps.append
        )

    async def until(self, condition):
        async with asyncio.timeout(5):
            while not (answer := condition()):  # noqa: ASYNC110  anything may be waited for
                await asyncio.sleep(0.005)
        return answer


@pytest.fixture
def seen():
    return Seen()


def replay(data):
    return list(XfsMonitorSource(Seen().watch).replay(data))


@asynccontextmanager
async def monitoring(seen, monkeypatch, poll_finds=()):
    """Run the source over a pipe; `write` puts the kernel's bytes in. A poll finds `poll_finds`."""
    read_end, write_end = os.pipe()
    os.set_blocking(read_end, False)
    polls = []

    def look(_filesystem, poll, send, *, everything):
        polls.append(everything)
        poll.next_inode = None
        for change in poll_finds:
            send(change)

    opened = [read_end]
    monkeypatch.setattr(xfs_monitor, "look", look)
    monkeypatch.setattr(xfs_monitor, "open_monitor", lambda _filesystem: opened.pop())
    task = asyncio.create_task(XfsMonitorSource(seen.watch).run())
    await seen.until(lambda: polls)
    try:
        yield write_end, polls
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        with suppress(OSError):
            os.close(write_end)


@pytest.mark.parametrize("event_type", [3, 4])
def test_sick_and_corrupt_metadata_become_events_with_the_bits_named(event_type):
    (event,) = replay(record(2, event_type, struct.pack("=II", 0x30, 3)))
    assert (event.source, event.kind, event.severity) == (
        "xfs_monitor",
        pb.EVENT_KIND_FS_METADATA_CORRUPTION,
        pb.SEVERITY_ERROR,
    )
    assert (event.xfs_health.scope, event.xfs_health.number) == (pb.XFS_SCOPE_AG, 3)
    assert list(event.xfs_health.sick_names) == ["bnobt", "cntbt"]
    assert event.clocks.wall_ns == WALL_NS


def test_healthy_closes_what_was_sick_and_says_nothing_otherwise():
    assert [one.kind for one in replay(SICK_AG + HEALTHY_AG)] == [
        pb.EVENT_KIND_FS_METADATA_CORRUPTION,
        pb.EVENT_KIND_FS_HEALTHY,
    ]
    assert replay(HEALTHY_AG) == []


def test_the_same_finding_is_told_once():
    assert len(replay(SICK_AG * 3)) == 1


def test_an_inode_comes_with_generation():
    (event,) = replay(record(3, 3, struct.pack("=IIQ", 0x10, 7, 131)))
    assert (event.inode.ino, event.inode.generation, list(event.xfs_health.sick_names)) == (131, 7, ["dir"])


def test_a_shutdown_names_its_reasons():
    (event,) = replay(record(0, 6, struct.pack("=I", 0b10001)))
    assert (event.kind, event.severity) == (pb.EVENT_KIND_FS_SHUTDOWN, pb.SEVERITY_CRITICAL)
    assert list(event.xfs_monitor.names) == ["meta_io_error", "corrupt_ondisk"]


def test_a_media_error_names_its_sectors():
    (event,) = replay(record(5, 7, struct.pack("=QQ", 2048, 8)))
    assert event.kind == pb.EVENT_KIND_DEVICE_MEDIUM_ERROR
    assert (event.sectors.start, event.sectors.count) == (2048, 8)


@pytest.mark.parametrize(("event_type", "word"), [(8, "buffered read"), (11, "direct write"), (12, "data lost")])
def test_a_file_io_error_names_file_and_range(event_type, word):
    (event,) = replay(record(8, event_type, struct.pack("=QQQII", 4096, 512, 131, 7, errno.EIO)))
    assert (event.kind, event.errno, event.inode.ino) == (pb.EVENT_KIND_FS_IO_ERROR, errno.EIO, 131)
    assert (event.xfs_monitor.position_bytes, event.xfs_monitor.length_bytes) == (4096, 512)
    assert event.message.startswith(word)


def test_what_cannot_be_decoded_is_kept_behind_what_can():
    events = replay(SICK_AG + record(99, 3))
    assert [one.kind for one in events] == [pb.EVENT_KIND_FS_METADATA_CORRUPTION, pb.EVENT_KIND_UNDECODED]


@given(st.binary(max_size=640))
def test_random_bytes_become_events_or_are_kept(data):
    for event in replay(data):
        assert event.SerializeToString()


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 13), st.binary(min_size=32, max_size=32)), max_size=8))
def test_any_union_of_any_kind_becomes_events(rows):
    for event in replay(b"".join(record(*row, time_ns=2**64 - 1) for row in rows)):
        assert event.source == "xfs_monitor"
        assert event.SerializeToString()


async def test_events_of_a_mount_name_the_filesystem(seen, monkeypatch):
    async with monitoring(seen, monkeypatch) as (kernel, _):
        os.write(kernel, SICK_AG)
        await seen.until(lambda: seen.events)
    assert seen.events[0].filesystem.uuid == UUID


async def test_what_was_sick_before_is_read_once_and_not_told_twice(seen, monkeypatch):
    before = Change(Place(HealthDomain.AG, 3), 0x10, 0x10, 0x10, 0)
    seen.watch.xfs_polls[UUID] = Poll({before.place: 0x10})
    async with monitoring(seen, monkeypatch, [before]) as (kernel, _):
        os.write(kernel, SICK_AG)
        await asyncio.sleep(0.05)
    assert [(one.source, one.xfs_health.number) for one in seen.events] == [("xfs_monitor", 3)]


async def test_a_loss_becomes_a_gap_and_everything_is_read_again(seen, monkeypatch):
    async with monitoring(seen, monkeypatch) as (kernel, polls):
        os.write(kernel, record(0, 1, struct.pack("=Q", 17)))
        await seen.until(lambda: len(polls) == 2)
    assert [(gap.lost, gap.lost_is_exact, gap.source) for gap in seen.gaps] == [(17, True, "xfs_monitor")]


async def test_an_unmount_ends_the_monitor_and_gives_the_mount_back(seen, monkeypatch):
    async with monitoring(seen, monkeypatch) as (kernel, _):
        assert seen.watch.xfs_monitored == {UUID}
        os.write(kernel, record(0, 2))
        await seen.until(lambda: not seen.watch.xfs_monitored)


async def test_a_monitor_that_ends_gives_the_mount_back(seen, monkeypatch):
    async with monitoring(seen, monkeypatch) as (kernel, _):
        os.close(kernel)
        await seen.until(lambda: not seen.watch.xfs_monitored)


async def test_a_mount_that_xfs_healer_has_is_left_to_it_and_polled(seen, monkeypatch):
    def refuse(_filesystem):
        raise OSError(errno.EEXIST, "exists")

    monkeypatch.setattr(xfs_monitor, "open_monitor", refuse)
    task = asyncio.create_task(XfsMonitorSource(seen.watch).run())
    await seen.until(lambda: seen.events)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    (event,) = seen.events
    assert "xfs_healer" in event.message
    assert (event.severity, event.filesystem.uuid) == (pb.SEVERITY_INFO, UUID)
    assert seen.watch.xfs_monitored == set()


async def test_what_is_known_of_a_mount_goes_with_it(seen, monkeypatch):
    def refuse(_filesystem):
        raise OSError(errno.EEXIST, "exists")

    forgotten = []
    monkeypatch.setattr(xfs_monitor, "open_monitor", refuse)
    monkeypatch.setattr(xfs_monitor.PathResolver, "forget", lambda _self: forgotten.append(1))
    task = asyncio.create_task(XfsMonitorSource(seen.watch).run())
    await seen.until(lambda: len(seen.events) == 1)
    seen.watch.filesystems.update([])
    assert forgotten == [1]
    seen.watch.filesystems.update([XFS])
    await seen.until(lambda: len(seen.events) == 2)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_an_older_kernel_is_told_as_such(seen, monkeypatch):
    def refuse(_filesystem):
        raise OSError(errno.ENOTTY, "no")

    monkeypatch.setattr(xfs_monitor, "open_monitor", refuse)
    with pytest.raises(SourceUnavailableError, match="health is polled"):
        await XfsMonitorSource(seen.watch).run()


async def test_what_is_monitored_is_not_polled(seen, monkeypatch):
    looked = []
    monkeypatch.setattr("fsmend_agent.sources.xfs_health.look", lambda *_args, **_kwargs: looked.append(1))
    seen.watch.xfs_monitored.add(UUID)
    task = asyncio.create_task(XfsHealthSource(seen.watch).run())
    await asyncio.sleep(0.1)
    assert looked == []
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_losses_that_the_descriptor_told_before_their_event_are_counted_once(seen, monkeypatch):
    monkeypatch.setattr(xfs_monitor, "RETRY_SECONDS", 0.01)
    monkeypatch.setattr(xfs_monitor, "lost_in", lambda _fdinfo: asked.append(total) or total)
    total, asked = 5, []
    async with monitoring(seen, monkeypatch) as (kernel, _):
        await seen.until(lambda: seen.gaps)
        os.write(kernel, record(0, 1, struct.pack("=Q", 5)) + SICK_AG)
        await seen.until(lambda: seen.events)
        total = 7  # two more, whose event is not queued yet
        await seen.until(lambda: asked.count(7) == 2)
    assert sum(gap.lost for gap in seen.gaps) == 7


async def test_a_mount_that_goes_during_the_walk_holds_up_no_other(seen, monkeypatch):
    def gone_in_the_middle(_filesystem, poll, _send, *, everything):
        poll.next_inode = 4096  # as where nothing can be opened any more

    other = replace(XFS, uuid=UUID[:-1] + "2", fsid="01", mount_points=(b"/other",))
    pipes = [os.pipe(), os.pipe()]
    ends = iter(pipes)
    monkeypatch.setattr(xfs_monitor, "look", gone_in_the_middle)
    monkeypatch.setattr(xfs_monitor, "open_monitor", lambda _filesystem: next(ends)[0])
    seen.watch = replace(seen.watch, filesystems=FilesystemTable([XFS, other]))
    task = asyncio.create_task(XfsMonitorSource(seen.watch).run())
    await seen.until(lambda: seen.watch.xfs_monitored == {UUID, other.uuid})
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    for _read_end, write_end in pipes:
        os.close(write_end)


async def test_losses_during_the_walk_begin_no_walk_beside_it(seen, monkeypatch):
    monkeypatch.setattr(xfs_monitor, "WALK_SECONDS", 0.01)
    async with monitoring(seen, monkeypatch) as (kernel, polls):
        at_once, most, begun = [], [], []

        def slow(_filesystem, poll, _send, *, everything):
            at_once.append(1)
            most.append(len(at_once))
            begun.append(everything)
            release.wait(5)
            poll.next_inode = None
            at_once.pop()

        release = threading.Event()
        monkeypatch.setattr(xfs_monitor, "look", slow)
        os.write(kernel, record(0, 1, struct.pack("=Q", 1)))
        await seen.until(lambda: begun)
        os.write(kernel, record(0, 1, struct.pack("=Q", 1)) * 20 + SICK_AG)
        await seen.until(lambda: seen.events)
        release.set()
        await seen.until(lambda: len(begun) == 2 and not at_once)
        await asyncio.sleep(0.1)
    assert (begun, max(most)) == ([True, True], 1)
    assert polls == [True]


def test_the_descriptor_itself_tells_losses():
    assert lost_in(b"pos:\t0\nflags:\t02\nlost:\t42\n") == 42
    assert lost_in(b"pos:\t0\n") == 0
