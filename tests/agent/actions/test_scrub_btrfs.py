"""The scrub's own decisions, with a btrfs that is only said to be there (tests/kernel has the real one)."""

import errno
import os
import threading
from dataclasses import replace

import pytest
from agent.executing import FILESYSTEMS

from fsmend_agent import btrfs_scrub
from fsmend_agent.actions import ActionStopped, Order, scrub_btrfs
from fsmend_agent.actions.scrub_btrfs import ScrubBtrfs
from fsmend_agent.errors import ActionFailed, ActionRefused
from fsmend_agent.event import Clock
from fsmend_agent.kernel import btrfs
from fsmend_proto.v1 import command_pb2 as pb


def progress(**fields):
    return btrfs.ScrubProgress(**dict.fromkeys(btrfs.ScrubProgress.__dataclass_fields__, 0) | fields)


class Kernel:
    """Three devices; `outcomes` by devid is what a scrub returns, raises, or calls."""

    def __init__(self):
        self.outcomes = {}
        self.running = {}
        self.cancels = 0
        self.read_only = False

    def scrub(self, fd, devid, **how):
        outcome = self.outcomes.get(devid, progress(data_bytes_scrubbed=1000))
        if callable(outcome):
            outcome = outcome()
        if isinstance(outcome, OSError):
            raise outcome
        return outcome

    def cancel(self, fd):
        self.cancels += 1
        return True


@pytest.fixture
def kernel(monkeypatch):
    made = Kernel()
    devices = [btrfs.DeviceInfo(devid, None, 1000, 4000, b"/dev/x") for devid in (1, 2, 3)]
    monkeypatch.setattr(btrfs, "devices", lambda fd: devices)
    monkeypatch.setattr(btrfs, "scrub", made.scrub)
    monkeypatch.setattr(btrfs, "scrub_progress", lambda fd, devid: made.running.get(devid))
    monkeypatch.setattr(btrfs, "scrub_cancel", made.cancel)
    monkeypatch.setattr(btrfs_scrub.syscall, "ioprio_set", lambda *_: None)
    monkeypatch.setattr(scrub_btrfs, "is_read_only", lambda fd: made.read_only)
    monkeypatch.setattr(scrub_btrfs, "POLL_SECONDS", 0.01)
    return made


@pytest.fixture
def reports():
    return []


@pytest.fixture
def action(reports):
    def make(filesystem=FILESYSTEMS[0], **fields):
        command = pb.Command(id="c", scrub_btrfs=pb.ScrubBtrfs(**fields))
        return ScrubBtrfs(Order(command, filesystem, Clock("b"), reports.append, threading.Event(), 99))

    return make


def checked(action):
    action.check()
    return action


def refusal(action):
    with pytest.raises(ActionRefused) as refused:
        action.check()
    return refused.value.code


def test_all_devices_or_those_named_are_scrubbed(kernel, action):
    assert [one.devid for one in checked(action()).run().scrubs] == [1, 2, 3]
    assert [one.devid for one in checked(action(devids=[3, 1, 3])).run().scrubs] == [1, 3]
    assert checked(action(devids=[3, 1])).intention() == f"scrub devid 1, 3 of btrfs {FILESYSTEMS[0].uuid}"
    assert checked(action(read_only=True)).intention().startswith("check devid 1, 2, 3")


def test_what_cannot_begin_is_refused(kernel, action):
    assert refusal(action(devids=[1, 9])) == pb.REFUSAL_CODE_TARGET_CHANGED
    assert refusal(action(start_byte=5)) == pb.REFUSAL_CODE_MALFORMED
    kernel.running[3] = progress()
    assert refusal(action(devids=[1])) == pb.REFUSAL_CODE_BUSY
    kernel.running.clear()
    kernel.read_only = True
    assert refusal(action()) == pb.REFUSAL_CODE_READ_ONLY
    checked(action(read_only=True))


@pytest.mark.parametrize(
    ("number", "code"), [(errno.EINPROGRESS, pb.REFUSAL_CODE_BUSY), (errno.EROFS, pb.REFUSAL_CODE_READ_ONLY)]
)
def test_a_race_lost_to_somebody_else_is_a_refusal_when_nothing_began(kernel, action, number, code):
    kernel.outcomes = dict.fromkeys((1, 2, 3), OSError(number, "no"))
    with pytest.raises(ActionRefused) as refused:
        checked(action()).run()
    assert refused.value.code == code


