"""Who else works on a filesystem, read from a /proc of our own."""

import pytest

from fsmend_agent.xfs.autofsck import Autofsck, parse
from fsmend_agent.xfs.neighbours import working_on


@pytest.fixture
def process(tmp_path):
    """A factory: `process(pid, comm, arguments, holds)` in a /proc; returns that /proc."""

    def make(pid, comm, arguments=(), holds=()):
        entry = tmp_path / "proc" / str(pid)
        (entry / "fd").mkdir(parents=True)
        (entry / "comm").write_text(f"{comm}\n")
        (entry / "cmdline").write_bytes(b"\0".join([comm.encode(), *arguments]) + b"\0")
        for number, path in enumerate(holds):
            (entry / "fd" / str(number)).symlink_to(path)
        return tmp_path / "proc"

    return make


def test_a_scrub_that_holds_a_file_of_it(process, tmp_path):
    proc = process(7, "xfs_scrub", holds=[tmp_path])
    assert list(working_on(tmp_path.stat().st_dev, [b"/data"], proc)) == ["xfs_scrub"]
    assert list(working_on(12345678, [b"/data"], proc)) == []


def test_a_healer_that_was_given_its_mount_point(process):
    proc = process(8, "xfs_healer", [b"--quiet", b"/data"])
    assert list(working_on(12345678, [b"/data"], proc)) == ["xfs_healer"]
    assert list(working_on(12345678, [b"/other"], proc)) == []


def test_other_programs_are_none_of_it(process, tmp_path):
    proc = process(9, "bash", [b"/data"], [tmp_path])
    (proc / "self").symlink_to("9")
    assert list(working_on(tmp_path.stat().st_dev, [b"/data"], proc)) == []


@pytest.mark.parametrize(
    ("value", "word", "check", "repair"),
    [
        (b"none", Autofsck.NONE, False, False),
        (b"check", Autofsck.CHECK, True, False),
        (b"optimize\n", Autofsck.OPTIMIZE, True, False),
        (b"repair\0", Autofsck.REPAIR, True, True),
        (b"whatever", Autofsck.NONE, False, False),
        (b"unset", Autofsck.NONE, False, False),
    ],
)
def test_the_property_says_what_may_be_done(value, word, check, repair):
    assert parse(value) is word
    assert (word.allows_check, word.allows_repair) == (check, repair)
