"""UUIDs and features from superblocks."""

import shutil
import subprocess
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


def md_member(version, size_bytes=8 << 20):
    """The bytes of an array's member: enough of its superblock for blkid to know it."""
    at = superblock.md_superblock_at(version, size_bytes)
    block = bytearray(4096)
    block[:4] = b"\xfc\x4e\x2b\xa9"
    if version == "0.90":
        block[4:12] = (0).to_bytes(4, "little") + (90).to_bytes(4, "little")
        block[20:24], block[52:64] = UUID.bytes[:4], UUID.bytes[4:]
        block[152:156] = sum(int.from_bytes(block[i : i + 4], "little") for i in range(0, 4096, 4)).to_bytes(
            8, "little"
        )[:4]
    else:
        block[4:8] = (1).to_bytes(4, "little")
        block[16:32] = UUID.bytes
        block[144:152] = (at // 512).to_bytes(8, "little")
        words = (int.from_bytes(block[i : i + 4], "little") for i in range(0, 256, 4))
        total = sum(words)
        block[216:220] = ((total & 0xFFFFFFFF) + (total >> 32)).to_bytes(8, "little")[:4]
    return bytes(at) + bytes(block) + bytes(size_bytes - at - 4096)


@pytest.mark.parametrize("version", ["0.90", "1.0", "1.1", "1.2"])
def test_the_uuid_of_an_md_array_is_read_from_a_member(tmp_path, version):
    data = md_member(version)
    (tmp_path / "sda1").write_bytes(data)
    assert superblock.read_md_uuid(version, "sda1", len(data), tmp_path) == str(UUID)


@pytest.mark.parametrize("version", ["1.0", "1.1", "1.2"])
@pytest.mark.skipif(shutil.which("blkid") is None, reason="needs blkid to compare with")
def test_blkid_reads_the_same_uuid(tmp_path, version):
    (tmp_path / "sda1").write_bytes(md_member(version))
    command = ["blkid", "-p", "-s", "UUID", "-o", "value", str(tmp_path / "sda1")]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    assert uuid.UUID(found.replace(":", "")) == UUID


def test_external_metadata_and_strange_sizes_give_no_uuid(tmp_path):
    assert superblock.md_superblock_at("external:imsm", 1 << 30) is None
    assert superblock.md_superblock_at("0.90", 512) is None
    assert superblock.read_md_uuid("1.2", "missing", 1 << 20, tmp_path) == ""
    assert superblock.decode_md_uuid("1.2", b"\xfc\x4e\x2b\xa9") == ""
    assert superblock.decode_md_uuid("1.2", b"\xfc\x4e\x2b\xa9" + bytes(4092)) == ""
