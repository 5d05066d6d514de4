"""A record names its filesystem and device, also a moment too early or too late."""

import asyncio

import pytest

from fsmend_agent.sources import _units
from fsmend_agent.sources._units import Units
from fsmend_proto.v1 import event_pb2 as pb


class Seconds:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def seconds():
    return Seconds()


def early(name="loop0"):
    return pb.Event(filesystem=pb.FilesystemRef(device_name=name))


def test_an_unmounted_filesystem_is_known_for_some_minutes(make_stage, make_filesystem, seconds):
    filesystem = make_filesystem(device_numbers=((7, 0),))
    stage = make_stage(filesystem)
    units = Units(stage.watch, seconds)
    stage.table.update([])
    looks = [
        lambda: units.by_fsid(filesystem.fsid),
        lambda: units.by_number(7, 0),
        lambda: units.by_filesystem("loop0"),
        lambda: units.by_name("/dev/loop0"),
    ]
    for look in looks:
        assert look().filesystem.uuid == filesystem.uuid
        assert look().device.name == "loop0"
    seconds.now += _units.RECENT_SECONDS + 1
    for look in looks:
        assert look().filesystem is None or look().filesystem.uuid == ""


def test_a_new_filesystem_on_the_same_device_is_the_one_that_counts(make_stage, make_filesystem, seconds):
    stage = make_stage(make_filesystem("u-1"))
    units = Units(stage.watch, seconds)
    stage.table.update([make_filesystem("u-2")])
    assert units.by_filesystem("loop0").filesystem.uuid == "u-2"
    assert units.by_fsid("d9d2c35b6d803ed3").filesystem.uuid == "u-2"


def test_clones_are_not_guessed(make_stage, make_filesystem, seconds):
    stage = make_stage(make_filesystem(), make_filesystem(names=("loop1",), minor=1))
    unit = Units(stage.watch, seconds).by_fsid("d9d2c35b6d803ed3")
    assert (unit.filesystem.uuid, unit.filesystem.fsid, unit.device) == ("", "d9d2c35b6d803ed3", None)


def test_of_a_btrfs_of_several_devices_none_is_blamed(make_stage, make_filesystem, seconds):
    stage = make_stage(make_filesystem("u-1", "btrfs", ("loop0", "loop1"), major=0, minor=44))
    units = Units(stage.watch, seconds)
    assert units.by_filesystem("loop0").device is None
    assert units.by_name("loop0").device.name == "loop0"
    assert units.by_number(0, 44).filesystem.uuid == "u-1"


def test_answers_are_kept_for_a_moment_and_forgotten_when_the_table_changes(make_stage, make_filesystem, seconds):
    stage = make_stage()
    units = Units(stage.watch, seconds)
    assert units.by_filesystem("loop0").filesystem is None
    stage.table.update([make_filesystem()])
    assert units.by_filesystem("loop0").filesystem is not None


def test_the_memory_for_answers_is_bounded(make_stage, seconds):
    units = Units(make_stage().watch, seconds)
    for number in range(3 * _units.MAX_KEPT):
        units.by_fsid(f"{number:016x}")
    assert len(units._kept) <= _units.MAX_KEPT


async def test_an_event_waits_for_its_filesystem_to_appear(make_stage, make_filesystem):
    stage = make_stage()
    units = Units(stage.watch)
    units.emit(early())
    assert stage.events == []
    stage.table.update([make_filesystem()])
    assert [event.filesystem.uuid for event in stage.events] == ["11111111-1111-1111-1111-111111111111"]


async def test_an_event_whose_filesystem_never_appears_goes_out_all_the_same(make_stage, monkeypatch):
    monkeypatch.setattr(_units, "SETTLE_SECONDS", 0.01)
    stage = make_stage()
    units = Units(stage.watch)
    units.emit(early())
    await asyncio.sleep(0.05)
    assert len(stage.events) == 1


async def test_what_waits_is_bounded_and_sent_at_the_end(make_stage):
    stage = make_stage()
    units = Units(stage.watch)
    for _ in range(_units.MAX_WAITING + 5):
        units.emit(early())
    assert len(stage.events) == 5
    units.close()
    assert len(stage.events) == _units.MAX_WAITING + 5


def test_a_path_in_dev_that_is_no_device_keeps_its_name(make_stage, seconds):
    unit = Units(make_stage().watch, seconds).by_name("/dev/mapper/../../etc/passwd")
    assert unit.device.id == ""
