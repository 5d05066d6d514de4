"""The filesystem table, device identities and inventory against the running kernel."""

import asyncio
import os
import subprocess

import pytest
from kernel.loopfs import MIB, run, wait_for

from fsmend_agent import filesystems
from fsmend_agent.devices import DeviceTable
from fsmend_agent.event import Clock
from fsmend_agent.filesystems import FilesystemTable, follow, open_mounted, read_mounted
from fsmend_agent.inventory.collect import collect
from fsmend_agent.kernel import mounts

pytestmark = pytest.mark.kernel

SECONDS = 10


class Followed:
    """A table that `follow` keeps, and a way to wait until it shows something."""

    def __init__(self):
        self.table = FilesystemTable()
        self.calls = 0
        self._told = asyncio.Event()
        self.table.subscribe(self._tell)

    def _tell(self, _added, _removed):
        self.calls += 1
        self._told.set()

    async def until(self, condition):
        async with asyncio.timeout(SECONDS):
            while not (answer := condition(self.table)):
                self._told.clear()
                await self._told.wait()
            return answer


@pytest.fixture
async def followed(monkeypatch):
    # So that only the kernel's own word can make a test pass.
    monkeypatch.setattr(filesystems, "REREAD_SECONDS", 3600.0)
    one = Followed()
    task = asyncio.create_task(follow(one.table))
    await one.until(lambda table: table.by_mount_point(b"/"))
    yield one
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def uuid_on(device):
    """What blkid finds; again while the superblock of a mounted filesystem is being written and its checksum is off."""
    command = ["blkid", "-p", "-s", "UUID", "-o", "value", str(device)]

    def ask():
        return subprocess.run(command, check=False, capture_output=True, text=True).stdout.strip()

    return wait_for(ask)


async def test_a_mount_and_an_unmount_are_followed(followed, ext4_fs):
    mount_point = os.fsencode(await asyncio.to_thread(ext4_fs.mount))
    found = await followed.until(lambda table: table.by_mount_point(mount_point))
    assert found.uuid == uuid_on(ext4_fs.loop.device)
    assert found.device_names == (ext4_fs.loop.name,)
    assert (found.major, found.minor) == ext4_fs.loop.device_number
    assert found.fsid == mounts.fsid(mount_point)
    assert followed.table.by_uuid(found.uuid) is found
    await asyncio.to_thread(ext4_fs.unmount)
    await followed.until(lambda table: table.by_mount_point(mount_point) is None)


async def test_a_remount_read_only_is_followed(followed, xfs_fs):
    mount_point = os.fsencode(await asyncio.to_thread(xfs_fs.mount))
    found = await followed.until(lambda table: table.by_mount_point(mount_point))
    assert (found.type, found.uuid, found.read_only) == ("xfs", uuid_on(xfs_fs.loop.device), False)
    await asyncio.to_thread(run, "mount", "-o", "remount,ro", xfs_fs.mount_point)
    await followed.until(lambda table: table.by_mount_point(mount_point).read_only)


async def test_a_filesystem_that_comes_back_under_the_same_names_is_told(followed, ext4_fs):
    mount_point = await asyncio.to_thread(ext4_fs.mount)
    before = await followed.until(lambda table: table.by_mount_point(os.fsencode(mount_point)))
    calls = followed.calls
    script = f"umount {mount_point} && mount {ext4_fs.loop.device} {mount_point} -o {ext4_fs.options}"
    await asyncio.to_thread(run, "sh", "-c", script)
    # On a slow machine the unmount is told by itself.
    await followed.until(
        lambda table: followed.calls > calls and table.by_mount_point(os.fsencode(mount_point)) == before
    )


async def test_a_mount_point_with_a_newline_and_no_utf_8_is_followed(followed, ext4_fs, tmp_path, undo):
    mount_point = os.fsencode(tmp_path) + b"/new\nline \\012 # \xff\xfe"
    await asyncio.to_thread(os.mkdir, mount_point)
    undo.callback(subprocess.run, ["umount", "-l", mount_point], check=False, capture_output=True)
    await asyncio.to_thread(subprocess.run, ["mount", str(ext4_fs.loop.device), mount_point], check=True)
    found = await followed.until(lambda table: table.by_name(ext4_fs.loop.name))
    assert found.mount_points == (mount_point,)
    assert found.uuid == uuid_on(ext4_fs.loop.device)
    assert found.ref().mount_point == mount_point


def test_a_btrfs_of_two_devices_is_found_by_both(btrfs_raid1):
    mount_point = btrfs_raid1.mount()
    run("btrfs", "subvolume", "create", mount_point / "home")
    table = FilesystemTable(read_mounted())
    found = table.by_mount_point(os.fsencode(mount_point))
    assert found.device_names == tuple(loop.name for loop in btrfs_raid1.loops)
    assert found.uuid == uuid_on(btrfs_raid1.loop.device)
    for loop in btrfs_raid1.loops:
        assert table.by_device(*loop.device_number) is found
        assert table.by_name(loop.name) is found


