"""Name block devices so that the name stays: across renumbering, reboots and, where the disk tells, hosts.

A device's id, in the order of preference:

- `wwid:…`: the kernel's World Wide Identifier (SCSI VPD page 83, NVMe EUI-64 or NGUID)
- `serial:MODEL_SERIAL`: virtio, MMC, NVMe without a wwid
- `dm:…`, `md:…`: the UUID in the LVM or RAID metadata
- `loop:…`: a hash of host, path and inode of the backing file: the same for one image whatever loop device it has
- `local:…`: a hash of host and place (PCI path or name), for what has no identity of its own
- `<id of the disk>-part<N>` for a partition

Everything comes from sysfs, without root and without udev; only the UUID of an md array is read from a member's
superblock where the kernel does not show it.
"""

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fsmend_agent import superblock, sysfs
from fsmend_proto.v1 import event_pb2

# What emulators hand to every machine alike; as identities they would make one disk of many. A serial number without
# any digit is a word.
_MADE_UP_SERIAL = re.compile(r"QM\d+|drive-\w+|0*|\D*", re.IGNORECASE)
_MADE_UP_WWID = re.compile(r"(naa|eui|uuid|nvme|t10)?\.?[0-]*|t10\.ATA\s+QEMU HARDDISK.*|nvme\.1b36-.*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Known:
    """A device as last seen, and what must not have changed for that to be still true."""

    stamp: tuple[int, bytes]
    ref: event_pb2.DeviceRef


class DeviceTable:
    """Look-ups from device numbers and kernel names to stable identities.

    A look-up never fails: of an unknown device the id is empty, and number or name are what was asked for. Answers are
    cached until the kernel's diskseq (Linux 5.15) or the loop device's file changes.
    """

    def __init__(self, root: Path = sysfs.SYSFS, host: str = "") -> None:
        """Look below `root`; `host` (the hashed machine id) keeps ids apart that mean nothing outside this host."""
        self._root = root
        self._host = host
        self._known: dict[str, _Known] = {}

    def by_number(self, major: int, minor: int) -> event_pb2.DeviceRef:
        """Return the device with this number."""
        name = sysfs.device_name(major, minor, self._root)
        return self.by_name(name) if name else event_pb2.DeviceRef(major=major, minor=minor)

    def by_name(self, name: str) -> event_pb2.DeviceRef:
        """Return the device with this kernel name; `/dev/` before it does no harm."""
        name = name.removeprefix("/dev/").replace("/", "!")  # as sysfs writes cciss/c0d0
        folder = self._root / "class/block" / name
        if name in {"", ".", ".."} or "\0" in name or (number := sysfs.device_number(name, self._root)) is None:
            self._known.pop(name, None)
            return event_pb2.DeviceRef(name=name)
        disk = _disk_folder(folder)
        stamp = (sysfs.read_int(disk / "diskseq"), backing_file(disk))
        known = self._known.get(name)
        if known is None or known.stamp != stamp:
            major, minor = number
            ref = event_pb2.DeviceRef(id=self._identity(folder), name=name, major=major, minor=minor, diskseq=stamp[0])
            known = self._known[name] = _Known(stamp, ref)
        copy = event_pb2.DeviceRef()
        copy.CopyFrom(known.ref)
        return copy

    def __iter__(self) -> Iterator[event_pb2.DeviceRef]:
        """Yield every block device, sorted by name."""
        return (self.by_name(name) for name in sysfs.names(self._root / "class/block"))

    def _identity(self, folder: Path) -> str:
        """Return the id of the device in `folder`."""
        partition = sysfs.read_text(folder / "partition")
        if partition:
            return f"{self._identity(_disk_folder(folder))}-part{partition}"
        return (
            _wwid(folder)
            or _stacked(folder)
            or self._loop(folder)
            or _serial(folder)
            or f"local:{self._hash(place(folder) or folder.name)}"
        )

    def _loop(self, folder: Path) -> str:
        """Return the id of a loop device that has a file; empty otherwise."""
        backing = backing_file(folder)
        if not backing:
            return ""
        try:
            inode = os.stat(backing).st_ino  # noqa: PTH116  bytes need no detour through a Path
        except (OSError, ValueError):  # unlinked while attached, or in another mount namespace
            inode = 0
        return f"loop:{self._hash(f'{os.fsdecode(backing)} {inode}')}"

    def _hash(self, place_or_file: str) -> str:
        """Return 16 hex digits of what is only unique on this host, and of the host."""
        return hashlib.sha256(f"{self._host}\0{place_or_file}".encode("utf-8", "surrogateescape")).hexdigest()[:16]


def backing_file(folder: Path) -> bytes:
    """Return the path of a loop device's file, as the kernel names it; empty for everything else."""
    return sysfs.read_bytes(folder / "loop/backing_file").removesuffix(b"\n")


def place(folder: Path) -> str:
    """Return where a disk hangs, from the first bus to the port; empty for what hangs nowhere (loop, dm, md, zram).

    Numbers of hosts and controllers in it (host2, ata3) are given out by order of discovery: it tells what shares a
    part of the way now, and is no identity for a disk that has one of its own.
    """
    resolved = folder.resolve()
    parts = resolved.parts
    if "devices" not in parts:
        return ""
    parts = parts[parts.index("devices") + 1 : -1]
    if "nvme-subsystem" in parts:  # native multipath: the disk hangs on the subsystem, which names its controllers
        controller = next((name for name in sysfs.names(resolved.parent) if re.fullmatch(r"nvme\d+", name)), "")
        return place(resolved.parent / controller / resolved.name) if controller else ""
    if "block" in parts:
        parts = parts[: parts.index("block")]
    return "" if parts[:1] == ("virtual",) else "/".join(parts)


def _disk_folder(folder: Path) -> Path:
    """Return the folder of the whole disk: a partition's parent, or `folder` itself."""
    resolved = folder.resolve()
    return resolved.parent if (resolved / "partition").exists() else resolved


def _wwid(folder: Path) -> str:
    """Return `wwid:…`, with padding folded; empty when there is none or a made-up one."""
    for attribute in ("wwid", "device/wwid"):
        wwid = "_".join(sysfs.read_text(folder / attribute).split())
        if wwid and not _MADE_UP_WWID.fullmatch(wwid.replace("_", " ")):
            return f"wwid:{wwid}"
    return ""


def _stacked(folder: Path) -> str:
    """Return `dm:…` or `md:…` from the UUID in the metadata; empty when there is none."""
    uuid = sysfs.read_text(folder / "dm/uuid")
    if uuid:
        return f"dm:{uuid}"
    uuid = sysfs.read_text(folder / "md/uuid") or _md_uuid(folder)
    return f"md:{uuid}" if uuid else ""


def _md_uuid(folder: Path) -> str:
    """Return the UUID of an md array from the first member that has it; empty for everything else."""
    version = sysfs.read_text(folder / "md/metadata_version")
    members = sysfs.names(folder / "slaves") if version else ()
    sizes = ((name, sysfs.read_int(folder / "slaves" / name / "size") * 512) for name in members)
    return next(filter(None, (superblock.read_md_uuid(version, name, size) for name, size in sizes)), "")


def serial_number(folder: Path) -> str:
    """Return the serial number of a disk: its own attribute, or SCSI VPD page 80; empty when there is none."""
    for attribute in ("serial", "device/serial"):
        serial = sysfs.read_text(folder / attribute)
        if serial:
            return serial
    # Four bytes of header: peripheral, page code, length (SPC-4, 7.8.18).
    return sysfs.read_bytes(folder / "device/vpd_pg80")[4:].decode("ascii", "backslashreplace").strip(" \0")


def _serial(folder: Path) -> str:
    """Return `serial:MODEL_SERIAL`; empty when there is no serial or a made-up one."""
    serial = serial_number(folder)
    if _MADE_UP_SERIAL.fullmatch(serial):
        return ""
    model = sysfs.read_text(folder / "device/model") or sysfs.read_text(folder / "device/name")
    namespace = sysfs.read_text(folder / "nsid")  # NVMe: the serial number is the controller's
    return "serial:" + "_".join(f"{model} {serial} {namespace}".split())
