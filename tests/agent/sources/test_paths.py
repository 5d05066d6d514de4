"""Paths are found in a thread, and nothing waits for a disk that hangs."""

import asyncio
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsmend_agent.sources import _paths
from fsmend_agent.sources._paths import PathResolver, Wanted, below
from fsmend_proto.v1 import event_pb2 as pb


@pytest.mark.parametrize(
    ("path", "mount_point", "expected"),
    [
        (b"/mnt/a/b", b"/mnt", b"a/b"),
        (b"/mnt", b"/mnt", b"."),
        (b"/a", b"/", b"a"),
        (b"/", b"/", b"."),
        (b"/", b"/mnt", b""),
        (b"/mnt2/a", b"/mnt", b""),
        (None, b"/mnt", b""),
        (b"/mnt/\xff\n", b"/mnt", b"\xff\n"),
    ],
)
def test_a_path_is_told_below_its_mount_point(path, mount_point, expected):
    assert below(path, mount_point) == expected


@given(st.none() | st.binary(), st.binary())
def test_no_path_makes_it_raise(path, mount_point):
    assert isinstance(below(path, mount_point), bytes)


@pytest.fixture
def wanted(make_filesystem):
    filesystem = make_filesystem()
    return lambda number: Wanted(pb.Event(count=number), filesystem, 1, number.to_bytes(8, "little"))


async def settle(sent, number):
    async with asyncio.timeout(5):
        while len(sent) < number:  # noqa: ASYNC110  a list has no event
            await asyncio.sleep(0.005)


async def test_events_come_out_in_order_with_their_paths(monkeypatch, wanted):
    asked = []

    def resolve(batch):
        asked.extend(batch)
        return [b"path %d" % one.event.count for one in batch]

    monkeypatch.setattr(_paths, "resolve_all", resolve)
    sent = []
    resolver = PathResolver(sent.append)
    for number in range(100):
        resolver.add(wanted(number))
    await settle(sent, 100)
    assert [event.inode.path for event in sent] == [b"path %d" % number for number in range(100)]
    resolver.add(wanted(7))
    assert sent[-1].inode.path == b"path 7"
    assert len(asked) == 100
    resolver.close()


async def test_a_disk_that_hangs_holds_nothing_for_long(monkeypatch, wanted):
    monkeypatch.setattr(_paths, "PATIENCE_SECONDS", 0.05)
    go_on, sent = threading.Event(), []
    monkeypatch.setattr(_paths, "resolve_all", lambda batch: go_on.wait(5) and [b"late"] * len(batch))
    resolver = PathResolver(sent.append)
    for number in range(100):
        resolver.add(wanted(number))
    await settle(sent, 100)
    resolver.add(wanted(100))
    assert len(sent) == 101
    assert not any(event.inode.path for event in sent)
    go_on.set()
    resolver.close()


async def test_a_report_that_the_search_itself_causes_leads_to_no_other_search(monkeypatch, wanted):
    loop, sent, searches = asyncio.get_running_loop(), [], []

    def reads_the_broken_directory(batch):
        searches.extend(batch)
        loop.call_soon_threadsafe(resolver.add, wanted(1))
        return [b""] * len(batch)

    monkeypatch.setattr(_paths, "resolve_all", reads_the_broken_directory)
    resolver = PathResolver(sent.append)
    resolver.add(wanted(1))
    await settle(sent, 2)
    resolver.add(wanted(1))
    await asyncio.sleep(0.1)
    assert (len(sent), len(searches)) == (3, 1)
    resolver.close()


async def test_more_broken_inodes_than_are_remembered_lead_to_no_endless_search(monkeypatch, wanted):
    loop, sent, searches = asyncio.get_running_loop(), [], []

    def reads_the_broken_directories(batch):
        searches.extend(batch)
        for one in batch if len(searches) < 400 else []:
            loop.call_soon_threadsafe(resolver.add, wanted(one.event.count))
        return [b""] * len(batch)

    monkeypatch.setattr(_paths, "resolve_all", reads_the_broken_directories)
    monkeypatch.setattr(_paths, "KEEP_PATHS", 8)
    resolver = PathResolver(sent.append)
    for number in range(40):
        resolver.add(wanted(number))
    await settle(sent, 80)
    await asyncio.sleep(0.1)
    assert (len(sent), len(searches)) == (80, 40)
    resolver.close()


async def test_what_had_no_path_is_asked_for_again_later(monkeypatch, wanted):
    answers = iter([[b""], [b"found"]])
    monkeypatch.setattr(_paths, "resolve_all", lambda _batch: next(answers))
    monkeypatch.setattr(_paths, "FAILED_SECONDS", 0.05)
    sent = []
    resolver = PathResolver(sent.append)
    resolver.add(wanted(1))
    await settle(sent, 1)
    await asyncio.sleep(0.1)
    resolver.add(wanted(1))
    await settle(sent, 2)
    assert [event.inode.path for event in sent] == [b"", b"found"]
    resolver.close()


async def test_a_storm_goes_on_without_paths_and_loses_nothing(monkeypatch, wanted):
    monkeypatch.setattr(_paths, "resolve_all", lambda batch: [b"path"] * len(batch))
    sent = []
    resolver = PathResolver(sent.append)
    for number in range(_paths.MAX_WAITING + 100):
        resolver.add(wanted(number))
    assert len(sent) == 100
    resolver.close()
    assert sorted(event.count for event in sent) == list(range(_paths.MAX_WAITING + 100))


def test_a_filesystem_that_is_gone_gives_no_path(make_filesystem, tmp_path):
    gone = make_filesystem(fsid="00" * 8, mount_points=(str(tmp_path).encode(), b"/no/such/place"))
    assert _paths.resolve_all([Wanted(pb.Event(), gone, 1, bytes(8))]) == [b""]
