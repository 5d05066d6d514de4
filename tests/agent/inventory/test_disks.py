"""The device list, from sysfs trees as real NVMe, SAS, SATA, dm and md hosts have them."""

import os

import pytest
from agent.sysfs_tree import PCI, Tree

from fsmend_agent.devices import DeviceTable
from fsmend_agent.inventory import disks


@pytest.fixture
def tree(tmp_path):
    return Tree(tmp_path / "sys")


def described(tree):
    return {device.ref.name: device for device in disks.describe(DeviceTable(tree.root, "h"), tree.root)}


def test_a_sata_disk_behind_ahci(tree):
    tree.sata(size=7814037168)
    sda = described(tree)["sda"]
    assert (sda.kind, sda.transport, sda.vendor, sda.model, sda.firmware) == (
        "disk",
        "sata",
        "ATA",
        "ST4000NM0035-1V4",
        "TN02",
    )
    assert (sda.serial, sda.wwid, sda.state) == ("ZC100001", "naa.5000c500a1b2c3d1", "running")
    assert sda.size_bytes == 7814037168 * 512
    assert sda.rotational
    assert not sda.read_only
    assert sda.host_adapter == "0000:00:17.0"
    assert sda.topology_path == "pci0000:00/0000:00:17.0/ata1/host1/target1:0:0/1:0:0:0"


def test_a_sas_disk_behind_an_expander(tree):
    tree.sas()
    sdb = described(tree)["sdb"]
    assert (sdb.transport, sdb.host_adapter) == ("sas", "0000:03:00.0")
    assert "expander-8:0/port-8:0:5" in sdb.topology_path


def test_a_sata_disk_behind_a_sas_controller_remains_sata(tree):
    place = f"{PCI}/0000:03:00.0/host8/port-8:0/end_device-8:0/target8:0:0/8:0:0:0"
    tree.disk(place, "sdc", "8:32", device={"vendor": "ATA", "model": "INTEL SSDSC2KB96"})
    assert described(tree)["sdc"].transport == "sata"


@pytest.mark.parametrize(
    ("part", "transport"),
    [
        ("usb2/2-1/2-1:1.0/host9/target9:0:0/9:0:0:0", "usb"),
        ("host9/session1/target9:0:0/9:0:0:0", "iscsi"),
        ("host9/rport-9:0-3/target9:0:0/9:0:0:0", "fc"),
        ("virtio3/host9/target9:0:0/9:0:0:0", "virtio"),
        ("mmc_host/mmc0/mmc0:0001", "mmc"),
        ("something/else", ""),
    ],
)
def test_the_transport_is_on_the_way_to_the_disk(tree, part, transport):
    tree.disk(f"{PCI}/{part}", "sdd", "8:48", device={"vendor": "X"})
    assert described(tree)["sdd"].transport == transport


def test_an_nvme_disk_and_its_controller(tree):
    tree.nvme()
    disk = described(tree)["nvme0n1"]
    assert (disk.kind, disk.transport, disk.state) == ("nvme", "nvme", "live")
    assert (disk.model, disk.serial, disk.firmware) == ("SAMSUNG MZQLB3T8HALS-00007", "S4EWNX0R123456", "EDA5602Q")
    assert disk.host_adapter == "0000:04:00.0"
    assert not disk.rotational


def test_an_nvme_disk_of_many_paths_is_listed_once(tree):
    tree.nvme_multipath()
    found = described(tree)
    assert set(found) == {"nvme3n1"}
    disk = found["nvme3n1"]
    assert (disk.transport, disk.state, disk.serial) == ("nvme-tcp", "live", "ARRAY01")
    assert disk.host_adapter == "0000:05:00.0"


def test_a_partition_stands_on_its_disk(tree):
    disk = tree.sata()
    tree.partition(disk, 1, "8:1", size=4096)
    found = described(tree)
    assert found["sda1"].kind == "partition"
    assert found["sda1"].below == [found["sda"].ref.id]
    assert found["sda1"].ref.id == found["sda"].ref.id + "-part1"
    assert (found["sda1"].size_bytes, found["sda1"].rotational) == (4096 * 512, True)
    assert found["sda1"].model == ""


def test_a_stack_of_lvm_on_raid_on_two_disks(tree):
    first, second = tree.sata("sda", "8:0", ata=1), tree.sata("sdc", "8:32", ata=2)
    md = tree.stacked("md127", "9:127", [first, second], md__uuid="u", md__level="raid1", md__array_state="clean")
    tree.stacked("dm-0", "253:0", [md], dm__uuid="LVM-x", dm__suspended=0)
    found = described(tree)
    assert (found["md127"].kind, found["md127"].holder, found["md127"].state) == ("md", "raid1", "clean")
    assert found["md127"].below == ["wwid:naa.5000c500a1b2c3d1", "wwid:naa.5000c500a1b2c3d2"]
    assert (found["dm-0"].kind, found["dm-0"].holder) == ("dm", "lvm")
    assert found["dm-0"].below == ["md:u"]


@pytest.mark.parametrize(
    ("uuid", "holder"),
    [
        ("CRYPT-LUKS2-0a1b-home", "crypt"),
        ("mpath-360001", "mpath"),
        ("part1-mpath-360001", "mpath"),
        ("DMRAID-x", "raid"),
        ("VDO-1", ""),
        ("", ""),
    ],
)
def test_a_dm_device_says_what_made_it(tree, uuid, holder):
    tree.stacked("dm-1", "253:1", [], dm__uuid=uuid, dm__suspended=1)
    assert (described(tree)["dm-1"].holder, described(tree)["dm-1"].state) == (holder, "suspended")


def test_a_loop_device_stands_on_the_device_of_its_file(tree, tmp_path):
    image = tmp_path / "disk.img"
    image.write_bytes(b"")
    number = image.stat().st_dev
    tree.sata("sda", f"{os.major(number)}:{os.minor(number)}")
    tree.loop("loop0", "7:0", image)
    loop = described(tree)["loop0"]
    assert (loop.kind, loop.transport, loop.backing) == ("loop", "loop", str(image))
    assert loop.below == ["wwid:naa.5000c500a1b2c3d1"]


def test_a_loop_device_with_an_unprintable_or_unlinked_file_is_listed(tree):
    tree.loop("loop0", "7:0", b"/gone/\xff.img (deleted)")
    loop = described(tree)["loop0"]
    assert loop.backing == "/gone/\\xff.img (deleted)"
    assert loop.below == []


def test_disks_without_medium_and_disks_of_memory_are_left_out(tree):
    tree.loop("loop3", "7:3")
    tree.block("virtual/block/zram0", "251:0", size=4096)
    tree.block("virtual/block/ram0", "1:0", size=4096)
    assert described(tree) == {}


def test_a_read_only_disk(tree):
    folder = tree.sata()
    tree.write(folder, ro=1)
    assert described(tree)["sda"].read_only


def test_a_disk_that_tells_nothing_is_listed_all_the_same(tree):
    tree.block("virtual/block/odd0", "240:0", size=8)
    odd = described(tree)["odd0"]
    assert (odd.kind, odd.model, odd.transport, odd.topology_path) == ("disk", "", "", "")
    assert odd.ref.id.startswith("local:")


def test_the_vendor_number_of_virtio_is_no_vendor(tree):
    tree.virtio()
    assert (described(tree)["vda"].vendor, described(tree)["vda"].transport) == ("", "virtio")


def test_without_sysfs_there_are_no_devices(tmp_path):
    assert list(disks.describe(DeviceTable(tmp_path), tmp_path)) == []
