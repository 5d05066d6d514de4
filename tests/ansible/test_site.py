"""The rollout, on real hosts: site.yml twice, agents connected, a real error of one of them in the collector."""

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from stage.hosts import SystemdHost

pytestmark = [pytest.mark.ansible, pytest.mark.timeout(1500)]

CONNECT_SECONDS = 60
EVENT_SECONDS = 30


@pytest.fixture(scope="module")
def rolled_out(fleet):
    """Run site.yml over empty hosts, in check mode first."""
    fleet.checked_first = fleet.play("--check")
    assert not fleet.collector.path("/etc/fsmend").exists()
    fleet.play()
    return fleet


@pytest.fixture
def ext4(tmp_path: Path, rolled_out) -> Iterator[tuple[SystemdHost, str, str]]:
    """Mount a fresh ext4 on a loop device inside the first agent's host; yield host, loop name and UUID."""
    host = rolled_out.agents[0]
    image = tmp_path / "image"
    with image.open("wb") as file:
        file.truncate(16 << 20)
    subprocess.run(["mkfs.ext4", "-q", str(image)], check=True)
    device = subprocess.run(
        ["losetup", "-f", "--show", str(image)], check=True, capture_output=True, text=True
    ).stdout.strip()
    try:
        host.run("mkdir", "-p", "/srv/data")
        host.run("mount", device, "/srv/data")
        uuid = subprocess.run(
            ["blkid", "-o", "value", "-s", "UUID", str(image)], check=True, capture_output=True, text=True
        )
        yield host, device.removeprefix("/dev/"), uuid.stdout.strip()
    finally:
        host.run("umount", "-l", "/srv/data", check=False)
        subprocess.run(["losetup", "-d", device], check=False)


def test_check_mode_over_empty_hosts_says_what_would_change(rolled_out):
    assert all(rolled_out.checked_first[host]["changed"] > 5 for host in ("fsmend-1", "node-a", "node-b"))


def test_second_run_changes_nothing(rolled_out):
    again = rolled_out.play()
    assert {host: counts["changed"] for host, counts in again.items() if host != "localhost"} == dict.fromkeys(
        ["fsmend-1", "node-a", "node-b"], 0
    )


def test_check_mode_after_the_rollout_reports_no_change(rolled_out):
    checked = rolled_out.play("--check")
    assert sum(counts["changed"] for counts in checked.values()) == 0


def test_both_agents_are_connected_under_their_host_names(rolled_out):
    deadline = time.monotonic() + CONNECT_SECONDS
    connected: set[str] = set()
    while time.monotonic() < deadline and connected != {"node-a", "node-b"}:
        connected = {
            agent["host_name"] for agent in items(rolled_out.fsmend("get", "agents")) if agent.get("connected")
        }
        time.sleep(0.5)
    assert connected == {"node-a", "node-b"}


def test_labels_of_the_inventory_are_those_the_collector_knows(rolled_out):
    racks = {host["host"]["name"]: host["host"]["labels"]["rack"] for host in items(rolled_out.fsmend("get", "hosts"))}
    assert racks == {"node-a": "r1", "node-b": "r2"}


def test_real_ext4_error_of_one_host_reaches_the_collector_with_its_filesystem(rolled_out, ext4):
    host, loop, uuid = ext4
    time.sleep(1)  # the mark follows the mount table; the error must come after it
    Path(f"/sys/fs/ext4/{loop}/trigger_fs_error").write_text("fsmend test\n")
    deadline = time.monotonic() + EVENT_SECONDS
    seen: list[dict] = []
    while time.monotonic() < deadline:
        seen = [
            event
            for event in items(rolled_out.fsmend("get", "events", "--fs", uuid))
            if event["event"]["source"] == "fanotify"
        ]
        if seen:
            break
        time.sleep(0.5)
    assert [event["host_name"] for event in seen] == [host.name]
    assert seen[0]["event"]["filesystem"]["uuid"] == uuid


def test_link_runs_without_root_and_without_capabilities(rolled_out):
    host = rolled_out.agents[0]
    pid = host.run("systemctl", "show", "-P", "MainPID", "fsmend-agent-link.service").strip()
    status = host.run("cat", f"/proc/{pid}/status")
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert fields["Uid"].split()[0] != "0"
    assert int(fields["CapEff"], 16) == int(fields["CapBnd"], 16) == 0
    assert fields["NoNewPrivs"] == "1"


@pytest.mark.parametrize(
    ("host", "unit", "worst"),
    [
        ("node-a", "fsmend-agent-link.service", 2.0),
        ("node-a", "fsmend-agent-sense.service", 6.5),
        ("fsmend-1", "fsmend-collector.service", 2.0),
    ],
)
def test_exposure_that_systemd_computes_stays_low(rolled_out, host, unit, worst):
    by_name = {one.name: one for one in rolled_out.lan.hosts}
    output = by_name[host].run("systemd-analyze", "security", "--no-pager", unit)
    assert float(output.rsplit("level for", 1)[1].split(":")[1].split()[0]) <= worst


def test_service_that_is_killed_comes_back_and_the_agent_connects_again(rolled_out):
    host = rolled_out.agents[1]
    for unit in ("fsmend-agent-sense.service", "fsmend-agent-link.service"):
        pid = host.run("systemctl", "show", "-P", "MainPID", unit).strip()
        host.run("kill", "-KILL", pid)
    deadline = time.monotonic() + CONNECT_SECONDS
    while time.monotonic() < deadline:
        states = host.run(
            "systemctl", "is-active", "fsmend-agent-sense.service", "fsmend-agent-link.service", check=False
        )
        agents = {agent["host_name"]: agent.get("connected") for agent in items(rolled_out.fsmend("get", "agents"))}
        if states.split() == ["active", "active"] and agents[host.name]:
            return
        time.sleep(0.5)
    raise AssertionError(f"{states} {agents} {host.run('journalctl', '-n', '50', '--no-pager')}")


def items(document: dict) -> list[dict]:
    """Take the objects out of the CLI's JSON."""
    assert document["apiVersion"] == "fsmend/v1", json.dumps(document)[:200]
    return document["items"]
