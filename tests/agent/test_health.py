"""Counters and sick bits of each kind of filesystem (tests/kernel reads real ones)."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
from agent.executing import FILESYSTEMS

from fsmend_agent import health
from fsmend_agent.event import Clock
from fsmend_agent.kernel import btrfs, ext4, xfs
from fsmend_agent.kernel.xfs_health import HealthDomain, names


@pytest.fixture(autouse=True)
def writable(monkeypatch):
    monkeypatch.setattr(health, "is_read_only", lambda fd: False)


def read(kind):
    return health.read_health(3, replace(FILESYSTEMS[0], type=kind, device_names=("sdx",)), Clock("b"))


def test_btrfs_tells_of_every_device_and_of_missing_ones(monkeypatch):
    devices = [btrfs.DeviceInfo(devid, None, 0, 0, path) for devid, path in ((1, b"/dev/a"), (2, b""))]
    monkeypatch.setattr(btrfs, "devices", lambda fd: devices)
    monkeypatch.setattr(btrfs, "device_stats", lambda fd, devid: btrfs.DeviceStats(devid, 1, 2, 3, 4, 5 * devid))
    reading = read("btrfs")
    assert reading.counters["devid 2 generation_errors"] == 10
    assert reading.counters["devid 1 corruption_errors"] == 4
    assert len(reading.counters) == 10
    assert list(reading.sick) == ["devid 2 missing"]
    assert reading.clocks.boot_id == "b"


def test_xfs_names_what_is_sick(monkeypatch):
    monkeypatch.setattr(xfs, "geometry", lambda fd: SimpleNamespace(sick=5))
    assert list(read("xfs").sick) == list(names(HealthDomain.FS, 5)) != []


def test_ext4_leaves_out_what_the_kernel_lacks(monkeypatch):
    monkeypatch.setattr(ext4, "error_counters", lambda name: ext4.ErrorCounters(3, None, 0, None, None))
    assert dict(read("ext4").counters) == {"errors_count": 3, "msg_count": 0}


def test_a_filesystem_that_does_not_answer_raises(monkeypatch):
    def fail(fd):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(btrfs, "devices", fail)
    with pytest.raises(OSError, match="Input/output"):
        read("btrfs")


def test_of_other_kinds_only_the_mount_is_known():
    reading = read("f2fs")
    assert not reading.counters
    assert not reading.sick
