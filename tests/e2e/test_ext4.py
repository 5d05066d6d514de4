"""A real ext4 error, from the kernel to one incident at the collector."""

import re
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest
from e2e.asking import events_of, incidents_of, seen_by, until

from stage.loops import ext4_with_damaged_directory, run

pytestmark = pytest.mark.kernel
ALL = ("fanotify", "trace", "kmsg", "ext4_stats")
ERRNO = {"EFSCORRUPTED": 117, "EFSBADCRC": 74}


def superblock(device, name):
    return Path(f"/sys/fs/ext4/{device}/last_error_{name}").read_text().strip()


def mended(device):
    """Let e2fsck clear the errors; False while somebody holds the device."""
    done = subprocess.run(["e2fsck", "-fy", device], capture_output=True, check=False)
    return done.returncode == 1  # errors corrected


def test_a_corrupt_directory_is_one_incident_joined_from_four_sources(running, tmp_path, mount_point):
    with ext4_with_damaged_directory(tmp_path, mount_point) as (_, device, uuid, ino):
        generation = re.search(r"Generation: (\d+)", run("debugfs", "-R", f"stat <{ino}>", device.device))[1]
        until(lambda: running.fsmend("get", "filesystems"))
        with suppress(OSError):
            list((mount_point / "mail").iterdir())
        seen_by(running, uuid, *ALL)
        function, line = superblock(device.name, "func"), int(superblock(device.name, "line"))
        (incident,) = incidents_of(running, uuid, device.name)
    assert (incident["code"], incident["state"]) == ("FS_CORRUPTION", "open")
    unit = incident["unit"]
    assert (unit["filesystem_uuid"], unit["filesystem_type"]) == (uuid, "ext4")
    assert (unit["device_name"], unit["mount_point"]) == (device.name, str(mount_point))
    assert unit["device_id"].startswith("loop:")
    (place,) = incident["places"]
    assert (place["ino"], place["generation"], place["path"]) == (ino, int(generation), "mail")
    assert (place["function"], place["line"]) == (function, line)
    (fanotify,) = events_of(running, uuid, "fanotify")
    assert fanotify["event"]["errno"] in ERRNO.values()
    assert incident["errnos"] == [fanotify["event"]["errno"]]
    (trace,) = events_of(running, uuid, "trace")
    (logged,) = events_of(running, uuid, "kmsg")
    (counted, *_) = events_of(running, uuid, "ext4_stats")
    assert (trace["event"]["ext4_error"]["function"], trace["event"]["ext4_error"]["line"]) == (function, line)
    assert logged["event"]["kernel_log"]["function"] == function
    assert logged["event"]["inode"]["ino"] == ino
    assert counted["event"]["ext4_counters"]["last"]["ino"] == ino
    assert {one["event"]["device"]["id"] for one in (fanotify, trace, logged, counted)} == {unit["device_id"]}
    assert incident["occurrences"] == counted["event"]["ext4_counters"]["errors_count"]


def test_an_error_of_the_superblock_is_one_incident(running, ext4):
    device, uuid = ext4
    until(lambda: running.fsmend("get", "filesystems"))
    Path(f"/sys/fs/ext4/{device}/trigger_fs_error").write_text("a word of the test")
    seen_by(running, uuid, *ALL)
    (incident,) = incidents_of(running, uuid, device)
    assert incident["unit"]["filesystem_uuid"] == uuid
    assert (incident["occurrences"], incident["errnos"]) == (1, [117])
    (place,) = incident["places"]
    assert (place["ino"], place["function"]) == (0, superblock(device, "func"))
    (fanotify,) = events_of(running, uuid, "fanotify")
    assert fanotify["event"]["fanotify"]["superblock"]
    (logged,) = events_of(running, uuid, "kmsg")
    assert "a word of the test" in logged["event"]["message"]


def test_an_incident_closes_when_the_check_offline_cleared_the_counters(running, tmp_path, mount_point):
    with ext4_with_damaged_directory(tmp_path, mount_point) as (_, device, uuid, _ino):
        until(lambda: running.fsmend("get", "filesystems"))
        with suppress(OSError):
            list((mount_point / "mail").iterdir())
        seen_by(running, uuid, *ALL)
        run("umount", mount_point)
        # A mount namespace that was made meanwhile (by another test) may hold the mount for a while.
        until(lambda: mended(device.device), 60)
        run("mount", device.device, mount_point)
        assert int(Path(f"/sys/fs/ext4/{device.name}/errors_count").read_text()) == 0

        def resolved():
            return incidents_of(running, uuid)[0]["state"] == "resolved"

        until(resolved, otherwise=lambda: running.run("fsmend", "get", "events", "--fs", uuid, "-o", "wide"))
        (incident,) = incidents_of(running, uuid, device.name)
    assert "cleared" in incident["resolution"]
