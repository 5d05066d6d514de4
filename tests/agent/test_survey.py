"""Capabilities of the host and of each filesystem."""

import dataclasses

import pytest

from fsmend_agent import actions, sources, survey
from fsmend_agent.errors import ActionFailed
from fsmend_agent.filesystems import MountedFilesystem
from fsmend_proto.v1 import inventory_pb2

XFS = MountedFilesystem(
    uuid="a1f3c2d4-0000-4000-8000-000000000001",
    type="xfs",
    fsid="00" * 8,
    major=8,
    minor=1,
    device_names=("sda1",),
    mount_points=(b"/srv",),
    read_only=False,
    options="rw",
)
RELEASE = "6.18.44"


def capability(name, available=True, reason="because"):
    return inventory_pb2.Capability(name=name, available=available, reason=reason)


def by_name(found):
    return {one.name: one for one in found}


def of_filesystem(filesystem=XFS, general=(), **options):
    return by_name(survey.filesystem_capabilities(filesystem, general, RELEASE, **options))


class Present(sources.Source):
    name = "fanotify"
    covers = "errors as they happen"

    @classmethod
    def probe(cls):
        return inventory_pb2.Capability(name="source.fanotify", available=True)


class Absent(Present):
    name = "trace"

    @classmethod
    def probe(cls):
        raise sources.SourceUnavailableError("tracefs is not mounted")


class Broken(Present):
    name = "kmsg"

    @classmethod
    def probe(cls):
        raise PermissionError(1, "Operation not permitted", "/dev/kmsg")


class Scrub(actions.Action):
    name = "scrub_xfs"

    @classmethod
    def probe(cls, filesystem):
        return capability("action.scrub_xfs", filesystem.type == "xfs", "scrub is built in")


class Odd(Scrub):
    name = "repair_xfs"

    @classmethod
    def probe(cls, filesystem):
        raise ActionFailed("shut down")


@pytest.fixture(autouse=True)
def found(monkeypatch):
    monkeypatch.setattr(sources, "discover", lambda: {one.name: one for one in (Present, Absent, Broken)})
    monkeypatch.setattr(actions, "discover", lambda: {one.name: one for one in (Scrub, Odd)})


def test_a_source_says_what_it_covers():
    one = by_name(survey.capabilities(RELEASE))["source.fanotify"]
    assert (one.available, one.reason) == (True, "errors as they happen")


def test_a_source_whose_probe_fails_is_not_available_and_says_why():
    names = by_name(survey.capabilities(RELEASE))
    assert (names["source.trace"].available, names["source.trace"].reason) == (False, "tracefs is not mounted")
    assert not names["source.kmsg"].available
    assert "/dev/kmsg" in names["source.kmsg"].reason


def test_a_tool_is_found_or_missed(monkeypatch, tmp_path):
    (tmp_path / "btrfs").write_text("#!/bin/sh\n")
    (tmp_path / "btrfs").chmod(0o755)
    monkeypatch.setattr(survey, "_TOOL_FOLDERS", ("/nowhere", str(tmp_path)))
    names = by_name(survey.capabilities(RELEASE))
    assert (names["tool.btrfs"].available, names["tool.btrfs"].reason) == (True, f"{tmp_path}/btrfs")
    assert not names["tool.smartctl"].available
    assert "not installed" in names["tool.smartctl"].reason


def test_no_tool_of_the_callers_path_is_trusted(monkeypatch, tmp_path):
    (tmp_path / "xfs_healer").write_text("#!/bin/sh\n")
    (tmp_path / "xfs_healer").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not by_name(survey.capabilities(RELEASE))["tool.xfs_healer"].reason.startswith(str(tmp_path))


@pytest.mark.parametrize(
    ("release", "fs_uuid", "monitor"), [("6.1.0", False, False), ("6.18.4", True, False), ("7.0.1", True, True)]
)
def test_what_the_kernel_is_too_old_for(release, fs_uuid, monitor):
    names = by_name(survey.capabilities(release))
    assert names["kernel.fs_uuid"].available is fs_uuid
    assert names["kernel.xfs_health_monitor"].available is monitor


def test_privileges_come_from_the_effective_set(tmp_path):
    (tmp_path / "status").write_text("Name:\tx\nCapEff:\t0000000000200000\n")
    names = by_name(survey._privileges(tmp_path / "status"))
    assert names["privilege.sys_admin"].available
    assert not names["privilege.dac_read_search"].available
    assert not names["privilege.syslog"].available


def test_privileges_that_cannot_be_read_are_none(tmp_path):
    assert not any(one.available for one in survey._privileges(tmp_path / "missing"))


def test_an_interface_that_reports_nothing_there_is_not_available_though_the_host_has_it():
    one = of_filesystem(general=[capability("source.fanotify")])["source.fanotify"]
    assert not one.available
    assert "before Linux 7.0" in one.reason


def test_an_interface_that_the_host_lacks_shows_nothing():
    one = of_filesystem(general=[capability("source.xfs_health", False, "no such ioctl")])["source.xfs_health"]
    assert (one.available, one.reason) == (False, "no such ioctl")


def test_an_interface_that_no_source_watches_is_not_promised():
    assert "source.xfs_health" not in of_filesystem(general=[])


def test_what_is_blind_depends_on_the_features():
    assert "blind.rmapbt" in of_filesystem(features=["crc"])
    assert "blind.rmapbt" not in of_filesystem(features=["crc", "rmapbt"])


def test_every_action_is_asked_about_the_filesystem():
    names = of_filesystem()
    assert names["action.scrub_xfs"].available
    assert (names["action.repair_xfs"].available, names["action.repair_xfs"].reason) == (False, "shut down")


def test_a_clone_or_a_nameless_filesystem_is_no_target():
    assert "clone" in of_filesystem(clone=True)["target.uuid"].reason
    assert "unknown" in of_filesystem(dataclasses.replace(XFS, uuid=""))["target.uuid"].reason
    assert "target.uuid" not in of_filesystem()


def test_each_capability_names_its_filesystem():
    assert {one.filesystem_uuid for one in of_filesystem().values()} == {XFS.uuid}
