"""One device's part of a scrub: every end is an outcome, and a limit is put back."""

import errno
from uuid import UUID

import pytest

from fsmend_agent import btrfs_scrub
from fsmend_agent.btrfs_scrub import DeviceScrub, ScrubSpeed
from fsmend_agent.kernel import btrfs
from fsmend_proto.v1 import command_pb2 as pb


def progress(**fields):
    names = btrfs.ScrubProgress.__dataclass_fields__
    return btrfs.ScrubProgress(**{name: fields.get(name, 0) for name in names})


def device(path=b"/dev/sda", used=1000, total=4000):
    return btrfs.DeviceInfo(2, UUID(int=1), used, total, path)


def stopped(number, **fields):
    error = btrfs.ScrubStopped(number, "stopped")
    error.progress = progress(**fields)
    return error


@pytest.fixture
def kernel(monkeypatch):
    """Let the kernel answer a scrub with this, or raise it."""

    def answer(what, running=None):
        def scrub(fd, devid, **how):
            if isinstance(what, OSError):
                raise what
            return what

        monkeypatch.setattr(btrfs_scrub.btrfs, "scrub", scrub)
        monkeypatch.setattr(btrfs_scrub.btrfs, "scrub_progress", lambda fd, devid: running)
        monkeypatch.setattr(btrfs_scrub.syscall, "ioprio_set", lambda *_: None)

    return answer


def test_the_counts_add_up(kernel):
    kernel(
        progress(
            data_bytes_scrubbed=5,
            tree_bytes_scrubbed=6,
            read_errors=1,
            csum_errors=2,
            verify_errors=3,
            super_errors=4,
            corrected_errors=7,
            uncorrectable_errors=8,
            last_physical=9,
        )
    )
    scrub = DeviceScrub(0, device(), pb.ScrubBtrfs())
    scrub.run()
    outcome = scrub.outcome
    assert (outcome.devid, outcome.bytes, outcome.errors_found) == (2, 11, 10)
    assert (outcome.errors_corrected, outcome.errors_uncorrectable, outcome.last_physical) == (7, 8, 9)
    assert outcome.counters["super_errors"] == 4
    assert (outcome.errno, scrub.done, scrub.never_began) == (0, True, False)


def test_a_read_only_scrub_corrects_nothing_whatever_the_kernel_counts(kernel):
    kernel(progress(csum_errors=2, corrected_errors=2))
    scrub = DeviceScrub(0, device(), pb.ScrubBtrfs(read_only=True))
    scrub.run()
    assert (scrub.outcome.errors_found, scrub.outcome.errors_corrected) == (2, 0)


def test_a_stopped_scrub_keeps_what_it_did(kernel):
    kernel(stopped(errno.ECANCELED, data_bytes_scrubbed=5, last_physical=77))
    scrub = DeviceScrub(0, device(), pb.ScrubBtrfs())
    scrub.run()
    assert (scrub.outcome.errno, scrub.outcome.bytes, scrub.outcome.last_physical) == (errno.ECANCELED, 5, 77)
    assert not scrub.never_began


@pytest.mark.parametrize("number", [errno.EINPROGRESS, errno.EROFS, errno.ENODEV])
def test_a_scrub_that_never_began_says_so(kernel, number):
    kernel(OSError(number, "no"))
    scrub = DeviceScrub(0, device(), pb.ScrubBtrfs())
    scrub.run()
    assert (scrub.outcome.errno, scrub.never_began, scrub.done) == (number, True, True)


def test_a_missing_device_is_not_even_tried(kernel):
    kernel(progress(csum_errors=1))
    scrub = DeviceScrub(0, device(path=b""), pb.ScrubBtrfs())
    scrub.run()
    assert (scrub.outcome.errno, scrub.outcome.errors_found) == (errno.ENODEV, 0)


def test_an_old_answer_never_replaces_the_last_one(kernel):
    kernel(progress(data_bytes_scrubbed=100), running=progress(data_bytes_scrubbed=50))
    scrub = DeviceScrub(0, device(), pb.ScrubBtrfs())
    scrub.poll()
    assert scrub.outcome.bytes == 50
    scrub.run()
    scrub.done = False  # as a poll that began before the end sees it
    scrub.poll()
    assert scrub.outcome.bytes == 100


@pytest.mark.parametrize(("start", "expected"), [(0, 1000), (1000, 750), (4000, 0), (9000, 0)])
def test_what_is_expected_shrinks_with_the_start(start, expected):
    assert DeviceScrub(0, device(), pb.ScrubBtrfs(start_byte=start)).bytes_expected == expected


@pytest.fixture
def limit_file(tmp_path):
    path = tmp_path / "u/devinfo/2/scrub_speed_max"
    path.parent.mkdir(parents=True)
    path.write_text("123\n")
    return path


def test_a_limit_is_set_and_put_back(limit_file, tmp_path):
    speed = ScrubSpeed(tmp_path, "u", 2)
    speed.limit(4096)
    assert limit_file.read_text() == "4096"
    speed.restore()
    assert limit_file.read_text() == "123"


def test_a_limit_that_somebody_else_set_meanwhile_stays(limit_file, tmp_path):
    speed = ScrubSpeed(tmp_path, "u", 2)
    speed.limit(4096)
    limit_file.write_text("7\n")
    speed.restore()
    assert limit_file.read_text() == "7\n"


def test_a_limit_that_could_not_be_taken_back_is_not_set(limit_file, tmp_path):
    def full(_key, _value):
        raise OSError(errno.ENOSPC, "no space for the journal")

    speed = ScrubSpeed(tmp_path, "u", 2)
    with pytest.raises(OSError, match="no space"):
        speed.limit(4096, full)
    speed.restore()
    assert limit_file.read_text() == "123\n"


def test_a_limit_that_the_kernel_does_not_take_is_an_error(limit_file, tmp_path):
    limit_file.unlink()
    limit_file.mkdir()
    with pytest.raises(IsADirectoryError):
        ScrubSpeed(tmp_path, "u", 2).limit(4096)


UUID_TEXT = "0f5ac0de-1111-4222-8333-000000000001"


@pytest.mark.parametrize(("present", "after"), [("4096", "123"), ("7", "7"), ("123", "123")])
def test_a_limit_of_an_earlier_life_is_put_back_unless_somebody_changed_it(tmp_path, present, after):
    file = tmp_path / UUID_TEXT / "devinfo/2/scrub_speed_max"
    file.parent.mkdir(parents=True)
    file.write_text("123")
    noted = {}
    ScrubSpeed(tmp_path, UUID_TEXT, 2).limit(4096, noted.__setitem__)  # and the agent is killed
    file.write_text(present)
    for key, value in noted.items():
        ScrubSpeed.restore_noted(tmp_path, key, value)
    assert file.read_text() == after


@pytest.mark.parametrize(("key", "value"), [("../../x 2", "1 2"), (f"{UUID_TEXT} x", "1 2"), (f"{UUID_TEXT} 2", "a b")])
def test_a_note_that_makes_no_sense_is_left_alone(tmp_path, key, value):
    ScrubSpeed.restore_noted(tmp_path, key, value)


def test_no_limit_asked_changes_nothing_and_none_in_this_kernel_is_an_error(limit_file, tmp_path):
    speed = ScrubSpeed(tmp_path, "u", 2)
    speed.limit(0)
    speed.restore()
    assert limit_file.read_text() == "123\n"
    other = ScrubSpeed(tmp_path, "u", 3)
    with pytest.raises(OSError, match=r"Linux 5\.14"):
        other.limit(5)
    other.restore()
    assert not (tmp_path / "u/devinfo/3").exists()
