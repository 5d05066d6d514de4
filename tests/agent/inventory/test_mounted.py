"""The filesystem list, where the filesystem cannot be asked or tells little."""

import os

import pytest
from agent.sysfs_tree import Tree

from fsmend_agent.devices import DeviceTable
from fsmend_agent.filesystems import MountedFilesystem
from fsmend_agent.inventory import mounted

UUID = "a1f3c2d4-0000-4000-8000-000000000001"


def filesystem(fs_type="btrfs", **changes):
    fields = {
        "uuid": UUID,
        "type": fs_type,
        "fsid": "00" * 8,
        "major": 0,
        "minor": 45,
        "device_names": ("sda", "sdb"),
        "mount_points": (b"/pool\xff", b"/home"),
        "read_only": True,
        "options": "ro,degraded",
    }
    return MountedFilesystem(**fields | changes)


@pytest.fixture
def tree(tmp_path):
    tree = Tree(tmp_path / "sys")
    tree.sata("sda", "8:0", ata=1)
    tree.sata("sdb", "8:16", ata=2)
    return tree


def describe(tree, one):
    return mounted.describe(one, DeviceTable(tree.root, "h"), tree.root)


def test_what_the_table_knows_is_there_even_if_it_cannot_be_asked(tree):
    found = describe(tree, filesystem())
    assert found.ref.uuid == UUID
    assert [device.id for device in found.devices] == ["wwid:naa.5000c500a1b2c3d1", "wwid:naa.5000c500a1b2c3d2"]
    assert list(found.mount_points) == [b"/pool\xff", b"/home"]
    assert (found.read_only, found.options, found.label, found.size_bytes) == (True, "ro,degraded", "", 0)


def test_btrfs_profiles_and_features_come_from_sysfs(tree):
    folder = tree.root / "fs/btrfs" / UUID
    for path in ("allocation/data/raid1", "allocation/metadata/raid1c3", "features/raid56"):
        (folder / path).mkdir(parents=True)
    tree.write(folder, allocation__data__total_bytes=1, features__no_holes=1)
    assert list(describe(tree, filesystem()).features) == ["data_raid1", "metadata_raid1c3", "no_holes", "raid56"]


def test_another_filesystem_has_no_features_of_btrfs(tree):
    (tree.root / "fs/btrfs" / UUID / "features/raid56").mkdir(parents=True)
    assert not describe(tree, filesystem("vfat")).features


def test_a_filesystem_without_label_or_space_is_described(tree, monkeypatch):
    read_end, write_end = os.pipe()  # knows neither FS_IOC_GETFSLABEL nor XFS_IOC_FSGEOMETRY
    os.close(write_end)
    monkeypatch.setattr(mounted, "open_mounted", lambda _filesystem: read_end)
    found = describe(tree, filesystem("xfs"))
    assert (found.label, list(found.features)) == ("", [])
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(read_end)
