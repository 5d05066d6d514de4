"""What probe and the CLI say about repair of an XFS on this machine's own kernel."""

import json

import pytest
from e2e.asking import until

from stage.loops import MIB, loop, mounted, run
from stage.processes import BIN

pytestmark = pytest.mark.kernel
NAMES = ("xfs.scrub", "xfs.repair", "xfs.rmapbt", "xfs.parent", "xfs.health_monitor", "xfs.healer")


def test_probe_and_describe_list_all_six_with_a_reason(running, tmp_path, mount_point):
    with loop(tmp_path / "xfs.img", 400 * MIB) as device:
        run("mkfs.xfs", "-q", device.device)
        with mounted(device.device, mount_point):
            uuid = run("blkid", "-o", "value", "-s", "UUID", "-p", device.device).strip()
            until(lambda: [one for one in running.fsmend("get", "filesystems") if uuid in json.dumps(one)])
            probed = json.loads(run(BIN / "fsmend-agent", "probe", "-o", "json"))
            shown = running.run("fsmend", "describe", "filesystem", uuid).splitlines()
    (mine,) = [one for one in probed["filesystems"] if one["uuid"] == uuid]
    said = {one["name"]: one for one in mine["capabilities"]}
    for name in NAMES:
        assert said[name]["reason"] or said[name]["available"], name
        (line,) = [line for line in shown if name in line.split()]
        assert ("yes" in line.split()) is said[name]["available"], line
    if not said["xfs.scrub"]["available"]:
        assert "not built into this kernel" in said["xfs.scrub"]["reason"]
        assert not said["action.scrub_xfs"]["available"]
