"""What probe and the inventory say about repair of an XFS, and what a person sees of it."""

import json

import pytest
from vm.filesystem import Xfs
from vm.fleet import wait_for

from stage.processes import BIN

pytestmark = [pytest.mark.vm, pytest.mark.timeout(3600)]
NAMES = {"xfs.scrub", "xfs.repair", "xfs.rmapbt", "xfs.parent", "xfs.health_monitor", "xfs.healer"}


@pytest.fixture
def xfs(host):
    made = Xfs(host)
    yield made
    made.release()


@pytest.mark.parametrize("has_rmapbt", [True, False])
def test_probe_the_inventory_and_describe_agree(host, collector, xfs, has_rmapbt):
    xfs.make(f"-m rmapbt={int(has_rmapbt)},reflink=1")
    xfs.mount()
    wait_for(lambda: collector.filesystem(xfs.uuid), 60, host.log_end)
    probed = json.loads(host.sh(f"{BIN}/fsmend-agent probe -o json"))
    (mine,) = [one for one in probed["filesystems"] if one["uuid"] == xfs.uuid]
    said = {one["name"]: one["available"] for one in mine["capabilities"] if one["name"] in NAMES}
    assert said == {
        "xfs.scrub": True,
        "xfs.repair": True,
        "xfs.rmapbt": has_rmapbt,
        "xfs.parent": False,  # xfsprogs 6.1 cannot make them
        "xfs.health_monitor": False,
        "xfs.healer": False,
    }
    known = {one.name: one.available for one in collector.filesystem(xfs.uuid).capabilities if one.name in NAMES}
    assert known == said
    shown = collector.stage.run("fsmend", "describe", "filesystem", xfs.uuid)
    for name, available in said.items():
        (line,) = [line for line in shown.splitlines() if name in line.split()]
        assert ("yes" in line.split()) is available, line
