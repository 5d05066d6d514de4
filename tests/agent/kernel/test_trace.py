"""Tracefs as far as plain folders can play it; the rest is in tests/kernel."""

import os

import pytest

from fsmend_agent.kernel import trace

STATS = """entries: 3
overrun: 17
commit overrun: 2
bytes: 128
oldest event ts:  1193.946778
now ts:  1194.024676
dropped events: 1
read events: 3001
"""


def test_counters_of_a_ring_are_read():
    stats = trace.parse_stats(4, STATS)
    assert stats == trace.CpuStats(4, 3, 17, 2, 1, 3001)
    assert stats.lost == 20


def test_counters_that_a_kernel_lacks_are_zero():
    assert trace.parse_stats(0, "entries: 1\n").lost == 0


def test_a_mounted_tracefs_is_found(tmp_path, monkeypatch):
    (tmp_path / "tracing" / "instances").mkdir(parents=True)
    monkeypatch.setattr(trace, "TRACEFS_PLACES", (tmp_path / "missing", tmp_path / "tracing"))
    assert trace.find_tracefs() == tmp_path / "tracing"


def test_without_tracefs_it_is_mounted_in_the_private_place(tmp_path, monkeypatch):
    monkeypatch.setattr(trace, "TRACEFS_PLACES", (tmp_path / "missing",))
    with pytest.raises(FileNotFoundError, match="tracefs"):
        trace.find_tracefs()
    calls = []
    monkeypatch.setattr(trace.syscall, "mount", lambda *arguments: calls.append(arguments))
    private = tmp_path / "run" / "tracing"
    assert trace.find_tracefs(private) == private
    assert calls == [("tracefs", str(private), "tracefs", 2 | 4 | 8)]
    assert private.stat().st_mode & 0o777 == 0o700


def test_only_instances_of_dead_fsmend_processes_are_removed(tmp_path):
    names = ["fsmend-4194305-0", f"fsmend-{os.getpid()}-0", "fsmend-mine", "other-4194305-0", "fsmend-4194306-1"]
    for name in names:
        (tmp_path / "instances" / name).mkdir(parents=True)
    # What cannot be removed, as the kernel refuses while somebody reads it, does not stop the others.
    (tmp_path / "instances" / "fsmend-4194306-1" / "busy").touch()
    assert trace.remove_stale(tmp_path) == ["fsmend-4194305-0"]
    left = {path.name for path in (tmp_path / "instances").iterdir()}
    assert left == set(names) - {"fsmend-4194305-0"}


def test_an_instance_that_cannot_be_made_leaves_no_descriptor(tmp_path):
    before = os.listdir("/proc/self/fd")  # noqa: PTH208
    with pytest.raises(FileNotFoundError, match="fsmend-"):
        trace.TraceInstance(tmp_path / "nowhere")
    assert os.listdir("/proc/self/fd") == before  # noqa: PTH208
