"""A trace instance on the real kernel: block request errors, ext4 errors with function and line, overruns."""

import os
import select
import time

import pytest
from kernel.loopfs import MIB, corrupt_ext4_directory, need, run, wait_for

from fsmend_agent.kernel import trace
from fsmend_agent.kernel.trace_names import FunctionNames
from fsmend_agent.kernel.trace_records import block_request_error, ext4_error

pytestmark = pytest.mark.kernel


@pytest.fixture
def tracefs(tmp_path, undo):
    need()
    root = trace.find_tracefs(tmp_path / "tracing")
    if root == tmp_path / "tracing":
        undo.callback(run, "umount", root)
    return root


@pytest.fixture
def make_instance(tracefs, undo):
    def make(**kwargs):
        instance = trace.TraceInstance(tracefs, **kwargs)
        undo.callback(instance.close)
        return instance

    return make


@pytest.fixture
def function_names(tracefs, undo):
    names = FunctionNames(tracefs)
    undo.callback(names.close)
    assert names.enable()
    return names


def of_device(batch, loop):
    major, minor = loop.device_number
    return [event for event in batch.events if event.fields["dev"] == major << 20 | minor]


def test_a_read_past_the_end_of_an_image_is_traced_with_its_sector(make_loop, make_instance):
    instance = make_instance()
    assert instance.enable("block", "block_rq_error") is not None
    loop = make_loop(64 * MIB)
    os.truncate(loop.path, 8 * MIB)
    before = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    fd = os.open(loop.device, os.O_RDONLY)
    try:
        with pytest.raises(OSError, match="Input/output"):
            os.pread(fd, 4096, 32 * MIB)
    finally:
        os.close(fd)
    poll = select.poll()
    poll.register(instance.fileno(), select.POLLIN)
    assert poll.poll(2000), "no wake-up for a single event"
    events = wait_for(lambda: of_device(instance.read(), loop))
    record = block_request_error(events[0])
    assert (record.major, record.minor) == loop.device_number
    assert (record.sector, record.error) == (32 * MIB // 512, 5)
    assert record.sectors >= 8
    assert record.operation.startswith("R")
    assert before < record.timestamp_ns < time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def test_a_corrupt_directory_is_traced_with_function_and_line(ext4_fs, function_names, make_instance):
    (ext4_fs.mount() / "broken").mkdir()
    ext4_fs.unmount()
    corrupt_ext4_directory(ext4_fs, "broken")
    instance = make_instance()
    assert instance.enable("ext4", "ext4_error") is not None
    mount_point = ext4_fs.mount()
    with pytest.raises(OSError, match=r"cleaning|Bad message"):
        list((mount_point / "broken").iterdir())
    events = wait_for(lambda: of_device(instance.read(), ext4_fs.loop))
    function_names.learn(events)
    record = ext4_error(events[0], function_names.name(events[0]))
    # The superblock remembers the same error: two independent ways to one place.
    sysfs = f"/sys/fs/ext4/{ext4_fs.loop.name}"
    with open(f"{sysfs}/first_error_func") as function, open(f"{sysfs}/first_error_line") as line:  # noqa: PTH123
        assert (record.function, record.line) == (function.read().strip(), int(line.read()))
    assert (record.pid, record.major, record.minor) == (os.getpid(), *ext4_fs.loop.device_number)


def test_a_storm_is_counted_event_by_event(ext4_fs, make_instance, write_trigger):
    instance = make_instance(buffer_kib_per_cpu=1024)
    instance.enable("ext4", "ext4_error")
    ext4_fs.mount()
    write_trigger(ext4_fs.loop, times=2000)
    count, batch = 0, instance.read(max_pages_per_cpu=1)
    assert batch.more
    while batch.events:
        count += len(of_device(batch, ext4_fs.loop))
        assert (batch.lost, batch.lost_unknown, batch.undecoded) == (0, 0, [])
        batch = instance.read(max_pages_per_cpu=1)
    assert count == 2000
    assert sum(cpu.lost for cpu in instance.stats()) == 0


def test_the_name_is_found_behind_a_storm_that_overwrote_the_first_errors(
    ext4_fs, function_names, make_instance, write_trigger
):
    instance = make_instance(buffer_kib_per_cpu=1024)
    instance.enable("ext4", "ext4_error")
    ext4_fs.mount()
    write_trigger(ext4_fs.loop, times=5000)
    events = of_device(instance.read(max_pages_per_cpu=1000), ext4_fs.loop)
    before = time.monotonic()
    function_names.learn(events)
    assert time.monotonic() - before < 1
    assert {function_names.name(event) for event in events} == {"trigger_test_error"}


def test_what_the_ring_overwrites_is_counted(ext4_fs, make_instance, write_trigger):
    instance = make_instance(buffer_kib_per_cpu=8)
    instance.enable("ext4", "ext4_error")
    ext4_fs.mount()
    write_trigger(ext4_fs.loop, times=2000)
    batch = instance.read(max_pages_per_cpu=1000)
    lost = sum(cpu.lost for cpu in instance.stats())
    assert lost > 0
    assert len(batch.events) + lost == 2000
    assert batch.lost + batch.lost_unknown > 0
    assert batch.lost_unknown or batch.lost == lost


def test_an_event_that_the_kernel_lacks_is_none(make_instance):
    assert make_instance().enable("block", "no_such_event") is None


def test_closing_removes_the_instance_and_stale_ones_go_too(tracefs):
    instance = trace.TraceInstance(tracefs)
    path = instance.path
    assert path.is_dir()
    assert path.name not in trace.remove_stale(tracefs)
    instance.close()
    assert not path.exists()
    # No process has a number above the kernel's limit.
    stale = tracefs / "instances" / "fsmend-4194305-0"
    stale.mkdir()
    assert trace.remove_stale(tracefs) == [stale.name]
    assert not stale.exists()


def test_an_instance_in_use_is_not_taken_away_by_a_process_that_cannot_see_its_owner(tracefs, make_instance):
    # What `remove_stale` relies on for owners in other PID namespaces.
    with pytest.raises(OSError, match="busy"):
        make_instance().path.rmdir()


def test_where_tracefs_is_not_mounted_a_private_place_serves(tmp_path, undo, monkeypatch):
    need()
    monkeypatch.setattr(trace, "TRACEFS_PLACES", (tmp_path / "nowhere",))
    private = tmp_path / "private"
    undo.callback(run, "umount", private)
    assert trace.find_tracefs(private) == private
    assert trace.find_tracefs(private) == private
    instance = trace.TraceInstance(private)
    try:
        assert instance.enable("block", "block_rq_error") is not None
        assert instance.read().events == []
    finally:
        instance.close()
