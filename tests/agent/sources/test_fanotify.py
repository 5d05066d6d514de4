"""FAN_FS_ERROR records become events."""

import asyncio
import errno
import os
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsmend_agent.kernel import fanotify
from fsmend_agent.sources import fanotify as room
from fsmend_agent.sources._paths import PathResolver
from fsmend_agent.sources._units import Units
from fsmend_agent.sources.fanotify import FanotifySource
from fsmend_proto.v1 import event_pb2 as pb
from fsmend_proto.v1 import record_pb2

ONE_INODE = bytes.fromhex(
    "40000000030018000080000000000000ffffffff8a18000001001c00d9d2c35b6d803ed308000000010000000c000000"
    "ea65072705000c004a00000001000000"
)
TWO_ERRORS = bytes.fromhex(
    "40000000030018000080000000000000ffffffff1f54000001001c0052d1f19aafdea29e08000000010000000d000000"
    "746e3bca05000c007500000002000000"
)
SUPERBLOCK = bytes.fromhex(
    "38000000030018000080000000000000ffffffffde090000010014005202a2efb418871d00000000ff00000005000c007500000001000000"
)


def test_an_inode_of_a_known_filesystem(make_stage, make_filesystem):
    (event,) = FanotifySource(make_stage(make_filesystem()).watch).replay(ONE_INODE)
    assert (event.errno, event.count, event.others_unknown) == (errno.EBADMSG, 1, False)
    assert event.kind == pb.EVENT_KIND_FS_METADATA_CORRUPTION
    assert (event.inode.ino, event.inode.generation, event.inode.generation_known) == (12, 0x270765EA, True)
    assert event.filesystem.uuid == "11111111-1111-1111-1111-111111111111"
    assert (event.device.name, event.device.diskseq) == ("loop0", 1)
    assert (event.fanotify.pid, event.fanotify.handle_type, event.fanotify.handle) == (0x188A, 1, ONE_INODE[44:52])


def test_an_unknown_filesystem_keeps_at_least_its_fsid(make_stage):
    (event,) = FanotifySource(make_stage().watch).replay(ONE_INODE)
    assert (event.filesystem.fsid, event.filesystem.uuid) == ("d9d2c35b6d803ed3", "")


def test_merged_errors_count_and_widen(make_stage):
    (event,) = FanotifySource(make_stage().watch).replay(TWO_ERRORS)
    assert (event.count, event.others_unknown, event.errno, event.inode.ino) == (2, True, errno.EUCLEAN, 13)


@pytest.mark.parametrize(("monitored", "cloned"), [(True, False), (False, False), (True, True)])
async def test_merged_errors_of_an_xfs_are_named_by_its_own_monitor(make_stage, make_filesystem, monitored, cloned):
    filesystem = make_filesystem(fsid="52d1f19aafdea29e")
    original = make_filesystem(names=("loop1",), mount_points=(b"/original",))
    stage = make_stage(filesystem, *[original] * cloned)
    if monitored:
        stage.watch.xfs_monitored.add(filesystem.uuid)
    source, paths, units = FanotifySource(stage.watch), PathResolver(stage.watch.emit), Units(stage.watch)
    for record in fanotify.decode(TWO_ERRORS):
        source._send(record, units, stage.watch.clock.now(), paths)
    paths.close()
    (event,) = stage.events
    assert (event.count, event.others_unknown) == (2, cloned or not monitored)


def test_an_error_of_the_superblock_names_no_inode(make_stage):
    (event,) = FanotifySource(make_stage().watch).replay(SUPERBLOCK)
    assert event.fanotify.superblock
    assert not event.HasField("inode")


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.EUCLEAN, "FS_METADATA_CORRUPTION"),
        (errno.EBADMSG, "FS_METADATA_CORRUPTION"),
        (errno.EIO, "FS_IO_ERROR"),
        (errno.ENOSPC, "FS_SPACE"),
        (errno.ESHUTDOWN, "FS_SHUTDOWN"),
        (errno.EROFS, "FS_READ_ONLY"),
        (errno.ENOMEM, "FS_ERROR"),
        (-errno.EIO, "FS_IO_ERROR"),
        (-(2**31), "FS_ERROR"),
    ],
)
def test_the_errno_tells_the_kind(make_stage, number, kind):
    raw = ONE_INODE[:56] + struct.pack("=iI", number, 1)
    (event,) = FanotifySource(make_stage().watch).replay(raw)
    assert pb.EventKind.Name(event.kind) == f"EVENT_KIND_{kind}"


def test_the_signature_is_the_same_for_every_inode_and_another_for_every_errno(make_stage):
    source = FanotifySource(make_stage().watch)
    other_inode = ONE_INODE[:44] + struct.pack("=II", 99, 1) + ONE_INODE[52:]
    other_errno = ONE_INODE[:56] + struct.pack("=iI", 5, 1)
    first, second, third = (next(source.replay(raw)).signature for raw in (ONE_INODE, other_inode, other_errno))
    assert first == second != third


def test_good_records_before_damage_are_kept(make_stage):
    good, bad = FanotifySource(make_stage().watch).replay(ONE_INODE + b"\x01")
    assert good.inode.ino == 12
    assert bad.undecoded.raw == b"\x01"


@given(raw=st.binary(max_size=200))
def test_no_bytes_make_it_raise(make_stage, raw):
    for event in FanotifySource(make_stage().watch).replay(raw):
        assert event.SerializeToString()


@given(at=st.integers(0, 127), damage=st.binary(min_size=1, max_size=8))
def test_no_damage_to_records_makes_it_raise(make_stage, at, damage):
    raw = ONE_INODE + TWO_ERRORS
    raw = raw[:at] + damage + raw[at + len(damage) :]
    for event in FanotifySource(make_stage().watch).replay(raw):
        assert event.SerializeToString()


def test_a_filesystem_that_may_not_be_watched_is_told_once_until_it_may(make_stage, make_filesystem, monkeypatch):
    def mark(*_):
        if not answers.pop(0):
            raise PermissionError(errno.EPERM, "no")

    answers = [False, False, True, False]
    monkeypatch.setattr(room.fanotify, "mark_filesystem", mark)
    stage = make_stage(make_filesystem())
    source = FanotifySource(stage.watch)
    while answers:
        source._mark(-1, make_filesystem())
    assert [gap.reason for gap in stage.gaps] == [record_pb2.GAP_REASON_NOT_WATCHED] * 2


async def test_a_fault_of_its_own_ends_the_source(make_stage, monkeypatch):
    read_end, write_end = os.pipe2(os.O_NONBLOCK)
    os.write(write_end, ONE_INODE)
    monkeypatch.setattr(room.fanotify, "init", lambda: read_end)
    monkeypatch.setattr(room.fanotify, "decode", lambda _data: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        await asyncio.wait_for(FanotifySource(make_stage().watch).run(), 5)
    os.close(write_end)
