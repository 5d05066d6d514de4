"""UUIDs and features from superblocks."""

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsmend_agent import superblock

UUID = uuid.UUID("a1f3c2d4-1111-4000-8000-000000000001")


def ext4_head(compat=0x4, incompat=0x2C2, ro_compat=0x46B):
    head = bytearray(superblock.READ_BYTES)
    head[1024 + 0x38 : 1024 + 0x3A] = b"\x53\xef"
    head[1024 + 0x5C : 1024 + 0x60] = compat.to_bytes(4, "little")
    head[1024 + 0x60 : 1024 + 0x64] = incompat.to_bytes(4, "little")
    head[1024 + 0x64 : 1024 + 0x68] = ro_compat.to_bytes(4, "little")
    head[1024 + 0x68 : 1024 + 0x78] = UUID.bytes
    return bytes(head)


def head_with(magic, magic_at, uuid_at):
    head = bytearray(superblock.READ_BYTES)
    head[magic_at : magic_at + len(magic)] = magic
    head[uuid_at : uuid_at + 16] = UUID.bytes
    return bytes(head)


@pytest.mark.parametrize(
    ("fs_type", "head"),
    [
        ("ext4", ext4_head()),
        ("ext3", ext4_head()),
        ("xfs", head_with(b"XFSB", 0, 32)),
        ("btrfs", head_with(b"_BHRfS_M", 0x10040, 0x10020)),
        ("f2fs", head_with(b"\x10\x20\xf5\xf2", 1024, 1132)),
    ],
)
def test_the_uuid_is_found(fs_type, head):
    assert superblock.decode_uuid(fs_type, head) == str(UUID)


def test_another_type_or_a_nil_uuid_gives_none():
    assert superblock.decode_uuid("xfs", ext4_head()) == ""
    assert superblock.decode_uuid("vfat", ext4_head()) == ""
    assert superblock.decode_uuid("ext4", ext4_head().replace(UUID.bytes, bytes(16))) == ""


@given(st.binary(max_size=2100), st.sampled_from(["ext4", "xfs", "btrfs", "f2fs", "vfat"]))
def test_no_bytes_make_an_error(head, fs_type):
    found = superblock.decode_uuid(fs_type, head)
    assert found == "" or uuid.UUID(found)
    assert isinstance(superblock.decode_ext_features(head), list)


def test_ext4_features_have_the_names_of_mke2fs():
    assert superblock.decode_ext_features(ext4_head()) == ["has_journal", "extents", "64bit", "metadata_csum"]
    assert superblock.decode_ext_features(ext4_head(0, 0, 0)) == []
    assert superblock.decode_ext_features(head_with(b"XFSB", 0, 32)) == []


def test_the_device_is_read(tmp_path):
    (tmp_path / "sda1").write_bytes(ext4_head())
    assert superblock.read_uuid("ext4", "sda1", tmp_path / "by-uuid", tmp_path) == str(UUID)
    assert "metadata_csum" in superblock.read_ext_features("sda1", tmp_path)


def test_the_links_of_udev_are_asked_when_the_device_may_not_be_read(tmp_path):
    (tmp_path / "sda1").mkdir()  # cannot be read, even by root
    (tmp_path / "by-uuid").mkdir()
    (tmp_path / "by-uuid" / "ABCD-1234").symlink_to("../sdb1")
    (tmp_path / "by-uuid" / str(UUID)).symlink_to("../sda1")
    assert superblock.read_uuid("ext4", "sda1", tmp_path / "by-uuid", tmp_path) == str(UUID)
    assert superblock.read_uuid("vfat", "sdb1", tmp_path / "by-uuid", tmp_path) == ""
    assert superblock.read_uuid("ext4", "sdc1", tmp_path / "by-uuid", tmp_path) == ""
    assert superblock.read_uuid("ext4", "sda1", tmp_path / "missing", tmp_path) == ""
