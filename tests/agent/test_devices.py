"""Stable names of block devices, from sysfs trees as real hosts have them."""

import os
import shutil
from pathlib import Path

import pytest
from agent.sysfs_tree import Tree
from hypothesis import given
from hypothesis import strategies as st

from fsmend_agent import superblock
from fsmend_agent.devices import DeviceTable, place, serial_number


@pytest.fixture
def tree(tmp_path):
    return Tree(tmp_path / "sys")


@pytest.fixture
def table(tree):
    return DeviceTable(tree.root, "0123")


def test_a_scsi_disk_is_named_by_its_wwid(tree, table):
    tree.sata()
    ref = table.by_name("sda")
    assert (ref.id, ref.name, ref.major, ref.minor, ref.diskseq) == ("wwid:naa.5000c500a1b2c3d1", "sda", 8, 0, 3)


def test_number_path_and_name_lead_to_the_same_device(tree, table):
    tree.sas()
    assert table.by_number(8, 16) == table.by_name("sdb") == table.by_name("/dev/sdb")
    assert table.by_number(8, 16).id == "wwid:naa.5000c500d0e1f203"


def test_a_disk_keeps_its_id_under_another_name(tmp_path):
    first, second = Tree(tmp_path / "one"), Tree(tmp_path / "two")
    first.sata("sda", "8:0")
    second.sata("sdx", "65:112")
    assert DeviceTable(first.root, "a").by_name("sda").id == DeviceTable(second.root, "b").by_name("sdx").id


def test_padding_inside_a_wwid_is_folded(tree, table):
    tree.disk("pci0/ata1/host0", "sda", "8:0", device={"wwid": "t10.ATA     Crucial_CT500             1234ABCD   "})
    assert table.by_name("sda").id == "wwid:t10.ATA_Crucial_CT500_1234ABCD"


def test_an_nvme_namespace_is_named_by_its_wwid(tree, table):
    tree.nvme()
    assert table.by_name("nvme0n1").id == "wwid:eui.36344530589123450025384100000001"


def test_namespaces_of_one_controller_without_wwid_stay_apart(tree, table):
    tree.nvme(wwid="", nsid=1)
    tree.nvme("nvme0n2", "259:1", wwid="", nsid=2)
    ids = [table.by_name(name).id for name in ("nvme0n1", "nvme0n2")]
    assert ids[0] == "serial:SAMSUNG_MZQLB3T8HALS-00007_S4EWNX0R123456_1"
    assert ids[1] == ids[0][:-1] + "2"


def test_a_disk_without_wwid_is_named_by_model_and_serial_number(tree, table):
    tree.disk("pci0/mmc0/mmc0:0001", "mmcblk0", "179:0", device={"name": "SD32G", "serial": "0x1234abcd"})
    assert table.by_name("mmcblk0").id == "serial:SD32G_0x1234abcd"


def test_the_serial_number_is_read_from_vpd_page_80(tree):
    assert serial_number(tree.sata(ata=7)) == "ZC100007"


@pytest.mark.parametrize(
    "attributes",
    [
        {"serial": "overlayblk"},
        {"serial": "QM00001"},
        {"serial": "drive-scsi0"},
        {"serial": "0000"},
        {"serial": ""},
        {"wwid": "naa.0000000000000000"},
        {"wwid": "nvme.1b36-64656164-51454d55-00000001"},
        {"wwid": "t10.ATA     QEMU HARDDISK                           QM00003   "},
    ],
)
def test_what_every_virtual_machine_has_alike_is_no_identity(tree, attributes):
    tree.virtio(**attributes)
    ids = {DeviceTable(tree.root, host).by_name("vda").id for host in ("a", "b")}
    assert len(ids) == 2
    assert all(one.startswith("local:") for one in ids)


def test_disks_without_identity_are_told_apart_by_their_place(tree, table):
    tree.virtio("vda", "254:0", slot=2)
    tree.virtio("vdb", "254:16", slot=3)
    assert table.by_name("vda").id != table.by_name("vdb").id


def test_a_partition_is_a_part_of_its_disk(tree, table):
    disk = tree.nvme()
    tree.partition(disk, 2, "259:2")
    ref = table.by_number(259, 2)
    assert ref.name == "nvme0n1p2"
    assert ref.id == "wwid:eui.36344530589123450025384100000001-part2"


def test_dm_and_md_are_named_by_their_metadata(tree, table):
    disk = tree.sata()
    tree.stacked("dm-0", "253:0", [disk], dm__uuid="LVM-abcDEF", dm__name="vg-root")
    tree.stacked("md127", "9:127", [disk], md__uuid="6a3d8b1e-0000-4000-8000-00000000000a", md__level="raid1")
    assert table.by_name("dm-0").id == "dm:LVM-abcDEF"
    assert table.by_name("md127").id == "md:6a3d8b1e-0000-4000-8000-00000000000a"


def test_dm_and_md_without_uuid_still_have_an_id(tree, table):
    tree.stacked("dm-0", "253:0", [], dm__uuid="", dm__name="mine")
    tree.stacked("md0", "9:0", [], md__level="raid0")
    assert table.by_name("dm-0").id.startswith("local:")
    assert table.by_name("md0").id != table.by_name("dm-0").id


def test_an_md_array_is_named_by_a_members_superblock_where_the_kernel_hides_the_uuid(tree, table, monkeypatch):
    first, second = tree.sata("sda", "8:0", ata=1, size=4096), tree.sata("sdc", "8:32", ata=2, size=8192)
    tree.stacked("md0", "9:0", [first, second], md__level="raid1", md__metadata_version="1.2")
    asked = []

    def read(version, member, size_bytes):
        asked.append((version, member, size_bytes))
        return "11-22" if member == "sdc" else ""

    monkeypatch.setattr(superblock, "read_md_uuid", read)
    assert table.by_name("md0").id == "md:11-22"
    assert asked == [("1.2", "sda", 4096 * 512), ("1.2", "sdc", 8192 * 512)]


