"""Fixtures of the end-to-end tests: real processes on real filesystems.

Whatever a test wants watched it mounts on `mount_point`: the agent looks at nothing else, so that its collector orders
nothing for the filesystems of other tests on this machine.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from stage.loops import MIB, loop, missing_tools, mounted, run
from stage.processes import Stage

QUICK = {"ext4_stats_interval_seconds": 1, "btrfs_stats_interval_seconds": 1, "xfs_health_interval_seconds": 1}


@pytest.fixture(autouse=True)
def _real_kernel(request):
    if request.node.get_closest_marker("kernel") and (os.geteuid() != 0 or missing_tools()):
        pytest.skip(f"needs root and the tools to make filesystems {missing_tools()}")


@pytest.fixture
def mount_point(tmp_path: Path) -> Path:
    """Where the filesystem of a test is mounted."""
    return tmp_path / "fs"


@pytest.fixture
def stage(tmp_path: Path, mount_point: Path) -> Iterator[Stage]:
    """A collector and an agent's files, nothing started; whatever is started ends with the test."""
    sources = {**QUICK, "mount_points": [str(mount_point)]}
    with Stage(tmp_path / "stage", agent={"sources": sources, "labels": {"rack": "r7"}}) as made:
        yield made


@pytest.fixture
def running(stage: Stage) -> Stage:
    """A collector and an agent that is connected to it."""
    stage.start_collector()
    stage.start_agent()
    return stage


@pytest.fixture
def ext4(tmp_path: Path, mount_point: Path) -> Iterator[tuple[str, str]]:
    """A fresh mounted ext4; its kernel name and UUID."""
    with loop(tmp_path / "ext4.img", 32 * MIB) as device:
        run("mkfs.ext4", "-q", device.device)
        with mounted(device.device, mount_point):
            yield device.name, run("blkid", "-o", "value", "-s", "UUID", "-p", device.device).strip()
