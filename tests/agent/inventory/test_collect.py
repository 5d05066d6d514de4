"""The whole inventory record, its fingerprint, and when it is sent."""

import asyncio
import dataclasses

import pytest
from agent.sysfs_tree import Tree

from fsmend_agent import inventory, survey
from fsmend_agent.filesystems import FilesystemTable, MountedFilesystem
from fsmend_agent.inventory import Roots
from fsmend_agent.inventory import collect as collecting
from fsmend_proto.v1 import event_pb2, inventory_pb2

UUID = "a1f3c2d4-0000-4000-8000-000000000001"
CLOCKS = event_pb2.Clocks(wall_ns=1, boot_ns=2, boot_id="b")


def filesystem(device="sda", **changes):
    one = MountedFilesystem(
        uuid=UUID,
        type="ext4",
        fsid="00" * 8,
        major=8,
        minor=0,
        device_names=(device,),
        mount_points=(b"/nowhere/at/all",),
        read_only=False,
        options="rw",
    )
    return dataclasses.replace(one, **changes)


@pytest.fixture
def roots(tmp_path):
    roots = Roots(tmp_path / "sys", tmp_path / "proc", tmp_path / "etc")
    tree = Tree(roots.sys)
    tree.sata("sda", "8:0", ata=1)
    tree.sata("sdb", "8:16", ata=2)
    (roots.proc / "sys/kernel").mkdir(parents=True)
    (roots.proc / "sys/kernel/osrelease").write_text("6.18.4\n")
    return roots


def collect(roots, *filesystems):
    return collecting.collect(filesystems, CLOCKS, labels={"rack": "r7"}, roots=roots)


def test_it_has_host_devices_and_filesystems(roots):
    found = collect(roots, filesystem())
    assert found.clocks == CLOCKS
    assert found.host.labels["rack"] == "r7"
    assert [device.ref.name for device in found.devices] == ["sda", "sdb"]
    (one,) = found.filesystems
    assert one.ref.uuid == UUID
    assert [device.id for device in one.devices] == ["wwid:naa.5000c500a1b2c3d1"]
    assert list(one.mount_points) == [b"/nowhere/at/all"]


def test_capabilities_stand_with_the_host_or_the_filesystem_they_are_about(roots):
    found = collect(roots, filesystem())
    general = {one.name for one in found.host.capabilities}
    own = {one.name for one in found.filesystems[0].capabilities}
    assert {"tool.e2fsck", "kernel.fs_uuid"} <= general
    assert "blind.file_data" in own
    assert {one.filesystem_uuid for one in found.host.capabilities} == {""}
    assert {one.filesystem_uuid for one in found.filesystems[0].capabilities} == {UUID}


def test_clones_are_both_listed_and_neither_is_a_target(roots):
    found = collect(roots, filesystem("sda"), filesystem("sdb", minor=16))
    assert [one.ref.device_name for one in found.filesystems] == ["sda", "sdb"]
    for one in found.filesystems:
        assert "target.uuid" in {capability.name for capability in one.capabilities}


def test_an_empty_host_is_described(tmp_path):
    found = collecting.collect((), CLOCKS, roots=Roots(tmp_path, tmp_path, tmp_path))
    assert not found.devices
    assert found.host.agent_version


def test_it_survives_the_wire(roots):
    found = collect(roots, filesystem(mount_points=(b"/odd\n\xff",), options="rw,x=\\udcff"))
    assert inventory_pb2.Inventory.FromString(found.SerializeToString()) == found


def test_the_device_table_names_devices_as_the_inventory_does(roots):
    ids = {device.ref.name: device.ref.id for device in collect(roots).devices}
    assert {ref.name: ref.id for ref in inventory.device_table(roots)} == ids


def test_the_fingerprint_ignores_what_changes_by_itself(roots):
    found = collect(roots, filesystem())
    before = inventory.digest(found)
    found.clocks.wall_ns += 1
    found.filesystems[0].free_bytes += 1
    assert inventory.digest(found) == before
    assert found.clocks.wall_ns == 2


