"""The mount table: real lines, escapes, hostile bytes."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsmend_agent.errors import DecodeError
from fsmend_agent.kernel import mounts

EXT4 = b"36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 shared:7 - ext4 /dev/root rw,errors=continue\n"
BTRFS = b"50 27 0:45 /@home /home rw,relatime - btrfs /dev/sda2 rw,space_cache=v2,subvolid=257,subvol=/@home\n"


def decode_all(data):
    """Return the mounts, and what the DecodeError kept."""
    found = []
    try:
        found.extend(mounts.decode(data))
    except DecodeError as error:
        return found, error.raw
    return found, b""


def test_a_line_is_taken_apart():
    (mount,) = mounts.decode(EXT4)
    assert mount == mounts.Mount(
        mount_id=36,
        parent_id=35,
        major=98,
        minor=0,
        root=b"/mnt1",
        mount_point=b"/mnt2",
        fs_type="ext4",
        source=b"/dev/root",
        options=(b"rw", b"noatime"),
        super_options=(b"rw", b"errors=continue"),
        read_only=False,
    )


def test_lines_without_optional_fields_are_read():
    (mount,) = mounts.decode(BTRFS)
    assert (mount.root, mount.fs_type, mount.major) == (b"/@home", "btrfs", 0)
    assert b"subvolid=257" in mount.super_options


def test_names_are_unescaped():
    line = rb"1 2 3:4 / /a\040b\011c\012d\134040\043 rw - ext4 /dev/x\040y rw" + b"\n"
    (mount,) = mounts.decode(line)
    assert mount.mount_point == b"/a b\tc\nd\\040#"
    assert mount.source == b"/dev/x y"


@pytest.mark.parametrize(("options", "super_options"), [(b"ro", b"rw"), (b"rw", b"ro")])
def test_either_side_makes_a_mount_read_only(options, super_options):
    (mount,) = mounts.decode(b"1 2 3:4 / /m %s - ext4 /dev/x %s\n" % (options, super_options))
    assert mount.read_only


def test_bad_lines_are_kept_and_hide_no_good_ones():
    found, raw = decode_all(b"nonsense\n" + EXT4 + b"1 2 3 / / rw - ext4\n" + BTRFS)
    assert [mount.mount_id for mount in found] == [36, 50]
    assert raw == b"nonsense\n1 2 3 / / rw - ext4\n"


def test_this_machines_table_is_read():
    table = mounts.read()
    assert any(mount.mount_point == b"/" for mount in table)
    assert len({mount.mount_id for mount in table}) == len(table)


def test_the_fsid_of_a_path_is_sixteen_digits(tmp_path):
    assert mounts.fsid(tmp_path) == mounts.fsid(os.fsencode(tmp_path))
    assert len(bytes.fromhex(mounts.fsid(tmp_path))) == 8


def test_an_unchanged_table_does_not_wake():
    watcher = mounts.MountTableWatcher()
    try:
        assert watcher.fileno() >= 0
        # Others may mount meanwhile; ten changes in a row would be a watcher that always wakes.
        assert not all(watcher.changed() for _ in range(10))
    finally:
        watcher.close()


@given(st.binary(max_size=200))
def test_random_bytes_decode_or_are_kept_raw(data):
    found, raw = decode_all(data)
    assert len(found) + raw.count(b"\n") == sum(1 for line in data.split(b"\n") if line)


@given(st.binary(max_size=40).filter(lambda name: b"\0" not in name))
def test_any_name_comes_back_as_it_was(name):
    escaped = b"".join(b"\\%03o" % byte if byte in b" \t\n\\#" else bytes([byte]) for byte in name)
    (mount,) = mounts.decode(b"1 2 3:4 / /%s rw - ext4 /dev/x rw\n" % escaped)
    assert mount.mount_point == b"/" + name