def test_two_subvolumes_are_one_filesystem_with_two_fsids(btrfs_raid1, mounted):
    first = btrfs_raid1.mount()
    run("btrfs", "subvolume", "create", first / "home")
    second = mounted(btrfs_raid1.loop.device, "subvol=home")
    table = FilesystemTable(read_mounted())
    found = table.by_name(btrfs_raid1.loop.name)
    assert set(found.mount_points) == {os.fsencode(first), os.fsencode(second)}
    assert len(set(found.fsids)) == 2
    assert {table.by_fsid(mounts.fsid(str(path))) for path in (first, second)} == {found}


def test_an_xfs_with_an_external_log_is_found_by_its_log_device(make_loop, mounted):
    data, log = make_loop(400 * MIB), make_loop(80 * MIB)
    run("mkfs.xfs", "-q", "-f", "-l", f"logdev={log.device}", data.device)
    mounted(data.device, f"logdev={log.device}")
    table = FilesystemTable(read_mounted())
    assert table.by_name(log.name).device_names == (data.name, log.name)
    assert table.by_device(*log.device_number) is table.by_name(data.name)


def test_a_clone_is_kept_beside_its_original(ext4_fs, make_loop, mounted):
    copy = make_loop(64 * MIB)
    run("dd", f"if={ext4_fs.loop.device}", f"of={copy.device}", "bs=1M", "status=none", "conv=fsync")
    ext4_fs.mount()
    mounted(copy.device)
    table = FilesystemTable(read_mounted())
    uuid = uuid_on(copy.device)
    assert {one.device_names for one in table.clones()[uuid]} == {(ext4_fs.loop.name,), (copy.name,)}
    assert table.by_uuid(uuid) is None


def test_what_a_later_mount_hides_is_not_mistaken(ext4_fs, make_loop, undo):
    mount_point = ext4_fs.mount()
    other = make_loop(64 * MIB)
    run("mkfs.ext4", "-q", "-F", other.device)
    run("mount", other.device, mount_point)
    undo.callback(subprocess.run, ["umount", mount_point], check=False)
    table = FilesystemTable(read_mounted())
    hidden, above = table.by_name(ext4_fs.loop.name), table.by_name(other.name)
    assert above.uuid == uuid_on(other.device)
    # Its path leads to the other one, so only its device could tell.
    assert hidden.uuid == uuid_on(ext4_fs.loop.device)
    assert hidden.fsid == ""
    with pytest.raises(FileNotFoundError):
        open_mounted(hidden)


def test_open_mounted_refuses_the_next_filesystem_on_the_same_device(ext4_fs):
    mount_point = ext4_fs.mount()
    before = FilesystemTable(read_mounted()).by_name(ext4_fs.loop.name)
    os.close(open_mounted(before))
    run("umount", mount_point)
    run("mkfs.ext4", "-q", "-F", ext4_fs.loop.device)
    run("mount", ext4_fs.loop.device, mount_point)
    with pytest.raises(FileNotFoundError):
        open_mounted(before)


def test_an_image_attached_again_has_the_same_id(make_loop, undo):
    table = DeviceTable()
    loop, other = make_loop(MIB), make_loop(MIB)
    before = table.by_name(loop.name)
    assert before.id.startswith("loop:")
    assert (before.major, before.minor) == loop.device_number
    run("losetup", "-d", loop.device)
    run("losetup", loop.device, other.path)
    reused = table.by_name(loop.name)
    assert reused.id == table.by_name(other.name).id
    assert reused.id != before.id
    assert reused.diskseq != before.diskseq
    again = run("losetup", "--find", "--show", loop.path).strip()
    undo.callback(subprocess.run, ["losetup", "-d", again], check=False)
    assert table.by_name(again).id == before.id


def inventoried(*loops):
    names = {loop.name for loop in loops}
    found = collect(read_mounted(), Clock().now())
    (one,) = (one for one in found.filesystems if names & {device.name for device in one.devices})
    return found, one


def test_the_inventory_of_a_btrfs_has_its_profiles_and_devices(btrfs_raid1):
    btrfs_raid1.mount()
    found, one = inventoried(*btrfs_raid1.loops)
    assert {"data_raid1", "metadata_raid1"} <= set(one.features)
    assert [device.name for device in one.devices] == [loop.name for loop in btrfs_raid1.loops]
    assert one.size_bytes > one.free_bytes > 0
    backing = {device.ref.name: device.backing for device in found.devices}
    assert backing[btrfs_raid1.loop.name] == str(btrfs_raid1.loop.path)


def test_the_inventory_of_an_xfs_has_its_features_and_label(make_loop, mounted):
    loop = make_loop(400 * MIB)
    run("mkfs.xfs", "-q", "-f", "-L", "archive", "-m", "rmapbt=1,reflink=1", loop.device)
    mounted(loop.device)
    _, one = inventoried(loop)
    assert one.label == "archive"
    assert {"crc", "rmapbt", "reflink"} <= set(one.features)
    assert "blind.rmapbt" not in {capability.name for capability in one.capabilities}


def test_the_inventory_of_an_ext4_has_its_features_and_label(make_loop, mounted):
    loop = make_loop(64 * MIB)
    run("mkfs.ext4", "-q", "-F", "-L", "boot", "-O", "^metadata_csum", loop.device)
    mounted(loop.device)
    _, one = inventoried(loop)
    assert one.label == "boot"
    assert "has_journal" in one.features
    assert "blind.metadata" in {capability.name for capability in one.capabilities}
