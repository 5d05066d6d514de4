"""What the kernel tests' fixtures are made of: loop devices, filesystems on them, and real damage."""

import os
import shutil
import subprocess
import time
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
