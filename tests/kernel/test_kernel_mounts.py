"""The mount table, its changes, and ext4's counters on a real kernel."""

import asyncio
import os
import time

import pytest
from kernel.loopfs import run

from fsmend_agent.kernel import ext4, mounts, syscall

pytestmark = pytest.mark.kernel


def test_a_mount_point_with_odd_bytes_is_read_as_it_is(ext4_fs, tmp_path, undo):
    odd = os.fsencode(tmp_path) + b"/a b\tc\nd\\134#\xff"
    os.mkdir(odd)  # noqa: PTH102  bytes
    syscall.mount(str(ext4_fs.loop.device), odd, "ext4", 0, "errors=continue")
    undo.callback(syscall.umount, odd)
    (mount,) = [mount for mount in mounts.read() if mount.mount_point == odd]
    assert (mount.major, mount.minor) == ext4_fs.loop.device_number
    assert (mount.fs_type, mount.root, mount.read_only) == ("ext4", b"/", False)
    assert mount.source == os.fsencode(ext4_fs.loop.device)
    syscall.mount(str(ext4_fs.loop.device), odd, None, syscall.MS_REMOUNT | syscall.MS_RDONLY)
    (mount,) = [mount for mount in mounts.read() if mount.mount_point == odd]
    assert mount.read_only


def test_a_refused_mount_names_errno_and_place(tmp_path):
    with pytest.raises(OSError, match="No such device") as refused:
        syscall.mount("none", str(tmp_path), "no-such-filesystem", 0)
    assert refused.value.filename == str(tmp_path)


async def test_every_change_of_the_mount_table_wakes_the_event_loop(ext4_fs):
    watcher = mounts.MountTableWatcher()
    woken = asyncio.Queue()
    loop = asyncio.get_running_loop()
    loop.add_reader(watcher.fileno(), woken.put_nowait, None)
    try:
        for change in (ext4_fs.mount, ext4_fs.unmount, ext4_fs.mount):
            change()
            await asyncio.wait_for(woken.get(), 5)
        # No busy loop: without a change nothing comes, except what other tests mount meanwhile.
        await asyncio.sleep(0.1)
        assert woken.qsize() < 20
    finally:
        loop.remove_reader(watcher.fileno())
        watcher.close()


def test_a_change_of_the_mount_table_ends_a_wait(ext4_fs):
    watcher = mounts.MountTableWatcher()
    try:
        while watcher.changed(0.05):
            pass
        ext4_fs.mount()
        assert watcher.changed(5)
    finally:
        watcher.close()


def test_ext4_remembers_its_errors_over_a_remount(ext4_fs, write_trigger):
    ext4_fs.mount()
    name = ext4_fs.loop.name
    clean = ext4.error_counters(name)
    assert (clean.errors_count, clean.first_error, clean.last_error) == (0, None, None)
    write_trigger(ext4_fs.loop, times=3)
    ext4_fs.unmount()
    with pytest.raises(FileNotFoundError, match=name):
        ext4.error_counters(name)
    ext4_fs.mount()
    counters = ext4.error_counters(name)
    assert counters.errors_count == 3
    assert counters.first_error.function == "trigger_test_error"
    assert counters.first_error.line > 0
    assert abs(counters.last_error.time_seconds - time.time()) < 60
    assert counters.last_error.code in {*ext4.ERROR_CODES.values(), ""}


def test_the_fsid_of_ext4_is_the_folded_uuid(ext4_fs):
    mount_point = ext4_fs.mount()
    value = bytes.fromhex(run("blkid", "-p", "-o", "value", "-s", "UUID", ext4_fs.loop.device).strip().replace("-", ""))
    folded = bytes(one ^ other for one, other in zip(value[:8], value[8:], strict=True))
    assert mounts.fsid(str(mount_point)) == folded.hex()


def test_an_idle_io_priority_can_be_set_for_one_thread():
    syscall.ioprio_set(syscall.IOPRIO_CLASS_IDLE)
    syscall.ioprio_set(syscall.IOPRIO_CLASS_BEST_EFFORT, 4)
    with pytest.raises(OSError, match="Invalid argument"):
        syscall.ioprio_set(7)
