"""The table of mounted filesystems and what is read from a mount table."""

import asyncio
import dataclasses
import logging

import pytest

from fsmend_agent import filesystems
from fsmend_agent.filesystems import FilesystemTable, MountedFilesystem, follow, read_mounted

UUID = "a1f3c2d4-0000-4000-8000-000000000001"


def make(device="sda1", **changes):
    minor = sum(device.encode())
    return dataclasses.replace(
        MountedFilesystem(
            uuid=UUID,
            type="ext4",
            fsid="d9d2c35b6d803ed3",
            major=8,
            minor=minor,
            device_names=(device,),
            mount_points=(b"/srv/" + device.encode(),),
            read_only=False,
            options="rw",
            device_numbers=((8, minor),),
            fsids=("d9d2c35b6d803ed3",),
        ),
        **changes,
    )


def btrfs():
    return make(
        type="btrfs",
        major=0,
        minor=45,
        device_names=("sdb", "sdc"),
        device_numbers=((8, 16), (8, 32)),
        fsid="aa" * 8,
        fsids=("aa" * 8, "bb" * 8),
        mount_points=(b"/pool", b"/pool/home"),
    )


def test_a_filesystem_is_found_by_everything_it_is_called_by():
    one = make()
    table = FilesystemTable([one])
    assert table.by_uuid(UUID.upper()) is one
    assert table.by_fsid(one.fsid.upper()) is one
    assert table.by_device(one.major, one.minor) is one
    assert table.by_name("sda1") is one
    assert table.by_mount_point(b"/srv/sda1") is one
    assert list(table) == [one]


def test_what_is_not_mounted_is_not_found():
    table = FilesystemTable([make(uuid="", fsid="", fsids=())])
    assert table.by_uuid("") is None
    assert table.by_fsid("") is None
    assert table.by_uuid(UUID) is None
    assert table.by_name("sdz") is None
    assert table.by_device(1, 1) is None
    assert table.by_mount_point(b"/nowhere") is None


def test_a_btrfs_is_found_by_each_device_each_subvolume_and_its_own_number():
    one = btrfs()
    table = FilesystemTable([one])
    assert [table.by_device(8, 16), table.by_device(8, 32), table.by_device(0, 45)] == [one] * 3
    assert [table.by_name("sdb"), table.by_name("sdc")] == [one] * 2
    assert [table.by_fsid("aa" * 8), table.by_fsid("bb" * 8)] == [one] * 2


def test_clones_are_both_kept_and_neither_is_taken_for_the_other(caplog):
    original, clone = make("sda1"), make("sdb1")
    table = FilesystemTable([original])
    with caplog.at_level(logging.WARNING):
        table.update([original, clone])
    assert table.by_uuid(UUID) is None
    assert table.by_fsid(original.fsid) is None
    assert set(table.with_uuid(UUID)) == {original, clone}
    assert set(table.with_fsid(original.fsid)) == {original, clone}
    assert set(table.clones()[UUID]) == {original, clone}
    assert table.by_name("sda1") is original
    assert table.by_device(clone.major, clone.minor) is clone
    assert UUID in caplog.text


def test_a_clone_that_goes_away_leaves_the_original_findable():
    original = make("sda1")
    table = FilesystemTable([original, make("sdb1")])
    table.update([original])
    assert table.by_uuid(UUID) is original
    assert not table.clones()


def test_listeners_hear_what_came_and_what_went():
    old, new = make("sda1"), make("sdb1")
    table = FilesystemTable([old])
    heard = []
    unsubscribe = table.subscribe(lambda added, removed: heard.append((added, removed)))
    assert table.update([new])
    assert heard == [(frozenset({new}), frozenset({old}))]
    assert not table.update([new])
    assert len(heard) == 1
    unsubscribe()
    table.update([])
    assert len(heard) == 1


def test_listeners_see_the_table_as_it_is_now():
    table = FilesystemTable()
    seen = []
    table.subscribe(lambda _added, _removed: seen.append(table.by_uuid(UUID)))
    table.update([make()])
    assert seen == [make()]


def test_a_change_that_reads_the_same_is_told_when_marks_may_be_gone():
    table = FilesystemTable([make()])
    heard = []
    table.subscribe(lambda added, removed: heard.append((added, removed)))
    assert not table.update([make()], remounted=True)
    assert heard == [(frozenset(), frozenset())]


def test_a_filesystem_that_turned_read_only_is_removed_and_added():
    table = FilesystemTable([make()])
    heard = []
    table.subscribe(lambda added, removed: heard.append((added, removed)))
    table.update([make(read_only=True)])
    assert heard == [(frozenset({make(read_only=True)}), frozenset({make()}))]


def test_ref_names_the_first_device_and_mount_point():
    ref = btrfs().ref()
    assert (ref.device_name, ref.mount_point, ref.fsid) == ("sdb", b"/pool", "aa" * 8)
    assert make(device_names=(), mount_points=()).ref().device_name == ""


