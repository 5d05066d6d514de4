import asyncio
import json

import pytest

from fsmend_agent import replay as room
from fsmend_agent.config import SourcesConfig
from fsmend_agent.devices import DeviceTable
from fsmend_agent.errors import ConfigError
from fsmend_agent.event import Clock
from fsmend_agent.filesystems import FilesystemTable
from fsmend_agent.sources import Watch

FILESYSTEM = {
    "uuid": "d9d2c35b-0000-4000-8000-6d803ed30000",
    "type": "ext4",
    "fsid": "5bc3d2d9d33e806d",
    "major": 7,
    "minor": 250,
    "device_names": ["loop250"],
    "mount_points": ["/srv/data"],
    "read_only": False,
}
LINE = (
    b"2,100,5000000,-;EXT4-fs error (device loop250): ext4_lookup:1787: inode #13: comm ls: iget: bogus i_mode (377)\n"
)


def write(path, *records):
    path.write_text("\n".join(json.dumps(record) for record in records))
    return path


async def replayed(path):
    """Replay a capture; return the events and the inventories."""
    events, inventories = [], []
    watch = Watch(SourcesConfig(), Clock("boot"), FilesystemTable(), DeviceTable(), events.append, lambda _: None)
    await asyncio.wait_for(room.replay(room.load(path), watch, inventories.append, {"rack": "r1"}), 10)
    return events, inventories


async def test_captured_log_line_becomes_the_event_that_the_real_one_would_be(tmp_path):
    path = write(tmp_path / "c", {"filesystem": FILESYSTEM}, {"source": "kmsg", "raw": LINE.hex()})
    events, _ = await replayed(path)
    assert [(event.filesystem.uuid, event.inode.ino) for event in events] == [(FILESYSTEM["uuid"], 13)]


async def test_captured_filesystems_are_in_the_inventory(tmp_path):
    _, (inventory,) = await replayed(write(tmp_path / "c", {"filesystem": FILESYSTEM}))
    assert [one.ref.uuid for one in inventory.filesystems] == [FILESYSTEM["uuid"]]
    assert inventory.host.labels["rack"] == "r1"


async def test_source_that_does_not_exist_is_named_with_those_that_do(tmp_path):
    with pytest.raises(ConfigError, match=r"no source 'telepathy'.*kmsg"):
        await replayed(write(tmp_path / "c", {"source": "telepathy", "raw": "00"}))


@pytest.mark.parametrize(
    "line", ["{", "[]", '{"source": "kmsg"}', '{"source": "kmsg", "raw": "xyz"}', '{"filesystem": {}}', "7"]
)
def test_line_that_makes_no_sense_is_told_with_its_number(tmp_path, line):
    path = tmp_path / "c"
    path.write_text(json.dumps({"filesystem": FILESYSTEM}) + "\n" + line)
    with pytest.raises(ConfigError, match=r"c:2: "):
        room.load(path)
