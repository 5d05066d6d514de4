"""Real filesystems on loop devices for every kernel test; whatever happens, mounts, devices and images go away.

`make_loop(size_bytes)` gives a Loop, `mounted(device, options)` mounts it and gives the mount point; both can be called
any number of times. `ext4_fs`, `xfs_fs` and `btrfs_raid1` are ready-made on top of them.
"""

import subprocess
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from kernel.loopfs import MIB, Filesystem, Loop, need, run


def _detach(device):
    # A device that something still uses goes away by itself later (autoclear), so one call is enough.
    with suppress(subprocess.CalledProcessError):
        subprocess.run(["losetup", "-d", str(device)], check=True, capture_output=True)


def _unmount(mount_point):
    # Not asked first whether it is mounted: a filesystem that shut down answers stat(2) with EIO, as if it were not.
    for lazily in ((), ("--lazy",)):
        done = subprocess.run(["umount", *lazily, str(mount_point)], capture_output=True, text=True, check=False)
        if done.returncode == 0 or "not mounted" in done.stderr:
            return


@pytest.fixture
def undo():
    """Callbacks that run in reverse order at the end, all of them, whatever fails."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def make_loop(tmp_path, undo):
    """A factory: `make_loop(size_bytes) -> Loop` with a sparse image of zeros."""
    need("losetup")

    def make(size_bytes=64 * MIB):
        image = tmp_path / f"image{len(list(tmp_path.glob('image*')))}"
        with image.open("wb") as file:
            file.truncate(size_bytes)
        # Deleted in the end together with tmp_path; the blocks at once, pytest keeps the folders of three runs.
        undo.callback(image.unlink, missing_ok=True)
        device = Path(run("losetup", "--find", "--show", image).strip())
        undo.callback(_detach, device)
        return Loop(image, device)

    return make


@pytest.fixture
def mounted(tmp_path, undo):
    """A factory: `mounted(device, options="") -> Path` of the mount point."""
    need("mount")

    def mount(device, options=""):
        mount_point = tmp_path / f"mount{len(list(tmp_path.glob('mount*')))}"
        mount_point.mkdir()
        undo.callback(_unmount, mount_point)
        run("mount", *(["-o", options] if options else []), device, mount_point)
        return mount_point

    return mount


@pytest.fixture
def ext4_fs(make_loop, mounted):
    """A fresh ext4 of 64 MiB, not mounted yet, that goes on after errors."""
    need("mkfs.ext4", "debugfs")
    loop = make_loop(64 * MIB)
    run("mkfs.ext4", "-q", "-F", loop.device)
    return Filesystem([loop], "errors=continue", _mounted=mounted)


@pytest.fixture
def xfs_fs(make_loop, mounted):
    """A fresh XFS of 400 MiB with four allocation groups, not mounted yet."""
    need("mkfs.xfs", "xfs_db")
    loop = make_loop(400 * MIB)
    run("mkfs.xfs", "-q", "-f", loop.device)
    return Filesystem([loop], _mounted=mounted)


@pytest.fixture
def btrfs_raid1(make_loop, mounted):
    """A fresh btrfs of two devices, data and metadata mirrored, not mounted yet."""
    need("mkfs.btrfs")
    loops = [make_loop(256 * MIB), make_loop(256 * MIB)]
    devices = [loop.device for loop in loops]
    run("mkfs.btrfs", "-q", "-f", "-d", "raid1", "-m", "raid1", *devices)
    return Filesystem(loops, ",".join(f"device={device}" for device in devices), _mounted=mounted)


@pytest.fixture
def write_trigger():
    """Make a real superblock error of a mounted ext4: `write_trigger(loop, times=1)`."""

    def trigger(loop, times=1):
        with Path(f"/sys/fs/ext4/{loop.name}/trigger_fs_error").open("w") as file:
            for _ in range(times):
                file.write("test")
                file.flush()

    return trigger