@pytest.mark.parametrize(
    "change",
    [
        lambda found: found.host.labels.update(rack="r8"),
        lambda found: setattr(found.filesystems[0], "read_only", True),
        lambda found: setattr(found.devices[0], "firmware", "TN03"),
        lambda found: found.devices.pop(),
        lambda found: setattr(found.host.capabilities[0], "available", not found.host.capabilities[0].available),
    ],
)
def test_the_fingerprint_notices_what_matters(roots, change):
    found = collect(roots, filesystem())
    before = inventory.digest(found)
    change(found)
    assert inventory.digest(found) != before


class Watched:
    """A running `watch` over a table, with an inventory that shows how many filesystems it got."""

    def __init__(self):
        self.table = FilesystemTable()
        self.sent = asyncio.Queue()
        self.collected = 0

    def collect(self, filesystems):
        self.collected += 1
        return inventory_pb2.Inventory(filesystems=[inventory_pb2.Filesystem(ref=one.ref()) for one in filesystems])

    async def next(self):
        async with asyncio.timeout(5):
            return await self.sent.get()

    async def collected_again(self):
        seen = self.collected
        for _ in range(1000):
            await asyncio.sleep(0.005)
            if self.collected >= seen + 2:
                return
        pytest.fail("nothing was collected")


@pytest.fixture
async def watched(monkeypatch):
    monkeypatch.setattr(inventory, "SETTLE_SECONDS", 0.0)
    monkeypatch.setattr(inventory, "LEAST_SECONDS", 0.0)
    one = Watched()
    task = asyncio.create_task(inventory.watch(one.table, one.collect, one.sent.put_nowait))
    yield one
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert not one.table._listeners


async def test_it_is_sent_at_once_and_after_a_mount(watched):
    assert len((await watched.next()).filesystems) == 0
    watched.table.update([filesystem()])
    assert len((await watched.next()).filesystems) == 1


async def test_a_wake_up_without_a_change_collects_nothing(watched):
    await watched.next()
    collected = watched.collected
    watched.table.update([], remounted=True)
    await asyncio.sleep(0.05)
    assert watched.collected == collected


async def test_the_same_again_is_not_sent(watched, monkeypatch):
    await watched.next()
    monkeypatch.setattr(inventory, "LOOK_SECONDS", 0.005)
    watched.table.update([filesystem()])
    await watched.next()
    await watched.collected_again()
    assert watched.sent.empty()


async def test_it_is_sent_again_in_time_even_unchanged(monkeypatch):
    monkeypatch.setattr(inventory, "SETTLE_SECONDS", 0.0)
    monkeypatch.setattr(inventory, "LEAST_SECONDS", 0.0)
    one = Watched()
    task = asyncio.create_task(inventory.watch(one.table, one.collect, one.sent.put_nowait, 0.01))
    try:
        assert await one.next() == await one.next()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_restless_mounts_are_sent_at_a_bounded_rate(watched, monkeypatch):
    monkeypatch.setattr(inventory, "LEAST_SECONDS", 0.2)
    await watched.next()
    for number in range(20):
        watched.table.update([filesystem(f"sd{number}")])
        await asyncio.sleep(0.005)
    await asyncio.sleep(0.05)
    assert watched.sent.qsize() <= 1
    watched.table.update([filesystem("last")])
    while (await watched.next()).filesystems[0].ref.device_name != "last":
        pass


def test_a_survey_is_made_once_for_all_filesystems(roots, monkeypatch):
    calls = []
    real = survey.capabilities
    monkeypatch.setattr(survey, "capabilities", lambda release: calls.append(release) or real(release))
    collect(roots, filesystem("sda"), filesystem("sdb", minor=16))
    assert calls == ["6.18.4"]
