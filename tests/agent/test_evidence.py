"""Evidence is bounded and says when it was cut."""

import json

import pytest

from fsmend_agent import evidence
from fsmend_agent.filesystems import MountedFilesystem
from fsmend_agent.kernel import kmsg
from fsmend_proto.v1 import command_pb2 as pb

FILESYSTEM = MountedFilesystem(
    "u", "ext4", "", 254, 0, ("dm-0",), (b"/",), read_only=False, options="rw,errors=continue"
)


@pytest.fixture
def root(tmp_path):
    block = tmp_path / "class/block"
    disk = tmp_path / "devices/pci/block/sda"
    (disk / "sda1").mkdir(parents=True)
    block.mkdir(parents=True)
    (disk / "device").mkdir()
    (disk / "device/state").write_text("offline\n")
    (disk / "sda1/partition").write_text("1\n")
    (disk / "sda1/size").write_text("2048\n")
    (tmp_path / "devices/dm-0/slaves/sda1").mkdir(parents=True)
    (tmp_path / "devices/dm-0/dm").mkdir()
    (tmp_path / "devices/dm-0/dm/name").write_bytes(b"vg-\xff\n")
    (block / "sda").symlink_to(disk)
    (block / "sda1").symlink_to(disk / "sda1")
    (block / "dm-0").symlink_to(tmp_path / "devices/dm-0")
    return tmp_path


def test_devices_are_followed_down_to_the_disk(root):
    assert evidence.below(["dm-0"], root) == ["dm-0", "sda1", "sda"]
    told = json.loads(evidence.devices(FILESYSTEM, root).content)
    assert told == {"dm-0": {"dm/name": "vg-\\xff"}, "sda1": {"size": "2048"}, "sda": {"device/state": "offline"}}


def test_a_ring_of_devices_ends(root):
    (root / "class/block/sda/slaves/dm-0").mkdir(parents=True)
    assert evidence.below(["dm-0"], root) == ["dm-0", "sda1", "sda"]


def test_diskstats_has_the_lines_of_these_devices_only(root, tmp_path):
    path = tmp_path / "diskstats"
    path.write_bytes(b"   8 0 sda 1 2\n   8 1 sda1 3\n   8 16 sdb 4\n\n 1 2\n 254 0 dm-0 5\n")
    assert evidence.diskstats(FILESYSTEM, root, path).content == b"   8 0 sda 1 2\n   8 1 sda1 3\n 254 0 dm-0 5"


def test_counters_tell_what_was_read():
    reading = pb.HealthReading(counters={"errors_count": 3}, sick=["x"], read_only=True)
    told = json.loads(evidence.counters(FILESYSTEM, reading).content)
    assert told["counters"] == {"errors_count": 3}
    assert (told["sick"], told["read_only"], told["options"]) == (["x"], True, "rw,errors=continue")


def test_what_is_cut_says_so():
    data = bytes(evidence.FILE_LIMIT_BYTES) + b"end"
    whole = evidence.evidence_file("x", b"short")
    assert (whole.content, whole.truncated) == (b"short", False)
    head, tail = evidence.evidence_file("x", data), evidence.evidence_file("x", data, keep_end=True)
    assert head.truncated
    assert tail.truncated
    assert len(head.content) == len(tail.content) == evidence.FILE_LIMIT_BYTES
    assert tail.content.endswith(b"end")


@pytest.fixture
def log(monkeypatch, tmp_path):
    """A kernel log of these records."""
    path = tmp_path / "kmsg"
    path.touch()
    waiting = []
    monkeypatch.setattr(kmsg, "read_record", lambda fd: waiting.pop(0) if waiting else None)

    def read(lines, *records):
        waiting[:] = records
        return evidence.kernel_log(lines, str(path)).content

    return read


def test_the_log_is_its_last_lines_with_control_characters_escaped(log):
    records = [b"6,%d,%d,-;line %d\n SUBSYSTEM=block\n" % (number, number, number) for number in range(9)]
    assert log(2, *records) == b"6,7,7 line 7\n6,8,8 line 8"
    assert log(0, b"3,1,2,-;tail \\x1b[0m\n") == b"3,1,2 tail \\x1b[0m"


def test_lost_and_strange_records_are_kept_in_the_log(log):
    assert log(9, kmsg.Lost.OVERWRITTEN, b"garbage", b"30,1,2,-;daemon\n") == (
        b"(records were overwritten here)\ngarbage\n30,1,2 daemon"
    )


def test_a_wish_for_too_many_lines_is_bounded(log):
    records = [b"6,%d,1,-;x\n" % number for number in range(evidence.LINES_LIMIT + 50)]
    assert len(log(2**32 - 1, *records).splitlines()) == evidence.LINES_LIMIT
