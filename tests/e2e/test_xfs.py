"""What XFS keeps as sick is in the incident."""

import os
import re
from contextlib import contextmanager, suppress

import pytest
from e2e.asking import events_of, incidents_of, until

from stage.loops import MIB, loop, mounted, overwrite, run

pytestmark = pytest.mark.kernel
BLOCK_BYTES, SECTOR_BYTES = 4096, 512


@contextmanager
def damaged_xfs(directory, mount_point, where):
    """Yield device, UUID and inode of the directory `broken` of a mounted XFS with one bad metadata block.

    `where` gets that inode and returns the commands that lead xfs_db to the block.
    """
    with loop(directory / "xfs.img", 400 * MIB) as device:
        run("mkfs.xfs", "-q", device.device)
        with mounted(device.device, mount_point):
            (mount_point / "broken").mkdir()
            for number in range(100):
                (mount_point / "broken" / f"a file with a long name {number}").touch()
            ino = (mount_point / "broken").stat().st_ino
        walk = [part for command in (*where(ino), "daddr") for part in ("-c", command)]
        sector = int(re.findall(r"daddr is (\d+)", run("xfs_db", "-r", *walk, device.device))[-1])
        overwrite(device, sector * SECTOR_BYTES, BLOCK_BYTES, b"\xa5")
        uuid = run("blkid", "-o", "value", "-s", "UUID", "-p", device.device).strip()
        with mounted(device.device, mount_point):
            yield device, uuid, ino


def sick_of(stage, uuid):
    """Return (scope, number or inode, sick names) of every health event."""
    found = [one["event"] for one in events_of(stage, uuid, "xfs_health")]
    return {
        (one["xfs_health"]["scope"], (one["inode"] or {}).get("ino") or one["xfs_health"]["number"], name)
        for one in found
        for name in one["xfs_health"]["sick_names"]
    }


def test_a_bad_directory_block_is_an_incident_with_the_sick_inode(running, tmp_path, mount_point):
    with damaged_xfs(tmp_path, mount_point, lambda ino: (f"inode {ino}", "dblock 0")) as (device, uuid, ino):
        until(lambda: running.fsmend("get", "filesystems"))
        with suppress(OSError):
            list((mount_point / "broken").iterdir())
        until(lambda: sick_of(running, uuid))
        until(lambda: [one for one in incidents_of(running, uuid) if "xfs_health" in one["sources"]])
        (incident,) = incidents_of(running, uuid, device.name)
    assert sick_of(running, uuid) == {("inode", ino, "dir")}
    assert (incident["code"], incident["unit"]["filesystem_type"]) == ("FS_CORRUPTION", "xfs")
    places = [place for place in incident["places"] if place["ino"] == ino]
    assert [place["path"] for place in places] == ["broken"]


def test_a_bad_free_space_btree_is_an_incident_with_the_sick_group(running, tmp_path, mount_point):
    with damaged_xfs(tmp_path, mount_point, lambda _ino: ("agf 0", "addr bnoroot")) as (device, uuid, _):
        until(lambda: running.fsmend("get", "filesystems"))
        with suppress(OSError):
            (mount_point / "file").write_bytes(os.urandom(MIB))
            os.sync()
        until(lambda: [one for one in sick_of(running, uuid) if one[0] == "ag"])
        until(lambda: [one for one in incidents_of(running, uuid) if "xfs_health" in one["sources"]])
        (incident,) = incidents_of(running, uuid, device.name)
        assert ("ag", 0, "bnobt") in sick_of(running, uuid)
    assert incident["unit"]["filesystem_uuid"] == uuid
    # A failed allocation may shut the filesystem down as well; then the corruption still names the incident.
    assert incident["code"] == "FS_CORRUPTION"
