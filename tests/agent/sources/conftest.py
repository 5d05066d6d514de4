"""Watches without a kernel: a made-up sysfs, a table of made-up filesystems, and lists that take what is sent."""

from dataclasses import dataclass, field

import pytest

from fsmend_agent.config import SourcesConfig
from fsmend_agent.devices import DeviceTable
from fsmend_agent.event import Clock
from fsmend_agent.filesystems import FilesystemTable, MountedFilesystem
from fsmend_agent.sources import Watch


@dataclass
class Stage:
    """A watch, and what came out of it."""

    watch: Watch
    table: FilesystemTable
    events: list = field(default_factory=list)
    gaps: list = field(default_factory=list)


def mounted(uuid="11111111-1111-1111-1111-111111111111", kind="ext4", names=("loop0",), **changes):
    """Make a mounted filesystem."""
    values = {
        "uuid": uuid,
        "type": kind,
        "fsid": "d9d2c35b6d803ed3",
        "major": 7,
        "minor": 0,
        "device_names": names,
        "mount_points": (b"/mnt",),
        "read_only": False,
        "options": "rw",
    }
    return MountedFilesystem(**values | changes)


@pytest.fixture(scope="session")
def make_filesystem():
    return mounted


@pytest.fixture(scope="session")
def make_stage(tmp_path_factory):
    """A factory: `make_stage(*filesystems) -> Stage`; the sysfs has loop0, loop1 and sda with sda1 and sda2."""
    root = tmp_path_factory.mktemp("sysfs")
    for minor, name in enumerate(("loop0", "loop1", "sda", "sda1", "sda2")):
        folder = root / "class/block" / name
        folder.mkdir(parents=True)
        (folder / "dev").write_text(f"7:{minor}\n")
        (folder / "diskseq").write_text(f"{minor + 1}\n")
        (root / "dev/block").mkdir(parents=True, exist_ok=True)
        (root / f"dev/block/7:{minor}").symlink_to(folder)

    def make(*filesystems):
        events, gaps, table = [], [], FilesystemTable(filesystems)
        watch = Watch(SourcesConfig(), Clock("boot"), table, DeviceTable(root), events.append, gaps.append)
        return Stage(watch, table, events, gaps)

    return make
