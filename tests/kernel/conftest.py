"""Real filesystems on loop devices for every kernel test; whatever happens, mounts, devices and images go away.

`make_loop(size_bytes)` gives a Loop, `mounted(device, options)` mounts it and gives the mount point; both can be called
any number of times. `ext4_fs`, `xfs_fs` and `btrfs_raid1` are ready-made on top of them.
"""

import os
import shutil
import subprocess
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

MIB = 1 << 20


@dataclass(frozen=True)
class Loop:
    """A loop device: `path` is its image, `device` such as /dev/loop3."""

    path: Path
    device: Path

    @property
    def name(self):
        return self.device.name

    @property
    def device_number(self):
        number = self.device.stat().st_rdev
        return os.major(number), os.minor(number)


@dataclass
class Filesystem:
    """A made filesystem; `mount()` and `unmount()` as often as a test needs, `mount_point` while it is mounted."""

    loops: list[Loop]
    options: str = ""
    mount_point: Path | None = None
    _mounted: object = field(default=None, repr=False)

    @property
    def loop(self):
        return self.loops[0]

    def mount(self, options=None):
        self.mount_point = self._mounted(self.loop.device, self.options if options is None else options)
        return self.mount_point

    def unmount(self):
        run("umount", self.mount_point)
        self.mount_point = None


def run(*command, **kwargs):
    """Run a tool and return what it printed; its own errors are part of the failure."""
    done = subprocess.run([str(part) for part in command], check=False, capture_output=True, text=True, **kwargs)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def need(*tools):
    """Skip the test where it cannot run."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}")


def wait_for(condition, seconds=10.0):
    """Return the first true answer of `condition`, asked every few milliseconds."""
    deadline = time.monotonic() + seconds
    while not (answer := condition()):
        assert time.monotonic() < deadline, "timed out"
        time.sleep(0.005)
    return answer


def _detach(device):
    # A device that something still uses goes away by itself later (autoclear), so one call is enough.
    with suppress(subprocess.CalledProcessError):
        subprocess.run(["losetup", "-d", str(device)], check=True, capture_output=True)


def _unmount(mount_point):
    if os.path.ismount(mount_point) and subprocess.run(["umount", str(mount_point)], check=False).returncode != 0:
        subprocess.run(["umount", "-l", str(mount_point)], check=False)


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


def corrupt_ext4_directory(filesystem, name):
    """Overwrite the one block of a directory at the root of an unmounted ext4 with what no directory is."""
    device = filesystem.loop.device
    block = int(run("debugfs", "-R", f"blocks /{name}", device).split()[0])
    size = int(
        next(line for line in run("dumpe2fs", "-h", device).splitlines() if line.startswith("Block size")).split()[-1]
    )
    overwrite(device, block * size, b"\xa5" * size)


def overwrite(path, offset, data):
    """Write through the block device (not its image: the page cache of the device would be stale) and sync."""
    fd = os.open(path, os.O_WRONLY | os.O_SYNC)
    try:
        os.pwrite(fd, data, offset)
    finally:
        os.close(fd)
