"""The block devices: what each one is, where it hangs, and what it is built from."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from fsmend_agent import sysfs
from fsmend_agent.devices import DeviceTable, backing_file, place, serial_number
from fsmend_agent.event import text
from fsmend_proto.v1 import inventory_pb2

SECTOR_BYTES = 512
"""Of /sys/class/block/DEV/size, whatever the disk's own sector size is."""

_MEMORY_DISKS = re.compile(r"(zram|ram)\d+")
_PCI_ADDRESS = re.compile(r"[0-9a-f]{4,}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")

# Parts of the sysfs path in the order in which they decide: the innermost transport has the first word.
_TRANSPORTS = (
    (re.compile(r"usb\d+"), "usb"),
    (re.compile(r"session\d+"), "iscsi"),
    (re.compile(r"rport-\d+.*"), "fc"),
    (re.compile(r"ata\d+"), "sata"),
    (re.compile(r"end_device-.*"), "sas"),
    (re.compile(r"mmc\d+"), "mmc"),
    (re.compile(r"virtio\d+"), "virtio"),
    (re.compile(r"vmbus|VMBUS.*", re.IGNORECASE), "vmbus"),
    (re.compile(r"vbd-\d+"), "xen"),
)
_DM_HOLDERS = {"LVM": "lvm", "CRYPT": "crypt", "mpath": "mpath", "DMRAID": "raid"}


def describe(table: DeviceTable, root: Path = sysfs.SYSFS) -> Iterator[inventory_pb2.Device]:
    """Yield every block device that has a size, sorted by kernel name; without memory disks and hidden paths."""
    for name in sysfs.names(root / "class/block"):
        folder = root / "class/block" / name
        if _MEMORY_DISKS.fullmatch(name) or sysfs.read_int(folder / "hidden") or not sysfs.read_int(folder / "size"):
            continue
        yield _device(table, folder)


def _device(table: DeviceTable, folder: Path) -> inventory_pb2.Device:
    """Return one device."""
    kind = _kind(folder)
    disk = folder.resolve().parent if kind == "partition" else folder
    device = inventory_pb2.Device(
        ref=table.by_name(folder.name),
        kind=kind,
        size_bytes=sysfs.read_int(folder / "size") * SECTOR_BYTES,
        rotational=sysfs.read_int(disk / "queue/rotational") == 1,
        read_only=sysfs.read_int(folder / "ro") == 1,
        backing=text(backing_file(folder)),
        below=sorted(set(_below(table, folder, kind)) - {""}),
        holder=_holder(folder),
        state=_state(folder),
        transport="loop" if kind == "loop" else "",
    )
    if kind in {"disk", "nvme"}:
        _add_hardware(device, folder)
    return device


def _add_hardware(device: inventory_pb2.Device, folder: Path) -> None:
    """Fill in what only a piece of hardware has."""
    vendor = sysfs.read_text(folder / "device/vendor")
    device.vendor = "" if vendor.startswith("0x") else vendor  # virtio gives its PCI vendor number
    device.model = sysfs.read_text(folder / "device/model") or sysfs.read_text(folder / "device/name")
    device.firmware = next(
        filter(None, (sysfs.read_text(folder / "device" / name) for name in ("rev", "firmware_rev", "fwrev"))), ""
    )
    device.serial = serial_number(folder)
    device.wwid = sysfs.read_text(folder / "wwid") or sysfs.read_text(folder / "device/wwid")
    device.topology_path = text(place(folder))
    device.transport = _transport(folder, device)
    addresses = _PCI_ADDRESS.findall(device.topology_path)
    device.host_adapter = addresses[-1] if addresses else ""


def _kind(folder: Path) -> str:
    """Return what kind of block device it is, in one word."""
    if (folder / "partition").exists():
        return "partition"
    for kind in ("loop", "dm", "md"):
        if (folder / kind).is_dir():
            return kind
    return "nvme" if folder.name.startswith("nvme") else "disk"


def _transport(folder: Path, device: inventory_pb2.Device) -> str:
    """Return how the host speaks to the disk; empty when the path does not tell."""
    if device.kind == "nvme":
        fabric = sysfs.read_text(_controller(folder) / "transport")
        return "nvme" if fabric in {"", "pcie"} else f"nvme-{fabric}"
    parts = device.topology_path.split("/")
    found = next((word for form, word in _TRANSPORTS if any(form.fullmatch(part) for part in parts)), "")
    # A SATA disk behind a SAS controller: errors come by way of the controller, the disk remains SATA.
    return "sata" if found == "sas" and device.vendor == "ATA" else found


def _controller(folder: Path) -> Path:
    """Return the folder of an NVMe controller: the disk's own, or the first of its multipath subsystem."""
    device = folder / "device"
    names = (name for name in sysfs.names(device) if re.fullmatch(r"nvme\d+", name))
    return device if (device / "transport").exists() else device / next(names, "")


def _state(folder: Path) -> str:
    """Return the kernel's word for how the device is, such as running, live, offline or clean."""
    if sysfs.read_int(folder / "dm/suspended") == 1:
        return "suspended"
    for path in (folder / "device/state", _controller(folder) / "state", folder / "md/array_state"):
        state = sysfs.read_text(path)
        if state:
            return state
    return ""


def _holder(folder: Path) -> str:
    """Return the RAID level of an md array, or what made a dm device; empty for everything else."""
    level = sysfs.read_text(folder / "md/level")
    if level:
        return level
    # The UUID begins with the maker's name: LVM-…, CRYPT-LUKS2-…, mpath-…, part1-mpath-….
    makers = sysfs.read_text(folder / "dm/uuid").split("-")[:2]
    return next((_DM_HOLDERS[maker] for maker in makers if maker in _DM_HOLDERS), "")


def _below(table: DeviceTable, folder: Path, kind: str) -> Iterator[str]:
    """Yield the ids of the devices that this one is built from."""
    if kind == "partition":
        yield table.by_name(folder.resolve().parent.name).id
    for name in sysfs.names(folder / "slaves"):
        yield table.by_name(name).id
    backing = backing_file(folder)
    if backing:
        try:
            number = os.stat(backing).st_dev  # noqa: PTH116  bytes need no detour through a Path
        except (OSError, ValueError):
            return
        yield table.by_number(os.major(number), os.minor(number)).id
