"""What can go wrong between the CLI and a collector: one or two lines, status 1, no traceback."""

import socket
from datetime import UTC, datetime, timedelta

import pytest

from fsmend_collector.pki.authority import Authority


def lines(result):
    """Return what is on standard error, after checking that it is short and no traceback."""
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    found = result.stderr.splitlines()
    assert 1 <= len(found) <= 2
    assert found[0].startswith("Error: ")
    return found


def test_a_collector_that_is_down_is_named_with_what_to_do(fsmend, collector):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        found = lines(fsmend("health", contexts=collector.contexts("down", address=address), status=1))
    assert f"collector {address} (context 'lab') is not listening" in found[0]
    assert "systemctl status" in found[1]


def test_an_expired_certificate_is_named_with_its_date(fsmend, collector, make, authority):
    old = make.identity(collector.directory / "old", authority, days=1, at=make.long_ago)
    found = lines(fsmend("get", "hosts", contexts=collector.contexts("expired", **old), status=1))
    expiry = make.long_ago + timedelta(days=1)
    assert f"expired at {expiry:%Y-%m-%dT%H:%M:%SZ}" in found[0]
    assert "new one" in found[1]


@pytest.mark.parametrize(
    "arguments",
    [
        ("get", "events", "--host", "a\udcff"),
        ("get", "hosts", "-l", "rack=a\udcff"),
        ("describe", "host", "a\udcff"),
        ("events", "--follow", "--source", "a\udcff"),
        ("same", "a\udcff"),
        ("why", "a\udcff"),
        ("repair", "run", "scrub_xfs", "--fs", "a\udcff"),
        ("repair", "cancel", "a\udcff"),
        ("mute", "a\udcff", "--for", "1h"),
        ("resolve", "inc-1", "--proof", "a\udcff"),
        ("change", "add", "a\udcff", "--scope", "a=b", "--for", "1h"),
        ("change", "end", "a\udcff"),
        ("token", "create", "--host", "a\udcff"),
    ],
)
def test_a_name_that_is_not_utf_8_is_wrong_usage(fsmend, arguments):
    (line,) = lines(fsmend(*arguments, status=2))
    assert line.endswith("a\\xff' is not UTF-8")


def test_a_mount_point_that_is_not_utf_8_is_found(fsmend, collector, make):
    agent_id = collector.enrol("web1")
    collector.report(agent_id, make.inventory("web1", [make.filesystem(mount=b"/srv/\xff")]))
    assert make.UUID in fsmend("describe", "fs", "web1:/srv/\udcff").stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ("get", "events", "--since", "9999-01-01"),
        ("get", "events", "--until", "2262-04-13"),
        ("change", "add", "x", "--scope", "a=b", "--for", "1h", "--from", "9999-01-01"),
        ("diagnose", "--since", "9999-01-01"),
    ],
)
def test_a_time_that_no_clock_of_ours_can_show_is_wrong_usage(fsmend, arguments):
    result = fsmend(*arguments, status=2)
    assert result.stderr.splitlines()[-1].endswith("is later than 2262-04-11, the latest time that there is")


@pytest.mark.parametrize(
    "arguments",
    [
        ("get", "events", "--limit", str(1 << 64)),
        ("events", "-n", str(1 << 64)),
        ("get", "hosts", "--watch", "--interval", "nan"),
        ("get", "hosts", "--watch", "--interval", "inf"),
        ("--timeout", "nan", "health"),
        ("simulate", "--over-wire", "--wait", "inf"),
    ],
)
def test_a_number_beyond_all_use_is_wrong_usage(fsmend, arguments):
    result = fsmend(*arguments, status=2)
    assert result.stderr.splitlines()[-1].startswith("Error: Invalid value for ")


def test_an_agents_certificate_is_not_an_operators(fsmend, collector, make, authority):
    agent = make.identity(collector.directory / "agent", authority, role="agent", name="a-1")
    found = lines(fsmend("get", "hosts", contexts=collector.contexts("agent", **agent), status=1))
    assert "operator's certificate, not that of agent a-1" in found[0]


@pytest.mark.parametrize(
    "call", [["health"], ["events", "-f"], ["events"], ["token", "create"], ["repair", "run", "scrub_btrfs", "--fs", "x"],
             ["repair", "watch", "x"], ["repair", "cancel", "x"]],
)  # fmt: skip
def test_every_call_refuses_an_agent(fsmend, collector, make, authority, call):
    agent = make.identity(collector.directory / "agent", authority, role="agent", name="a-1")
    assert "operator's" in lines(fsmend(*call, contexts=collector.contexts("agent", **agent), status=1))[0]


def test_a_certificate_of_another_authority_is_told_from_a_dead_collector(fsmend, collector, make, tmp_path):
    foreign = Authority.create(tmp_path / "foreign", "foreign", datetime.now(UTC), 10)
    identity = make.identity(collector.directory / "foreign-me", foreign)
    own = collector.contexts("foreign", certificate=identity["certificate"], key=identity["key"])
    assert "was not signed by" in lines(fsmend("health", contexts=own, status=1))[0]


def test_a_collector_of_another_authority_is_not_trusted(fsmend, collector, make, tmp_path):
    foreign = Authority.create(tmp_path / "foreign", "foreign", datetime.now(UTC), 10)
    identity = make.identity(collector.directory / "foreign-me", foreign)
    found = lines(fsmend("health", contexts=collector.contexts("foreign", **identity), status=1))
    assert "did not sign" in found[0]


def test_a_key_that_does_not_belong_to_the_certificate_is_named(fsmend, collector, make, authority):
    other = make.identity(collector.directory / "other", authority)
    found = lines(fsmend("health", contexts=collector.contexts("key", key=other["key"]), status=1))
    assert "does not belong to the certificate" in found[0]


def test_a_certificate_for_another_name_says_how_to_set_server_name(fsmend, collector):
    wrong = collector.contexts("name", server_name="elsewhere.test")
    assert "server_name" in lines(fsmend("health", contexts=wrong, status=1))[1]
    assert fsmend("health", contexts=collector.contexts("right", server_name="collector.test")).stdout


def test_a_server_that_does_not_answer_ends_at_the_deadline(fsmend, collector):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        found = lines(
            fsmend("--timeout", "0.5", "health", contexts=collector.contexts("silent", address=address), status=1)
        )
    assert address in found[0]
    assert "--timeout" in found[1]


def test_what_an_error_quotes_is_escaped(fsmend, host):
    assert "\\x1b[31m" in lines(fsmend("get", "host", "\x1b[31mred\nline", status=1))[0]
