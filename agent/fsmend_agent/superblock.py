"""Read UUIDs from superblocks on a device, for kernels that do not tell them.

Of filesystems (FS_IOC_GETFSUUID came with Linux 6.9) and of md arrays (many kernels have no md/uuid in sysfs).
"""

import uuid
from dataclasses import dataclass
from pathlib import Path

BY_UUID = Path("/dev/disk/by-uuid")

READ_BYTES = 0x10000 + 4096
"""Enough for any of them."""

# Where the superblock of all but btrfs lies. It is in the page cache while the filesystem is mounted, so that the read
# needs nothing of a disk that no longer answers.
_FIRST_PAGE_BYTES = 4096


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where a filesystem keeps its magic number and its UUID, from the start of the device."""

    magic: bytes
    magic_at: int
    uuid_at: int


# linux/fs/ext4/ext4.h, xfs/libxfs/xfs_format.h, uapi linux/btrfs_tree.h, linux/f2fs_fs.h.
_EXT = _Layout(b"\x53\xef", 1024 + 0x38, 1024 + 0x68)
_LAYOUTS = {
    "ext2": _EXT,
    "ext3": _EXT,
    "ext4": _EXT,
    "xfs": _Layout(b"XFSB", 0, 32),
    "btrfs": _Layout(b"_BHRfS_M", 0x10000 + 0x40, 0x10000 + 0x20),
    "f2fs": _Layout(b"\x10\x20\xf5\xf2", 1024, 1024 + 108),
}


def decode_uuid(fs_type: str, head: bytes) -> str:
    """Return the UUID in canonical lower case; empty when `head` holds no superblock of that type.

    Args:
        fs_type: as the mount table says.
        head: the first READ_BYTES bytes of the device.
    """
    layout = _LAYOUTS.get(fs_type)
    if layout is None or not head.startswith(layout.magic, layout.magic_at):
        return ""
    raw = head[layout.uuid_at : layout.uuid_at + 16]
    return str(uuid.UUID(bytes=raw)) if len(raw) == 16 and any(raw) else ""


# ext4's feature words (fs/ext4/ext4.h): offset in the superblock, bit, and the name that mke2fs(8) gives it.
_EXT_FEATURES = (
    (0x5C, 0x4, "has_journal"),
    (0x60, 0x40, "extents"),
    (0x60, 0x80, "64bit"),
    (0x60, 0x2000, "metadata_csum_seed"),
    (0x60, 0x8000, "inline_data"),
    (0x60, 0x10000, "encrypt"),
    (0x60, 0x20000, "casefold"),
    (0x64, 0x100, "quota"),
    (0x64, 0x200, "bigalloc"),
    (0x64, 0x400, "metadata_csum"),
    (0x64, 0x8000, "verity"),
)


def decode_ext_features(head: bytes) -> list[str]:
    """Return the features of ext2, ext3 or ext4 that matter to repair; none when `head` holds no such superblock."""
    if not head.startswith(_EXT.magic, _EXT.magic_at) or len(head) < 2048:
        return []
    words = {at: int.from_bytes(head[1024 + at : 1028 + at], "little") for at in (0x5C, 0x60, 0x64)}
    return [name for at, bit, name in _EXT_FEATURES if words[at] & bit]


def read_ext_features(device_name: str, folder: Path = Path("/dev")) -> list[str]:
    """Return the features of the ext4 on a device; none when it may not be read."""
    return decode_ext_features(_read(folder / device_name.replace("!", "/"), 0, _FIRST_PAGE_BYTES))


def _read(device: Path, start: int, size_bytes: int) -> bytes:
    """Return some bytes of a device; empty when it may not or cannot be read."""
    try:
        with device.open("rb", buffering=0) as file:
            file.seek(start)
            return file.read(size_bytes)
    except (OSError, ValueError):
        return b""


def read_uuid(fs_type: str, device_name: str, by_uuid: Path = BY_UUID, folder: Path = Path("/dev")) -> str:
    """Return the UUID of the filesystem on a device; empty when it cannot be found out.

    Reads the device where this process may, and asks udev's links otherwise.
    """
    device = folder / device_name.replace("!", "/")
    size_bytes = READ_BYTES if fs_type == "btrfs" else _FIRST_PAGE_BYTES
    return decode_uuid(fs_type, _read(device, 0, size_bytes)) or _linked_uuid(device, by_uuid)


def _linked_uuid(device: Path, by_uuid: Path) -> str:
    """Return the name of the link in `by_uuid` that leads to `device`, if the name is a UUID."""
    try:
        links = list(by_uuid.iterdir())
        found = next((link.name for link in links if link.resolve() == device.resolve()), "")
        return str(uuid.UUID(found)) if len(found) == 36 else ""
    except (OSError, RuntimeError, ValueError):  # no udev, a loop of links, a name that is no UUID
        return ""


_MD_MAGIC = b"\xfc\x4e\x2b\xa9"
_MD_BYTES = 4096


def md_superblock_at(version: str, size_bytes: int) -> int | None:
    """Return the byte at which a member of an md array keeps its superblock; None for metadata of another kind.

    Args:
        version: of the metadata, as md/metadata_version says: 0.90, 1.0, 1.1, 1.2, external:imsm.
        size_bytes: of the member.

    See md(4) and linux/raid/md_p.h.
    """
    places = {
        "0.90": (size_bytes & ~0xFFFF) - 0x10000,
        "1.0": (size_bytes // 512 - 16 & ~7) * 512,
        "1.1": 0,
        "1.2": 4096,
    }
    at = places.get(version, -1)
    return at if at >= 0 else None


def decode_md_uuid(version: str, block: bytes) -> str:
    """Return the array's UUID from a member's superblock; empty when `block` is none."""
    if not block.startswith(_MD_MAGIC) or len(block) < 64:
        return ""
    # 0.90 keeps the words 5, 13, 14 and 15; 1.x sixteen bytes.
    raw = block[20:24] + block[52:64] if version == "0.90" else block[16:32]
    return str(uuid.UUID(bytes=raw)) if any(raw) else ""


def read_md_uuid(version: str, member: str, size_bytes: int, folder: Path = Path("/dev")) -> str:
    """Return the UUID of the array that a device is a member of; empty when it cannot be read."""
    at = md_superblock_at(version, size_bytes)
    if at is None:
        return ""
    return decode_md_uuid(version, _read(folder / member.replace("!", "/"), at, _MD_BYTES))
