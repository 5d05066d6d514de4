"""Checksum errors of a btrfs: incident, ordered scrub, healed, resolved."""

import pytest
from e2e.asking import incidents_of, until

from stage.loops import btrfs_mirror, read_through

pytestmark = pytest.mark.kernel


def test_damage_that_a_copy_exists_of_is_found_scrubbed_and_resolved(running, tmp_path, mount_point):
    with btrfs_mirror(tmp_path, mount_point) as (_, devices, uuid):
        until(lambda: running.fsmend("get", "filesystems"))
        assert read_through(mount_point / "archive") == 160 << 20
        until(lambda: incidents_of(running, uuid))

        def resolved():
            return [one for one in incidents_of(running, uuid) if one["state"] == "resolved"]

        (incident,) = until(resolved, 90)
        commands = running.fsmend("get", "commands", "--all")
        scrub = next(one for one in commands if "scrub_btrfs" in one["command"])
        result = running.fsmend("describe", "command", scrub["command"]["id"])["last_update"]["result"]
        (only,) = incidents_of(running, uuid, *(device.name for device in devices))
    assert only["id"] == incident["id"]
    assert incident["code"] == "FS_DATA_CORRUPTION"
    assert scrub["command"]["ordered_by"] == "policy"
    assert scrub["command"]["incident_id"] == incident["id"]
    assert scrub["command"]["scrub_btrfs"]["devids"] == [2]
    found, corrected, left = (
        sum(one[f"errors_{what}"] for one in result["scrubs"]) for what in ("found", "corrected", "uncorrectable")
    )
    assert found == corrected > 0
    assert left == 0
    assert result["verdict"] == "healed"
    assert result["after"]["counters"]
    inodes = [place["ino"] for place in incident["places"] if place["ino"]]
    assert len(inodes) == len(set(inodes)), incident["places"]
    assert [place["path"] for place in incident["places"] if place["ino"]] == ["archive"]
    assert incident["resolution"].count("errors found") == 1
