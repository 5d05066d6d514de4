"""The spool on real filesystems that fill up, shrink and turn read-only."""

import contextlib
import errno
import os
import subprocess
from types import SimpleNamespace

import pytest
from agent.spool.spooling import Bench, counted, drain, event, limits

from fsmend_proto.v1 import record_pb2

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root"),
]


def run(*arguments):
    return subprocess.run(arguments, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def mounted(tmp_path):
    """Mount a filesystem where the spool will be; unmount whatever happens."""
    point = tmp_path / "spool"
    point.mkdir()
    loops = []

    def tmpfs(size):
        run("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(point))
        return point

    def ext4(size_bytes):
        image = tmp_path / "image"
        with image.open("wb") as file:
            file.truncate(size_bytes)
        run("mkfs.ext4", "-q", "-F", str(image))
        loops.append(run("losetup", "-f", "--show", str(image)))
        run("mount", "-t", "ext4", loops[0], str(point))
        return image

    def again():
        run("umount", str(point))
        run("mount", "-t", "ext4", loops[0], str(point))

    yield SimpleNamespace(tmpfs=tmpfs, ext4=ext4, again=again, point=point)
    with contextlib.suppress(subprocess.CalledProcessError):
        run("umount", "-l", str(point))
    for loop in loops:
        with contextlib.suppress(subprocess.CalledProcessError):
            run("losetup", "-d", loop)


@pytest.fixture
def bench(tmp_path):
    bench = Bench(tmp_path, limits(tmp_path, max_bytes=4 << 20))
    yield bench
    bench.abandon()


def messages(spool):
    return [record.event.message.rstrip("x") for record in drain(spool) if record.HasField("event")]


def test_a_tmpfs_of_one_mebibyte_fills_up_and_the_spool_goes_on_in_memory(mounted, bench):
    mounted.tmpfs("1m")
    spool = bench.open()
    total = 0
    while spool.durable and total < 5000:
        spool.append([event(f"{total + i}" + "x" * 900) for i in range(10)])
        total += 10
    assert not spool.durable
    assert "ballast" in bench.changes[0].reason
    assert 600 < total < 1200
    spool.append([event("last")])
    assert counted(drain(spool)) == total + 1
    # The collector takes what there is: space comes back, and with it the disk.
    spool.ack(spool.epoch, spool.next_sequence - 1)
    spool.tend()
    assert spool.durable
    spool.append([event("back")])
    assert messages(bench.open())[-1] == "back"


def test_ext4_that_turns_read_only_is_left_and_taken_again(mounted, bench):
    mounted.ext4(16 << 20)
    spool = bench.open()
    spool.append([event(str(i)) for i in range(50)])
    # As after an error with errors=remount-ro. An orderly remount would be refused: a file is open for writing.
    run("mount", "-o", "remount,abort", str(mounted.point))
    for i in range(50, 60):
        spool.append([event(str(i))])
    assert not spool.durable
    assert bench.changes[0].errno in {errno.EROFS, errno.EIO}
    assert messages(spool) == [str(i) for i in range(60)]
    spool.ack(spool.epoch, 20)
    spool = bench.open()
    assert not spool.durable
    assert messages(spool)[-1] == "59"
    bench.abandon()
    mounted.again()
    spool = bench.open()
    assert spool.durable
    spool.append([event("60")])
    assert messages(bench.open())[-11:] == [str(i) for i in range(50, 61)]
    assert bench.spool.damage == ()


def test_ext4_on_an_image_that_was_cut_off_costs_at_most_what_cannot_be_read(mounted, bench):
    image = mounted.ext4(16 << 20)
    spool = bench.open()
    total = 0
    for _ in range(20):
        spool.append([event(f"{total + i}" + "x" * 900, count=2) for i in range(20)])
        total += 20
    os.truncate(image, 1 << 20)
    run("sh", "-c", "echo 3 > /proc/sys/vm/drop_caches")
    for _ in range(20):
        spool.append([event(f"{total + i}" + "x" * 900, count=2) for i in range(20)])
        total += 20
    assert spool.next_sequence == total + 1
    records = drain(spool)  # which checks that every sequence is accounted for
    lost = [record.gap for record in records if record.HasField("gap")]
    assert lost
    assert {gap.reason for gap in lost} <= {record_pb2.GAP_REASON_SPOOL_IO, record_pb2.GAP_REASON_SPOOL_CORRUPT}
    assert records[-1].event.message.startswith(str(total - 1))