MOUNTINFO = rb"""22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 7999:1 / / rw,relatime - ext4 /dev/root rw,errors=continue
30 27 0:40 / /var/lib/merged rw - overlay overlay rw,lowerdir=/a,upperdir=/b
31 27 7999:2 / /data\040one rw shared:3 - xfs /dev/x rw,logbufs=8
32 27 7999:2 /sub /mnt/bind ro shared:3 - xfs /dev/x rw,logbufs=8
33 27 0:45 /@ /pool rw - btrfs /dev/nowhere rw,subvolid=256
34 27 0:45 /@home /pool/home rw - btrfs /dev/nowhere rw,subvolid=256
35 27 7999:3 / /media/usb rw - fuseblk /dev/y rw,user_id=0
36 27 7999:4 / /odd\012\377 rw - ext4 /dev/z ro,emergency_ro
37 27 0:99 / /nfs rw - nfs4 server:/x rw
"""


@pytest.fixture
def mountinfo(tmp_path):
    path = tmp_path / "mountinfo"
    path.write_bytes(MOUNTINFO)
    return path


def by_number(found):
    return {(one.major, one.minor): one for one in found}


def test_only_block_devices_and_btrfs_are_read(mountinfo):
    assert set(by_number(read_mounted(path=mountinfo))) == {(7999, 1), (7999, 2), (0, 45), (7999, 4)}


def test_bind_mounts_and_subvolumes_are_folded(mountinfo):
    found = by_number(read_mounted(path=mountinfo))
    assert found[7999, 2].mount_points == (b"/data one", b"/mnt/bind")
    assert found[0, 45].mount_points == (b"/pool", b"/pool/home")


def test_a_read_only_bind_mount_makes_no_filesystem_read_only(mountinfo):
    found = by_number(read_mounted(path=mountinfo))
    assert not found[7999, 2].read_only
    assert found[7999, 4].read_only


def test_a_mount_point_keeps_its_bytes(mountinfo):
    assert by_number(read_mounted(path=mountinfo))[7999, 4].mount_points == (b"/odd\n\xff",)


def test_a_filesystem_that_cannot_be_asked_is_listed_without_identity(mountinfo):
    one = by_number(read_mounted(path=mountinfo))[7999, 2]
    assert (one.uuid, one.fsid, one.device_names) == ("", "", ())
    assert one.options == "rw,logbufs=8"


def test_configured_mount_points_restrict_what_is_read(mountinfo):
    found = by_number(read_mounted([b"/mnt/bind"], mountinfo))
    assert set(found) == {(7999, 2)}
    assert found[7999, 2].mount_points == (b"/data one", b"/mnt/bind")


def test_a_line_that_is_no_mount_hides_no_other(mountinfo, caplog):
    mountinfo.write_bytes(b"nonsense\n" + MOUNTINFO)
    with caplog.at_level(logging.WARNING):
        assert len(read_mounted(path=mountinfo)) == 4
    assert "nonsense" in caplog.text


def test_open_mounted_refuses_what_is_mounted_no_more(mountinfo):
    with pytest.raises(FileNotFoundError):
        filesystems.open_mounted(make(), mountinfo)


def test_a_later_mount_over_the_same_path_is_not_taken_for_it(mountinfo):
    # The mount id of / in the fake table is certainly not that of this process's root.
    mountinfo.write_bytes(b"4000000 1 7999:1 / / rw - ext4 /dev/root rw\n")
    (one,) = read_mounted(path=mountinfo)
    assert (one.uuid, one.fsid) == ("", "")
    with pytest.raises(FileNotFoundError):
        filesystems.open_mounted(one, mountinfo)


async def test_follow_reads_again_without_being_told(monkeypatch):
    reads = iter([[make()], [make(read_only=True)], *[[make(read_only=True)]] * 100])
    monkeypatch.setattr(filesystems, "REREAD_SECONDS", 0.02)
    monkeypatch.setattr(filesystems, "read_mounted", lambda *_: next(reads))
    table = FilesystemTable()
    turned = asyncio.Event()
    table.subscribe(lambda added, _removed: turned.set() if any(one.read_only for one in added) else None)
    task = asyncio.create_task(follow(table))
    try:
        async with asyncio.timeout(5):
            await turned.wait()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert list(table) == [make(read_only=True)]


async def test_a_reading_that_fails_is_an_error_and_leaves_what_is_known(monkeypatch):
    def read(*_):
        if reads:
            return reads.pop()
        raise OSError(24, "Too many open files")

    reads = [[make()]]
    monkeypatch.setattr(filesystems, "REREAD_SECONDS", 0.02)
    monkeypatch.setattr(filesystems, "read_mounted", read)
    table = FilesystemTable()
    with pytest.raises(OSError, match="Too many open files"):
        await asyncio.wait_for(follow(table), 5)
    assert list(table) == [make()]


async def test_follow_cannot_know_what_happened_before_it_watched(monkeypatch):
    monkeypatch.setattr(filesystems, "read_mounted", lambda *_: [make()])
    table = FilesystemTable([make()])
    told = asyncio.Event()
    table.subscribe(lambda added, removed: None if added or removed else told.set())
    task = asyncio.create_task(follow(table))
    await asyncio.wait_for(told.wait(), 5)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_follow_says_when_there_is_no_mount_table(tmp_path):
    with pytest.raises(FileNotFoundError):
        await follow(FilesystemTable(), path=tmp_path / "missing")
