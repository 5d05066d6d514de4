"""Small sysfs trees with the paths and attributes that real NVMe, SAS, SATA, dm and md hosts have."""

import os
from pathlib import Path

PCI = "pci0000:00/0000:00:1c.0"


class Tree:
    """A sysfs below `root`; every method adds one device and gives its folder."""

    def __init__(self, root):
        self.root = Path(root)
        (self.root / "class/block").mkdir(parents=True)
        (self.root / "dev/block").mkdir(parents=True)

    def write(self, folder, **attributes):
        for name, value in attributes.items():
            path = folder / name.replace("__", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(value if isinstance(value, bytes) else f"{value}\n".encode())

    def block(self, place, number, *, size=2048, **attributes):
        """Add a block device at `place` below devices."""
        folder = self.root / "devices" / place
        folder.mkdir(parents=True)
        self.write(folder, dev=number, size=size, ro=0, **attributes)
        (self.root / "class/block" / folder.name).symlink_to(os.path.relpath(folder, self.root / "class/block"))
        (self.root / "dev/block" / number).symlink_to(os.path.relpath(folder, self.root / "dev/block"))
        return folder

    def remove(self, name):
        folder = (self.root / "class/block" / name).resolve()
        number = (folder / "dev").read_text().strip()
        (self.root / "class/block" / name).unlink()
        (self.root / "dev/block" / number).unlink()

    def disk(self, place, name, number, *, device=None, **attributes):
        """Add a disk whose `device` link leads to the folder `place`, which gets the attributes `device`."""
        folder = self.block(f"{place}/block/{name}", number, **attributes)
        self.write(self.root / "devices" / place, **(device or {}))
        (folder / "device").symlink_to("../..")
        return folder

    def sata(self, name="sda", number="8:0", ata=1, **attributes):
        place = f"pci0000:00/0000:00:17.0/ata{ata}/host{ata}/target{ata}:0:0/{ata}:0:0:0"
        device = {
            "vendor": "ATA     ",
            "model": "ST4000NM0035-1V4",
            "rev": "TN02",
            "state": "running",
            "wwid": f"naa.5000c500a1b2c3d{ata}",
            "vpd_pg80": b"\x00\x80\x00\x14            ZC1%05d" % ata,
        }
        return self.disk(place, name, number, device=device, **{"queue__rotational": 1, "diskseq": 3} | attributes)

    def sas(self, name="sdb", number="8:16"):
        port = "host8/port-8:0/expander-8:0/port-8:0:5/end_device-8:0:5/target8:0:5/8:0:5:0"
        device = {
            "vendor": "SEAGATE",
            "model": "ST16000NM004J",
            "rev": "E002",
            "state": "running",
            "wwid": "naa.5000c500d0e1f203",
        }
        return self.disk(f"{PCI}/0000:03:00.0/{port}", name, number, device=device, queue__rotational=1, diskseq=4)

    def nvme(self, name="nvme0n1", number="259:0", **attributes):
        controller = self.root / "devices/pci0000:00/0000:00:1d.0/0000:04:00.0/nvme/nvme0"
        self.write(
            controller,
            serial="S4EWNX0R123456 ",
            model="SAMSUNG MZQLB3T8HALS-00007 ",
            firmware_rev="EDA5602Q",
            state="live",
            transport="pcie",
        )
        folder = self.block(
            f"pci0000:00/0000:00:1d.0/0000:04:00.0/nvme/nvme0/{name}",
            number,
            **{"wwid": "eui.36344530589123450025384100000001", "nsid": 1, "queue__rotational": 0} | attributes,
        )
        (folder / "device").symlink_to("../../nvme0")
        return folder

    def nvme_multipath(self):
        subsystem = "virtual/nvme-subsystem/nvme-subsys0"
        controller = self.root / "devices" / PCI / "0000:05:00.0/nvme/nvme3"
        self.write(controller, transport="tcp", state="live")
        folder = self.block(f"{subsystem}/nvme3n1", "259:7", wwid="uuid.11111111-2222-3333-4444-555555555555", nsid=1)
        self.write(folder.parent, serial="ARRAY01", model="Target", firmware_rev="9.1")
        (folder.parent / "nvme3").symlink_to(controller)
        (folder / "device").symlink_to("../../nvme-subsys0")
        self.block(f"{PCI}/0000:05:00.0/nvme/nvme3/nvme3c3n1", "259:8", hidden=1)
        return folder

    def partition(self, disk, part, number, **attributes):
        separator = "p" if disk.name[-1].isdigit() else ""
        place = disk.relative_to(self.root / "devices")
        return self.block(f"{place}/{disk.name}{separator}{part}", number, partition=part, start=2048, **attributes)

    def loop(self, name="loop0", number="7:0", backing=None, diskseq=20):
        attributes = {} if backing is None else {"loop__backing_file": os.fsencode(backing) + b"\n"}
        size = 0 if backing is None else 2048
        return self.block(f"virtual/block/{name}", number, size=size, diskseq=diskseq, **attributes)

    def stacked(self, name, number, below, **attributes):
        """Add a dm or md device on `below`."""
        folder = self.block(f"virtual/block/{name}", number, **attributes)
        (folder / "slaves").mkdir()
        for device in below:
            (folder / "slaves" / device.name).symlink_to(device)
        return folder

    def virtio(self, name="vda", number="254:0", slot=2, **attributes):
        place = f"pci0000:00/0000:00:{slot:02x}.0/virtio{slot}"
        return self.disk(place, name, number, device={"vendor": "0x1af4"}, **attributes)
