"""What each interface reports of each filesystem, by kernel version."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsmend_agent import coverage

OLD, NEW, NEWEST = (6, 18, 44), (7, 0, 0), (7, 1, 0)


def facts(fs_type, version, *features):
    return {fact.name: fact for fact in coverage.facts(fs_type, version, frozenset(features))}


@pytest.mark.parametrize(
    ("release", "version"),
    [
        ("6.18.44-fc-v669", (6, 18, 44)),
        ("6.12.9-amd64", (6, 12, 9)),
        ("7.0-rc3", (7, 0, 0)),
        ("5.14.0-503.el9.x86_64", (5, 14, 0)),
        ("7", (7, 0, 0)),
        ("", (0, 0, 0)),
        ("unknown", (0, 0, 0)),
    ],
)
def test_the_version_is_read_from_the_release(release, version):
    assert coverage.kernel_version(release) == version


@given(st.text())
def test_no_release_makes_an_error(release):
    assert len(coverage.kernel_version(release)) == 3


@pytest.mark.parametrize(
    ("fs_type", "version", "reports"),
    [
        ("ext4", OLD, True),
        ("xfs", OLD, False),
        ("xfs", NEW, True),
        ("btrfs", OLD, False),
        ("btrfs", NEW, False),
        ("btrfs", NEWEST, True),
        ("f2fs", NEWEST, True),
        ("vfat", NEWEST, False),
    ],
)
def test_a_mark_that_succeeds_is_no_proof(fs_type, version, reports):
    fact = facts(fs_type, version)["source.fanotify"]
    assert fact.available is reports
    assert reports or "reports nothing" in fact.reason or "not known" in fact.reason


def test_each_filesystem_has_its_own_counters():
    own = {"source.ext4_stats", "source.btrfs_stats", "source.xfs_health"}
    assert own & set(facts("ext4", OLD)) == {"source.ext4_stats"}
    assert own & set(facts("btrfs", OLD)) == {"source.btrfs_stats"}
    assert own & set(facts("xfs", OLD)) == {"source.xfs_health"}
    assert own & set(facts("vfat", OLD)) == set()


def test_xfs_health_is_polled_before_linux_7():
    assert "polled" in facts("xfs", OLD)["source.xfs_health"].reason
    assert "polled" not in facts("xfs", NEW)["source.xfs_health"].reason


def test_what_stays_blind_is_said():
    assert {"blind.file_data", "blind.writeback"} <= set(facts("ext4", OLD))
    assert "blind.file_data" not in facts("btrfs", OLD)
    assert "blind.writeback" not in facts("xfs", OLD)


def test_a_format_without_checksums_is_said():
    assert "blind.metadata" in facts("ext4", OLD, "extents")
    assert "blind.metadata" not in facts("ext4", OLD, "extents", "metadata_csum")
    assert "blind.metadata" in facts("xfs", OLD, "finobt", "rmapbt")
    assert "blind.rmapbt" in facts("xfs", OLD, "crc")
    assert "blind.rmapbt" not in facts("xfs", OLD, "crc", "rmapbt")


def test_unknown_features_make_no_statement():
    assert not {"blind.metadata", "blind.rmapbt"} & (set(facts("xfs", OLD)) | set(facts("ext4", OLD)))
