"""The configuration file."""

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsmend_agent.config import AgentConfig, is_address, load, parse
from fsmend_agent.errors import ConfigError

FULL = """
state_directory = "/s"
runtime_directory = "/r"
link_group = "fsmend"
[collector]
addresses = ["c1:7444"]
enrol_addresses = ["c1:7443"]
[spool]
max_bytes = 10_000_000
max_age_seconds = 3600
segment_bytes = 100_000
ballast_bytes = 0
fallback_max_bytes = 1_000_000
[sources]
disabled = ["smart"]
ext4_stats_interval_seconds = 5
btrfs_stats_interval_seconds = 6.5
xfs_health_interval_seconds = 7
coalesce_window_seconds = 0
mount_points = ["/mnt"]
[inventory]
interval_seconds = 60
[policy]
file = "/p"
[labels]
rack = "r1"
"""


def test_an_empty_file_means_the_defaults():
    assert parse("") == AgentConfig()
    assert AgentConfig().spool.max_bytes == 268_435_456


def test_every_key_is_read():
    config = parse(FULL)
    assert (config.state_directory, config.collector.addresses) == (Path("/s"), ("c1:7444",))
    assert (config.sources.btrfs_stats_interval_seconds, config.sources.disabled) == (6.5, ("smart",))
    assert (config.policy.file, dict(config.labels)) == (Path("/p"), {"rack": "r1"})
    limits = config.spool_limits()
    assert (limits.segment_bytes, limits.fallback_directory) == (100_000, Path("/r/spool"))


def test_every_problem_is_told_at_once():
    text = 'wrong = 1\nstate_directory = "here"\n[spool]\nmax_byte = 1\nmax_bytes = true\n[labels]\nrack = 7\n[sources]\ndisabled = "x"'
    with pytest.raises(ConfigError) as caught:
        parse(text)
    lines = str(caught.value).splitlines()
    told = {line.split(":")[0] for line in lines}
    assert told == {"wrong", "state_directory", "spool.max_byte", "spool.max_bytes", "labels", "sources.disabled"}


@pytest.mark.parametrize(
    "text",
    [
        "[spool]\nmax_bytes = 1",
        "[sources]\nxfs_health_interval_seconds = nan",
        "[sources]\nxfs_health_interval_seconds = inf",
        "[inventory]\ninterval_seconds = 0",
        '[collector]\naddresses = ["nowhere"]',
        '[collector]\naddresses = ["h:99999"]',
        "collector = 1",
        "= broken",
    ],
)
def test_senseless_values_are_refused(text):
    with pytest.raises(ConfigError):
        parse(text)


def test_a_missing_file_means_the_defaults(tmp_path):
    assert load(tmp_path / "none.toml") == AgentConfig()


def test_problems_name_the_file(tmp_path):
    for content in (b"x = 1", b"\xff\xfe", b"#" * 2_000_000):
        file = tmp_path / "agent.toml"
        file.write_bytes(content)
        with pytest.raises(ConfigError, match=r"agent\.toml: "):
            load(file)


def test_a_directory_in_its_place_is_a_clear_error(tmp_path):
    with pytest.raises(ConfigError, match="directory"):
        load(tmp_path)


@given(st.text(max_size=300))
def test_any_text_is_a_configuration_or_a_clear_error(text):
    with contextlib.suppress(ConfigError):
        assert isinstance(parse(text), AgentConfig)


@pytest.mark.parametrize(
    ("address", "good"),
    [("a:1", True), ("[::1]:7", True), ("10.0.0.1:65535", True), ("a:0", False), ("::1:7", False), ("a b:1", False)],
)
def test_addresses_are_host_and_port(address, good):
    assert is_address(address) == good
