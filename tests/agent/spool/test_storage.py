"""The disk under the spool fails, and works again."""

import errno
import os
import shutil
from pathlib import Path

import pytest
from agent.spool.spooling import Bench, counted, drain, event, limits, update

from fsmend_agent.spool import ballast, core, segment, storage
from fsmend_agent.spool.ledger import Ledger
from fsmend_proto.v1 import record_pb2


class Disk:
    """Lets writes below a directory fail with an errno."""

    def __init__(self, monkeypatch, bench):
        self.failing = {}
        self._root = bench.root
        real_sync, real_open = os.fdatasync, os.open

        def fdatasync(descriptor):
            self._check(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
            real_sync(descriptor)

        def open_(path, flags, mode=0o777, **more):
            if flags & (os.O_WRONLY | os.O_RDWR):
                self._check(os.fspath(path))
            return real_open(path, flags, mode, **more)

        monkeypatch.setattr(segment.os, "fdatasync", fdatasync)
        monkeypatch.setattr(segment.os, "open", open_)

    def _check(self, path):
        for name, number in self.failing.items():
            if path.startswith(str(self._root / name)):
                raise OSError(number, os.strerror(number), path)


@pytest.fixture
def disk(monkeypatch, bench):
    return Disk(monkeypatch, bench)


@pytest.mark.parametrize("number", [errno.EIO, errno.EROFS, errno.EUCLEAN])
def test_a_failing_disk_is_left_for_memory_and_nothing_is_lost(bench, disk, number):
    spool = bench.open()
    spool.append([event("1"), event("2")])
    disk.failing["spool"] = number
    assert spool.append([event("3")]) == range(3, 4)
    assert spool.append([event("4")]) == range(4, 5)
    records = drain(spool)
    assert [record.event.message for record in records] == ["1", "2", "3", "4"]
    assert [record.non_durable for record in records] == [False, False, True, True]
    assert not spool.durable
    assert [(change.durable, change.errno) for change in bench.changes] == [(False, number)]


def test_it_moves_back_when_the_disk_works_again(bench, disk):
    spool = bench.open()
    spool.append([event("1")])
    disk.failing["spool"] = errno.EIO
    spool.append([event("2")])
    spool.tend()
    assert not spool.durable
    disk.failing.clear()
    spool.tend()
    assert spool.durable
    spool.append([event("3")])
    assert not list((bench.root / "fallback").iterdir())
    assert [change.durable for change in bench.changes] == [False, True]
    for now in (spool, bench.open()):
        records = drain(now)
        assert [record.event.message for record in records] == ["1", "2", "3"]
        assert [record.non_durable for record in records] == [False, True, False]


def test_a_restart_while_the_disk_fails_loses_nothing(bench, disk):
    spool = bench.open()
    spool.append([event("1")])
    disk.failing["spool"] = errno.EROFS
    spool.append([event("2")])
    epoch = spool.epoch
    spool = bench.open()
    assert (spool.epoch, spool.durable) == (epoch, False)
    spool.append([event("3")])
    assert [record.event.message for record in drain(spool)] == ["1", "2", "3"]
    disk.failing.clear()
    spool = bench.open()
    assert spool.durable
    spool.append([event("4")])
    assert [record.event.message for record in drain(bench.open())] == ["1", "2", "3", "4"]
    assert spool.epoch == epoch


def power_cut(bench):
    """Take away what lay in memory; the disk works again."""
    shutil.rmtree(bench.root / "fallback")
    return bench.open()


def test_what_a_power_cut_takes_along_is_not_numbered_again_in_an_epoch_that_left_the_host(bench, disk):
    spool = bench.open()
    spool.append([event("1"), event("2")])
    on_disk = spool.epoch
    disk.failing["spool"] = errno.EIO
    spool.append([event("lost 3"), event("lost 4")])
    in_memory = spool.epoch
    assert in_memory != on_disk
    assert [record.event.message for record in drain(spool)] == ["1", "2", "lost 3", "lost 4"]
    disk.failing.clear()
    spool = power_cut(bench)
    assert spool.epoch == on_disk  # the collector has left it, and asks for another
    spool.append([event("3")])
    assert [record.event.message for record in drain(spool)] == ["1", "2", "3"]
    spool.new_epoch()
    assert spool.epoch not in {on_disk, in_memory}


def test_an_agent_that_starts_on_a_failed_disk_takes_a_new_epoch_once(bench, disk):
    spool = bench.open()
    spool.append([event("1")])
    on_disk = spool.epoch
    spool.close()
    disk.failing["spool"] = errno.EROFS
    epochs = set()
    for number in range(3):
        spool = bench.open()
        spool.append([event(f"again {number}")])
        epochs.add(spool.epoch)
        spool.close()
    assert len(epochs) == 1
    assert on_disk not in epochs
    assert len(drain(bench.open())) == 4
    disk.failing.clear()
    spool = bench.open()
    assert {spool.epoch} == epochs
    assert spool.durable


def test_a_disk_that_comes_and_goes_is_believed_less_each_time(bench, disk, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(storage.time, "monotonic", lambda: clock[0])
    spool = bench.open()
    stays = []
    for number in range(9):
        disk.failing["spool"] = errno.ENOSPC
        while spool.durable:
            spool.append([event(str(number))])
        disk.failing.clear()
        left = clock[0]
        while not spool.durable:
            spool.tend()
            clock[0] += 10.0
        stays.append(clock[0] - 10.0 - left)
    assert stays == [0.0, 60.0, 120.0, 240.0, 480.0, 960.0, 1920.0, 3600.0, 3600.0]
    clock[0] += 7_300.0
    disk.failing["spool"] = errno.EIO
    spool.append([event("calm")])
    disk.failing.clear()
    spool.tend()
    assert spool.durable


def test_each_time_that_the_disk_fails_has_its_own_epoch_and_acknowledged_records_stay_behind(bench, disk, monkeypatch):
    monkeypatch.setattr(storage, "_SHORTEST_STAY_SECONDS", 0.0)
    spool = bench.open()
    epochs = []
    for number in range(3):
        spool.append([event(f"disk {number}")])
        disk.failing["spool"] = errno.EIO
        spool.append([event(f"memory {number}")])
        epochs.append(spool.epoch)
        spool.ack(spool.epoch, spool.next_sequence - 2)
        disk.failing.clear()
        spool.tend()
        assert spool.durable
        assert [record.event.message for record in drain(spool)] == [f"memory {number}"]
        assert spool.epoch == epochs[-1]
    assert len(set(epochs)) == 3


def test_a_way_back_that_fails_may_have_told_the_disk_of_the_epoch(bench, disk, monkeypatch):
    spool = bench.open()
    spool.append([event("1")])
    disk.failing["spool"] = errno.EIO
    spool.append([event("2")])
    disk.failing.clear()
    real_write = Ledger.write

    def write_and_fail(ledger, directory):
        real_write(ledger, directory)
        if directory == bench.root / "spool":
            raise OSError(errno.EIO, "the directory could not be synced")

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "write", write_and_fail)
        spool.tend()
    assert not spool.durable
    spool.append([event("lost")])
    told = {(spool.epoch, record.sequence): record.event.message for record in drain(spool)}
    spool = power_cut(bench)
    spool.append([event("new")])
    again = {(spool.epoch, record.sequence): record.event.message for record in drain(spool)}
    assert [again[name] for name in told.keys() & again.keys() if again[name] != told[name]] == []
    assert "new" in again.values()


def test_an_epoch_that_a_disk_which_cannot_be_read_may_know_is_left(bench, disk, monkeypatch):
    spool = bench.open()
    spool.append([event("1")])
    on_disk = spool.epoch
    disk.failing["spool"] = errno.EROFS
    bench.open()  # writes the ledger to memory; nothing happens then
    real_read = Ledger.read

    def read(directory):
        if directory == bench.root / "spool":
            raise OSError(errno.EIO, "the disk is gone")
        return real_read(directory)

    monkeypatch.setattr(Ledger, "read", read)
    spool = bench.open()
    spool.append([event("lost")])
    assert spool.epoch != on_disk


@pytest.mark.parametrize("after", ["another record", "a while"])
def test_a_reader_that_hangs_in_the_disk_keeps_no_record_out(bench, disk, monkeypatch, after):
    monkeypatch.setattr(core, "_READER_SECONDS", 0.01)
    spool = bench.open()
    spool.append([event("1")])
    epoch = spool.epoch
    disk.failing["spool"] = errno.EIO
    with spool._reading:
        spool.append([event("2")])
        spool.tend()
        assert spool.epoch == epoch
    more = ["3"] if after == "another record" else []
    if more:
        spool.append([event("3")])
    else:
        spool.tend()
    assert spool.epoch != epoch
    assert [record.event.message for record in drain(spool)] == ["1", "2", *more]


def test_acknowledging_goes_on_while_the_disk_fails(bench, disk):
    spool = bench.open()
    spool.append([event("1")])
    disk.failing["spool"] = errno.EROFS
    for i in range(2, 200):
        spool.append([event(str(i) + "x" * 1000)])
        spool.ack(spool.epoch, i - 1)
    assert len(drain(spool)) == 1
    assert bench.open().oldest_sequence <= 199
    assert [record.event.message[:3] for record in drain(bench.spool)][-1] == "199"


def test_memory_is_bounded_as_well(bench, disk):
    spool = bench.open()
    disk.failing["spool"] = errno.EIO
    for _ in range(40):
        spool.append([event("x" * 1000) for _ in range(20)])
    used = sum(path.stat().st_size for path in (bench.root / "fallback").glob("*.segment"))
    assert used <= bench.limits.fallback_max_bytes
    assert counted(drain(spool)) == 800


def test_a_full_disk_first_costs_the_ballast(bench, disk):
    spool = bench.open()
    assert (bench.root / "spool" / ballast.NAME).exists()
    disk.failing["spool"] = errno.ENOSPC
    monkey = spool._storage._ballast.release

    def release():
        disk.failing.clear()  # the space that the ballast gave back
        return monkey()

    spool._storage._ballast.release = release
    spool.append([event("1")])
    assert spool.durable
    assert not (bench.root / "spool" / ballast.NAME).exists()
    assert bench.changes[0].errno == errno.ENOSPC
    spool.tend()
    assert (bench.root / "spool" / ballast.NAME).exists()


def test_what_can_be_kept_nowhere_is_counted_and_told_later(bench, disk):
    spool = bench.open()
    spool.append([event("1")])
    disk.failing.update(spool=errno.EIO, fallback=errno.ENOSPC)
    assert spool.append([event("2", count=5), update()]) == range(2, 2)
    assert spool.append([event("3")]) == range(2, 2)
    disk.failing.clear()
    assert spool.append([event("4")]) == range(3, 4)
    lost = drain(spool)[1].gap
    assert (lost.reason, lost.lost, lost.lost_is_exact) == (record_pb2.GAP_REASON_SPOOL_IO, 7, True)
    assert lost.from_sequence == 0
    reasons = [change.reason.split(",")[0] for change in bench.changes]
    assert sum(reason.startswith("nothing can be kept") for reason in reasons) == 1


def test_a_disk_that_is_dead_from_the_start_is_no_reason_not_to_start(tmp_path, monkeypatch):
    bench = Bench(tmp_path, limits(tmp_path))
    Disk(monkeypatch, bench).failing["spool"] = errno.EIO
    spool = bench.open()
    assert not spool.durable
    spool.append([event("1")])
    assert len(drain(spool)) == 1
    bench.abandon()


def test_what_lay_on_a_disk_that_comes_back_is_carried_over(tmp_path, monkeypatch):
    bench = Bench(tmp_path, limits(tmp_path))
    bench.open().append([event("old 1"), event("old 2")])
    bench.abandon()
    (tmp_path / "spool").rename(tmp_path / "away")
    (tmp_path / "spool").write_text("in the way")  # ENOTDIR: the disk is not there
    spool = bench.open()
    assert not spool.durable
    spool.append([event("new 1")])
    bench.abandon()
    (tmp_path / "spool").unlink()
    (tmp_path / "away").rename(tmp_path / "spool")
    spool = bench.open()
    assert spool.durable
    assert sorted(record.event.message for record in drain(spool)) == ["new 1", "old 1", "old 2"]
    spool.append([event("new 2")])
    assert len(drain(bench.open())) == 4
    bench.abandon()
