"""Filesystems on loop devices, and real damage to them. Needs root; what it makes it takes away."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

MIB = 1 << 20
# Clear of btrfs' superblock copies at 64 KiB and 64 MiB.
DAMAGE_START_BYTES = 80 * MIB
DAMAGE_LENGTH_BYTES = 60 * MIB
EXT4_BLOCK_BYTES = 4096


def run(*command: str | Path) -> str:
    """Run a tool and return its output; raise RuntimeError with what it said."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "PATH": path, "LC_ALL": "C"}
    )
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


@dataclass(frozen=True, slots=True)
class Loop:
    """An image file and the loop device over it."""

    image: Path
    device: str

    @property
    def name(self) -> str:
        """Return the kernel's name, such as loop0."""
        return self.device.removeprefix("/dev/")


@contextmanager
def loop(image: Path, size_bytes: int) -> Iterator[Loop]:
    """Make a sparse image and attach it."""
    with image.open("wb") as file:
        file.truncate(size_bytes)
    device = run("losetup", "--find", "--show", image).strip()
    try:
        yield Loop(image, device)
    finally:
        run("losetup", "--detach", device)
        image.unlink(missing_ok=True)


@contextmanager
def mounted(device: str, directory: Path, options: str = "defaults") -> Iterator[Path]:
    """Mount a device on a directory that is made for it; unmount at the end, lazily if it is busy."""
    directory.mkdir(parents=True, exist_ok=True)
    run("mount", "-o", options, device, directory)
    try:
        yield directory
    finally:
        unmount(directory)
        directory.rmdir()


def unmount(directory: Path) -> None:
    """Unmount; when somebody still holds it, detach it from the tree. Nothing mounted there is no error."""
    try:
        run("umount", directory)
    except RuntimeError as error:  # not asked before: a filesystem that shut down answers stat(2) with EIO
        if "not mounted" not in str(error):
            run("umount", "--lazy", directory)


@contextmanager
def btrfs_mirror(images: Path, mount_point: Path) -> Iterator[tuple[Path, tuple[Loop, Loop], str]]:
    """Yield a btrfs RAID1 with a large file, one copy of which is damaged: mount point, devices, UUID."""
    with ExitStack() as stack:
        first = stack.enter_context(loop(images / "mirror-1.img", 320 * MIB))
        second = stack.enter_context(loop(images / "mirror-2.img", 320 * MIB))
        run("mkfs.btrfs", "--quiet", "--force", "--data", "raid1", "--metadata", "raid1", first.device, second.device)
        with mounted(first.device, mount_point):
            (mount_point / "archive").write_bytes(os.urandom(MIB) * 160)
            os.sync()
        overwrite(second, DAMAGE_START_BYTES, DAMAGE_LENGTH_BYTES)
        uuid = run("blkid", "--output", "value", "--match-tag", "UUID", "--probe", first.device).strip()
        stack.enter_context(mounted(first.device, mount_point))
        yield mount_point, (first, second), uuid


@contextmanager
def ext4_with_damaged_directory(images: Path, mount_point: Path) -> Iterator[tuple[Path, Loop, str, int]]:
    """Yield an ext4 whose directory `mail` has a damaged block: mount point, device, UUID, inode of the directory."""
    with ExitStack() as stack:
        device = stack.enter_context(loop(images / "ext4.img", 64 * MIB))
        run("mkfs.ext4", "-q", "-b", str(EXT4_BLOCK_BYTES), "-O", "metadata_csum", device.device)
        with mounted(device.device, mount_point):
            directory = mount_point / "mail"
            directory.mkdir()
            for number in range(20):
                (directory / f"message-{number}").write_text("hello\n")
            ino = directory.stat().st_ino
        block = int(run("debugfs", "-R", "blocks /mail", device.device).split()[0])
        overwrite(device, block * EXT4_BLOCK_BYTES + 512, 1024, b"\xa5")
        uuid = run("blkid", "--output", "value", "--match-tag", "UUID", "--probe", device.device).strip()
        stack.enter_context(mounted(device.device, mount_point))
        yield mount_point, device, uuid, ino


def overwrite(device: Loop, start_bytes: int, length_bytes: int, byte: bytes = b"\0") -> None:
    """Overwrite a range of an unmounted device, through the device so that no page cache is stale."""
    with open(device.device, "r+b", buffering=0) as file:  # noqa: PTH123 - a device node
        file.seek(start_bytes)
        left = length_bytes
        while left > 0:
            left -= file.write(byte * min(left, MIB))
        os.fsync(file.fileno())


def read_through(path: Path) -> int:
    """Read a file to its end past the page cache's copy; return how many bytes were readable."""
    readable = 0
    with path.open("rb", buffering=0) as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        while True:
            try:
                chunk = file.read(MIB)
            except OSError:
                return readable
            if not chunk:
                return readable
            readable += len(chunk)


def missing_tools() -> list[str]:
    """Name the tools that this needs and that are not installed."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    tools = ("losetup", "mount", "blkid", "mkfs.btrfs", "mkfs.ext4", "debugfs")
    return [tool for tool in tools if not shutil.which(tool, path=path)]