@pytest.fixture
def images(tmp_path):
    paths = [tmp_path / name for name in ("a.img", "b.img")]
    for path in paths:
        path.write_bytes(b"")
    return paths


def test_an_image_has_the_same_id_on_every_loop_device(tree, table, images):
    tree.loop("loop0", "7:0", images[0], diskseq=5)
    tree.loop("loop9", "7:9", images[0], diskseq=6)
    assert table.by_name("loop0").id == table.by_name("loop9").id
    assert table.by_name("loop0").id.startswith("loop:")


def test_a_reused_loop_device_with_another_file_has_another_id(tree, table, images):
    folder = tree.loop("loop0", "7:0", images[0], diskseq=5)
    before = table.by_name("loop0")
    tree.write(folder, loop__backing_file=os.fsencode(images[1]) + b"\n", diskseq=6)
    after = table.by_name("loop0")
    assert before.id != after.id
    assert (before.diskseq, after.diskseq) == (5, 6)


def test_a_reused_loop_device_is_noticed_by_a_kernel_without_diskseq(tree, table, images):
    folder = tree.loop("loop0", "7:0", images[0], diskseq=0)
    before = table.by_name("loop0")
    tree.write(folder, loop__backing_file=os.fsencode(images[1]) + b"\n")
    assert table.by_name("loop0").id != before.id


def test_an_image_replaced_by_another_file_of_the_same_name_has_another_id(tree, table, images):
    folder = tree.loop("loop0", "7:0", images[0], diskseq=5)
    before = table.by_name("loop0").id
    images[1].replace(images[0])
    tree.write(folder, diskseq=6)
    assert table.by_name("loop0").id != before


def test_an_image_that_is_unlinked_while_attached_keeps_the_id_it_had(tree, table, images):
    folder = tree.loop("loop0", "7:0", images[0], diskseq=5)
    before = table.by_name("loop0").id
    images[0].unlink()
    assert table.by_name("loop0").id == before
    tree.write(folder, loop__backing_file=os.fsencode(images[0]) + b" (deleted)\n")
    assert table.by_name("loop0").id.startswith("loop:")


def test_an_image_with_any_bytes_in_its_name_has_an_id(tree, table, tmp_path):
    path = os.fsencode(tmp_path) + b"/new\nline\xff .img"
    tree.loop("loop0", "7:0", path)
    assert table.by_name("loop0").id.startswith("loop:")


def test_answers_are_cached_until_the_disk_is_another(tree, table):
    folder = tree.sata()
    before = table.by_name("sda")
    (folder / "device/wwid").write_text("naa.5000c500ffffffff")
    assert table.by_name("sda") == before
    tree.write(folder, diskseq=4)
    assert table.by_name("sda").id == "wwid:naa.5000c500ffffffff"


def test_a_caller_cannot_change_the_cache(tree, table):
    tree.sata()
    table.by_name("sda").id = "changed"
    assert table.by_name("sda").id == "wwid:naa.5000c500a1b2c3d1"


def test_a_device_that_vanished_is_only_a_name(tree, table):
    tree.sata()
    table.by_name("sda")
    tree.remove("sda")
    assert table.by_name("sda").id == ""
    assert table.by_name("sda").name == "sda"


def test_an_unknown_number_is_kept(table):
    ref = table.by_number(8, 240)
    assert (ref.id, ref.name, ref.major, ref.minor) == ("", "", 8, 240)


def test_a_missing_sysfs_is_survived(tmp_path):
    table = DeviceTable(tmp_path / "nothing")
    assert list(table) == []
    assert table.by_name("sda").id == ""


def test_every_attribute_may_be_missing(tree, table):
    folder = tree.sata()
    for path in (folder / "diskseq", folder / "device/wwid", folder / "device/vpd_pg80", folder / "device/model"):
        path.unlink()
    shutil.rmtree(folder / "queue")
    assert table.by_name("sda").id.startswith("local:")


def test_a_name_with_a_slash_is_found_as_sysfs_writes_it(tree, table):
    tree.disk("pci0000:00/0000:00:05.0/cciss0", "cciss!c0d0", "104:0", wwid="naa.600508b1001c1111")
    assert table.by_name("cciss/c0d0") == table.by_name("/dev/cciss/c0d0")
    assert table.by_name("cciss/c0d0").id == "wwid:naa.600508b1001c1111"


def test_iteration_gives_every_device_by_name(tree, table):
    tree.sata()
    tree.partition(tree.nvme(), 1, "259:1")
    assert [ref.name for ref in table] == ["nvme0n1", "nvme0n1p1", "sda"]


def test_the_place_of_a_disk_is_its_way_through_the_buses(tree):
    assert place(tree.nvme()) == "pci0000:00/0000:00:1d.0/0000:04:00.0/nvme/nvme0"
    assert place(tree.sas()).endswith(
        "0000:03:00.0/host8/port-8:0/expander-8:0/port-8:0:5/end_device-8:0:5/target8:0:5/8:0:5:0"
    )
    assert place(tree.loop()) == ""
    assert place(tree.nvme_multipath()).endswith("0000:05:00.0/nvme/nvme3")


@given(
    st.text(st.characters(exclude_categories=["Cs"])) | st.sampled_from(["", ".", "..", "../block", "a\0b", "x" * 5000])
)
def test_no_name_leads_out_of_sysfs_or_to_an_error(name):
    assert DeviceTable(Path("/proc")).by_name(name).id == ""
