"""Collecting goes on past what cannot be read (tests/kernel collects from the real kernel)."""

import threading

import pytest
from agent.executing import FILESYSTEMS

from fsmend_agent import evidence
from fsmend_agent.actions import ActionStopped, Order, collect_evidence
from fsmend_agent.actions.collect_evidence import CollectEvidence
from fsmend_agent.event import Clock
from fsmend_proto.v1 import command_pb2 as pb

NAMES = ["kernel_log", "mountinfo", "btrfs_health", "devices", "diskstats"]


@pytest.fixture(autouse=True)
def host(monkeypatch):
    """Everything readable; what was asked of the kernel log is returned."""
    asked = []

    def kernel_log(lines):
        asked.append(lines)
        return evidence.evidence_file("kernel_log", b"log")

    monkeypatch.setattr(evidence, "kernel_log", kernel_log)
    monkeypatch.setattr(evidence, "mount_table", lambda: evidence.evidence_file("mountinfo", b"table"))
    monkeypatch.setattr(collect_evidence, "read_health", lambda *_: pb.HealthReading(counters={"x": 1}))
    return asked


def action(filesystem=FILESYSTEMS[0], **fields):
    command = pb.Command(id="c", collect_evidence=pb.CollectEvidence(**fields))
    return CollectEvidence(Order(command, filesystem, Clock("b"), lambda _: None, threading.Event()))


def test_with_a_filesystem_everything_is_collected(host):
    result = action(kernel_log_lines=7).run()
    assert [file.name for file in result.evidence] == NAMES
    assert host == [7]
    assert result.verdict == pb.VERDICT_NOT_APPLICABLE


def test_without_a_filesystem_the_host_is():
    made = action(filesystem=None)
    assert [file.name for file in made.run().evidence] == NAMES[:2]
    assert not made.read_health().counters


def test_what_cannot_be_read_says_so_in_its_place(monkeypatch):
    def fail(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(evidence, "kernel_log", fail)
    files = action().run().evidence
    assert [file.name for file in files] == NAMES
    assert b"not permitted" in files[0].content


def test_cancelling_keeps_what_was_collected(host):
    made = action()
    made.order.cancelled.set()
    with pytest.raises(ActionStopped, match="before kernel_log") as stopped:
        made.run()
    assert list(stopped.value.result.evidence) == []


def test_it_is_always_available():
    assert CollectEvidence.probe(FILESYSTEMS[0]).available