def test_without_its_limit_nothing_is_scrubbed_and_what_was_set_is_put_back(kernel, action, tmp_path, monkeypatch):
    monkeypatch.setattr(scrub_btrfs, "SYSFS", tmp_path)
    files = [tmp_path / FILESYSTEMS[0].uuid / f"devinfo/{devid}/scrub_speed_max" for devid in (1, 2, 3)]
    for file in files:
        file.parent.mkdir(parents=True)
        file.write_text("0\n")
    kernel.outcomes = dict.fromkeys((1, 2, 3), lambda: pytest.fail("it was scrubbed"))
    made, seen = checked(action(limit_bytes_per_second=4096)), []

    def remember(key, _value):
        seen.append([file.read_text().strip() for file in files])
        if key.endswith(" 3"):
            raise OSError(errno.EROFS, "the journal is on it")

    made.order = replace(made.order, remember=remember)
    with pytest.raises(ActionRefused, match="the journal is on it"):
        made.run()
    assert seen[-1] == ["4096", "4096", "0"]
    assert [file.read_text().strip() for file in files] == ["0", "0", "0"]


def test_a_kernel_without_limits_refuses_a_scrub_that_must_have_one(kernel, action, tmp_path, monkeypatch):
    monkeypatch.setattr(scrub_btrfs, "SYSFS", tmp_path)
    kernel.outcomes = dict.fromkeys((1, 2, 3), lambda: pytest.fail("it was scrubbed"))
    with pytest.raises(ActionRefused, match=r"Linux 5\.14") as refused:
        checked(action(limit_bytes_per_second=4096)).run()
    assert refused.value.code == pb.REFUSAL_CODE_NOT_SUPPORTED


def test_one_failing_device_fails_the_whole_but_every_one_is_listed(kernel, action):
    kernel.outcomes[2] = OSError(errno.EINPROGRESS, "no")
    with pytest.raises(ActionFailed, match="devid 2: " + os.strerror(errno.EINPROGRESS)) as failed:
        checked(action()).run()
    assert failed.value.errno == errno.EINPROGRESS
    assert [(one.devid, one.errno, one.bytes) for one in failed.value.result.scrubs] == [
        (1, 0, 1000),
        (2, errno.EINPROGRESS, 0),
        (3, 0, 1000),
    ]


def test_cancelling_stops_it_and_tells_where_to_resume(kernel, action):
    made = checked(action(devids=[2]))
    begun = threading.Event()

    def hang():
        begun.set()
        while not kernel.cancels:
            made.order.cancelled.wait(0.01)
        stopped = btrfs.ScrubStopped(errno.ECANCELED, "stopped")
        stopped.progress = progress(last_physical=4711)
        return stopped

    kernel.outcomes[2] = hang
    threading.Thread(target=lambda: (begun.wait(10), made.order.cancelled.set())).start()
    with pytest.raises(ActionStopped, match="devid 2 at byte 4711"):
        made.run()


def test_progress_adds_up_and_never_says_done_too_early(kernel, action, reports):
    let_go = threading.Event()
    kernel.running = {1: progress(data_bytes_scrubbed=5000, csum_errors=2, corrected_errors=1, uncorrectable_errors=1)}
    kernel.outcomes[1] = lambda: let_go.wait(10) and progress(data_bytes_scrubbed=900)
    made = action()
    kernel.running, running = {}, kernel.running
    made.check()
    kernel.running = running
    threading.Timer(0.2, let_go.set).start()
    made.run()
    midway = next(report for report in reports if report.bytes_done > 5000)
    assert (midway.bytes_total, midway.percent, midway.stage) == (3000, 99.9, "scrubbing devid 1")
    assert (midway.errors_found, midway.errors_corrected, midway.errors_uncorrectable) == (2, 1, 1)
    assert (reports[-1].percent, reports[-1].stage, reports[-1].remaining_seconds) == (100, "scrubbed", 0)


def test_probe_tells_what_could_be_done():
    assert ScrubBtrfs.probe(FILESYSTEMS[0]).available
    from dataclasses import replace  # noqa: PLC0415

    other = ScrubBtrfs.probe(replace(FILESYSTEMS[0], type="ext4"))
    assert (other.available, other.name) == (False, "action.scrub_btrfs")
    assert "only be checked" in ScrubBtrfs.probe(replace(FILESYSTEMS[0], read_only=True)).reason


def test_only_a_read_only_scrub_is_a_check():
    assert ScrubBtrfs.classify(pb.Command(scrub_btrfs=pb.ScrubBtrfs())) == pb.ACTION_CLASS_REPAIR
    assert ScrubBtrfs.classify(pb.Command(scrub_btrfs=pb.ScrubBtrfs(read_only=True))) == pb.ACTION_CLASS_CHECK
