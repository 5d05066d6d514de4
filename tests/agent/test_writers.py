"""Who holds files open for writing."""

import os

import pytest

from fsmend_agent import writers
from fsmend_agent.writers import Writer, find_writers

DEVICE = 0


@pytest.fixture
def proc(tmp_path):
    return tmp_path / "proc"


def process(proc, pid, command, *files):
    folder = proc / str(pid)
    (folder / "fd").mkdir(parents=True)
    (folder / "fdinfo").mkdir()
    (folder / "comm").write_bytes(command + b"\n")
    for number, (path, flags, mount_id) in enumerate(files):
        (folder / "fd" / str(number)).symlink_to(path)
        (folder / "fdinfo" / str(number)).write_text(f"pos:\t0\nflags:\t{flags:o}\nmnt_id:\t{mount_id}\nino:\t5\n")


def test_only_writers_of_the_filesystem_are_found(proc):
    process(proc, 20, b"reader", ("/a", os.O_RDONLY, 7))
    process(proc, 3, b"two", ("/b", os.O_WRONLY, 7), ("/c", os.O_RDWR | os.O_APPEND, 8), ("/d", os.O_RDWR, 9))
    (proc / "self").mkdir()
    found = find_writers({7, 8}, DEVICE, 10, proc)
    assert found.writers == (Writer(3, "two", "/b"), Writer(3, "two", "/c"))
    assert not found.cut
    assert str(found.writers[0]) == "two[3] /b"


def test_a_file_opened_in_another_namespace_is_found_by_its_device(proc, tmp_path):
    file = tmp_path / "file"
    file.touch()
    process(proc, 3, b"one", (file, os.O_WRONLY, 99))
    assert find_writers({7}, file.stat().st_dev, 10, proc).writers == (Writer(3, "one", str(file)),)


def test_the_search_ends_at_its_limits(proc, monkeypatch):
    for pid in range(10, 20):
        process(proc, pid, b"x", ("/a", os.O_WRONLY, 7))
    found = find_writers({7}, DEVICE, 3, proc)
    assert len(found.writers) == 3
    assert found.cut
    monkeypatch.setattr(writers, "SCAN_SECONDS", -1.0)
    assert find_writers({7}, DEVICE, 30, proc).cut


def test_processes_that_end_meanwhile_and_strange_entries_are_passed_over(proc):
    (proc / "5").mkdir(parents=True)
    process(proc, 6, b"\xff\n", ("/a", os.O_WRONLY, 7), ("/b", os.O_WRONLY, 7), ("/c", os.O_WRONLY, 7))
    (proc / "6/fdinfo/0").write_text("nothing")
    (proc / "6/fdinfo/1").unlink()
    assert find_writers({7}, DEVICE, 10, proc).writers == (Writer(6, "\\xff", "/c"),)
