"""Containment's own decisions (tests/kernel remounts real filesystems)."""

import errno
import threading
from dataclasses import replace

import pytest
from agent.executing import FILESYSTEMS

from fsmend_agent.actions import Order, remount_read_only
from fsmend_agent.actions.remount_read_only import RemountReadOnly
from fsmend_agent.errors import ActionFailed
from fsmend_agent.event import Clock
from fsmend_agent.kernel.mounts import Mount
from fsmend_agent.writers import Writer, Writers
from fsmend_proto.v1 import command_pb2 as pb

MOUNT = Mount(7, 1, 0, 0, b"/", b"/0", "btrfs", b"/dev/x", (b"rw",), (b"rw", b"space_cache"), read_only=False)
READ_ONLY = replace(MOUNT, super_options=(b"ro",))


@pytest.fixture
def host(monkeypatch):
    """What the kernel answers: `error`, and `mounts` before and after."""

    class Host:
        error = None
        mounts = (READ_ONLY,)
        read_only = True

        def reconfigure(self, fd):
            if self.error:
                raise self.error

    made = Host()
    monkeypatch.setattr(remount_read_only.syscall, "reconfigure_read_only", made.reconfigure)
    monkeypatch.setattr(remount_read_only, "mounts_of", lambda filesystem: list(made.mounts))
    monkeypatch.setattr(remount_read_only, "is_read_only", lambda fd: made.read_only)
    return made


@pytest.fixture
def action(tmp_path):
    with (tmp_path / "root").open("wb") as root:
        order = Order(pb.Command(id="c"), FILESYSTEMS[0], Clock("b"), lambda _: None, threading.Event(), root.fileno())
        yield RemountReadOnly(order)


def test_it_is_proven_by_the_mount_table(host, action):
    action.check()
    assert action.run().verdict == pb.VERDICT_NOT_APPLICABLE
    assert action.read_health().read_only
    assert action.intention() == "remount /0 read-only"


@pytest.mark.parametrize(("mounts", "read_only"), [((READ_ONLY, MOUNT), True), ((READ_ONLY,), False)])
def test_a_kernel_that_says_yes_and_does_not_is_a_failure(host, action, mounts, read_only):
    host.mounts, host.read_only = mounts, read_only
    with pytest.raises(ActionFailed, match="still writable"):
        action.run()


def test_a_read_only_bind_mount_alone_is_not_read_only(host, action):
    host.mounts = (replace(MOUNT, options=(b"ro",), read_only=True),)
    assert not action.read_health().read_only


def test_an_emergency_counts_as_read_only(host, action):
    host.mounts = (replace(MOUNT, super_options=(b"rw", b"emergency_ro")),)
    assert action.read_health().read_only


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (Writers((), cut=False), "by whom was not found"),
        (Writers((Writer(3, "sh", "/0/a"), Writer(4, "vi", "/0/b")), cut=True), r"sh\[3\] /0/a; vi\[4\] /0/b and more"),
    ],
)
def test_who_writes_is_named(host, action, monkeypatch, found, message):
    monkeypatch.setattr(remount_read_only, "find_writers", lambda ids, device, limit: found)
    host.error = OSError(errno.EBUSY, "busy")
    with pytest.raises(ActionFailed, match=message) as failed:
        action.run()
    assert failed.value.errno == errno.EBUSY


def test_other_errors_stay_what_they_are(host, action):
    host.error = OSError(errno.EPERM, "no")
    with pytest.raises(PermissionError):
        action.run()


def test_probe_says_what_is_already():
    assert RemountReadOnly.probe(FILESYSTEMS[0]).available
    assert RemountReadOnly.probe(replace(FILESYSTEMS[0], read_only=True)).reason == "read-only already"
