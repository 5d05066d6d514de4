"""A filesystem that comes and goes while the agent runs."""

from pathlib import Path

import pytest
from e2e.asking import events_of, until

from stage.loops import MIB, loop, run

pytestmark = pytest.mark.kernel


def test_a_filesystem_mounted_and_unmounted_meanwhile_is_followed(running, tmp_path, mount_point):
    mount_point.mkdir()
    assert running.fsmend("get", "filesystems") == []
    with loop(tmp_path / "late.img", 32 * MIB) as device:
        run("mkfs.ext4", "-q", device.device)
        uuid = run("blkid", "-o", "value", "-s", "UUID", "-p", device.device).strip()
        for turn in (1, 2):
            run("mount", device.device, mount_point)
            try:
                (listed,) = until(lambda: running.fsmend("get", "filesystems"))
                assert listed["filesystem"]["ref"]["uuid"] == uuid
                assert listed["filesystem"]["mount_points"] == [str(mount_point)]
                Path(f"/sys/fs/ext4/{device.name}/trigger_fs_error").write_text(f"turn {turn}")
                for source in ("fanotify", "trace", "kmsg", "ext4_stats"):
                    until(lambda name=source, turn=turn: len(events_of(running, uuid, name)) >= turn)
            finally:
                run("umount", mount_point)  # fails when the agent keeps the filesystem busy
            until(lambda: running.fsmend("get", "filesystems") == [])
