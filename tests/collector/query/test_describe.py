"""`fsmend describe`, `health`, `token`, and the rest of the verbs."""

import base64
import json
import subprocess
import sys
import time

import pytest

from fsmend_collector.pki.tokens import check_token
from fsmend_proto.v1 import command_pb2, enrol_pb2, event_pb2, incident_pb2, record_pb2


@pytest.fixture
def story(collector, host, make, fsmend):
    """An incident with a repair that healed it."""
    where = {"uuid": make.UUID, "type": "btrfs", "mount_point": b"/srv/data"}
    place = {"ino": 257, "generation": 7, "path": b"/dir/file"}
    collector.report(host, make.event("bad checksum", errno=117, filesystem=where, inode=place))
    incident = make.incident(
        "inc-0001", host, state=incident_pb2.INCIDENT_STATE_REPAIRING, recommendation="scrub it", errnos=[117],
        sources=["fanotify", "kmsg"], locations=1, evidence_count=1,
    )  # fmt: skip
    incident.places.add(ino=257, generation=7, path=b"/dir/file", function="btrfs_end_bio", line=42)
    incident.timeline.add(wall_ns=time.time_ns(), what="opened", text="two sources agree")
    incident.classes.add(name="fs_data", first_ns=1, latest_ns=2, open=True)
    incident.classes.add(name="fs_shutdown", first_ns=1, latest_ns=2)
    incident.proofs.add(name="mounted", wall_ns=3, text="mounted again: kmsg")
    collector.incident(incident)
    fsmend("repair", "run", "scrub_btrfs", "--fs", "6f2c1", "--incident", "inc-0001", "--reason", "by hand")
    command_id = json.loads(fsmend("get", "commands", "-o", "jsonl").stdout)["command"]["id"]
    update = command_pb2.CommandUpdate(command_id=command_id, state=command_pb2.COMMAND_STATE_SUCCEEDED)
    update.result.verdict = command_pb2.VERDICT_HEALED
    update.result.before.counters["devid 2 corruption_errors"] = 4
    update.result.after.counters["devid 2 corruption_errors"] = 5
    update.result.evidence.add(name="kernel_log", content=b"line one\nline two")
    collector.report(host, record_pb2.Record(command_update=update))
    return command_id


def test_an_incident_is_told_whole(fsmend, story, make):
    out = fsmend("describe", "incident", "inc-0").stdout
    for part in ("FS_CORRUPTION", "web1", make.UUID, "fanotify, kmsg", "EUCLEAN", "257 gen 7", "/dir/file",
                 "btrfs_end_bio:42", "opened: two sources agree", story, "scrub_btrfs, succeeded", "by hand",
                 "verdict healed", "kernel_log (17 bytes)", "scrub it"):  # fmt: skip
        assert part in out, part
    readings = [line.split() for line in out.splitlines()]
    assert ["devid", "2", "corruption_errors", "4", "5"] in readings
    classes = {line[0]: line[-1] for line in readings if line and line[0].startswith("fs_")}
    assert classes == {"fs_data": "no", "fs_shutdown": "yes"}
    assert "mounted: mounted again: kmsg" in out
    assert "line two" in fsmend("describe", "command", story).stdout
    document = json.loads(fsmend("describe", "incident", "inc-0", "-o", "json").stdout)
    assert document["related_commands"][0]["command"]["id"] == story
    assert document["places"][0]["line"] == 42


@pytest.mark.parametrize(
    ("kind", "name", "parts"),
    [
        ("fs", "6f2c1", ["btrfs", "/srv/data", "FS_CORRUPTION", "scrub_btrfs", "bad checksum"]),
        ("fs", "web1:/srv/data", ["6f2c1f0e", "10Gi"]),
        ("host", "web1", ["6.18.0", "rack=r1", "loop0", "/srv/x", "FS_CORRUPTION"]),
        ("device", "loop0", ["loop:loop0", "web1", "10Gi"]),
        ("agent", "web1", ["epoch-1", "connected", "Durable through"]),
        ("event", "2", ["EUCLEAN", "/dir/file", "257 generation 7", "bad checksum"]),
    ],
)
def test_other_kinds_are_described_with_what_belongs_to_them(fsmend, story, kind, name, parts):
    out = fsmend("describe", kind, name).stdout
    for part in parts:
        assert part in out, part


def test_health_of_an_empty_fleet_says_how_hosts_join(fsmend, collector):
    out = fsmend("health").stdout.splitlines()
    assert out[0] == "HEALTH_OK"
    assert "fsmend token create" in out[1]


def test_health_is_ok_for_a_quiet_fleet(fsmend, host):
    out = fsmend("health").stdout.splitlines()
    assert out[0] == "HEALTH_OK"
    assert "1 of 1 agents connected, 2 filesystems, 1 devices" in out[-2]


def test_health_names_each_trouble_worst_first(fsmend, collector, host, make):
    collector.incident(make.incident("inc-1", host))
    collector.incident(make.incident("inc-2", host, severity=3))
    source = make.event("gone", kind=event_pb2.EVENT_KIND_SOURCE_STATE)
    source.event.source_state.name, source.event.source_state.state = "fanotify", event_pb2.SOURCE_STATE_BROKEN
    source.event.source_state.reason = "EBADF"
    collector.report(host, source, record_pb2.Record(gap=record_pb2.Gap(reason=1, lost=7)))
    collector.write(lambda c: c.exec_driver_sql("UPDATE agents SET last_seen_ns = 1") and None)
    quarantined = collector.enrol("twin")
    collector.write(lambda c: c.exec_driver_sql(
        "UPDATE agents SET quarantined = 1, quarantine_reason = 'two sessions' WHERE agent_id = ?", (quarantined,)
    ) and None)  # fmt: skip
    document = json.loads(fsmend("health", "-o", "json").stdout)
    assert document["status"] == "err"
    codes = {check["code"]: check for check in document["checks"]}
    assert set(codes) == {"INCIDENTS_ERROR", "INCIDENTS_WARNING", "AGENTS_SILENT", "AGENTS_QUARANTINED", "GAPS",
                          "SOURCES_BROKEN"}  # fmt: skip
    out = fsmend("health", "detail").stdout
    assert out.index("INCIDENTS_ERROR") < out.index("AGENTS_SILENT")
    assert "web1: fanotify: EBADF" in out
    assert "web1: 1 gap, at least 7 lost" in out
    assert "two sessions" in out
    again = make.event("back", kind=event_pb2.EVENT_KIND_SOURCE_STATE)
    again.event.source_state.name, again.event.source_state.state = "fanotify", event_pb2.SOURCE_STATE_STARTED
    collector.report(host, again)
    assert "SOURCES_BROKEN" not in fsmend("health").stdout


def test_a_token_is_made_shown_once_and_listed_without_its_secret(fsmend, collector):
    (line,) = fsmend("token", "create", "--ttl", "30m", "--host", "web9").stdout.splitlines()
    message = enrol_pb2.JoinToken()
    message.ParseFromString(base64.urlsafe_b64decode(line.removeprefix("fsm1.") + "=="))
    now_ns = time.time_ns()
    assert collector.write(check_token, message.secret, "web9", now_ns)
    (row,) = fsmend("token", "list").stdout.splitlines()[1:]
    assert row.split()[1:5] == ["unused", "web9", "29m", "operator:ada"]
    assert message.secret not in fsmend("token", "list", "-o", "json").stdout


def test_a_dry_run_makes_no_token_and_a_long_one_is_refused(fsmend, collector):
    assert "would make a token for host web9" in fsmend("token", "create", "--host", "web9", "--dry-run").stdout
    assert len(fsmend("token", "list", "--all").stdout.splitlines()) == 1
    assert "30 days at most" in fsmend("token", "create", "--ttl", "31d", status=1).stderr


def test_watch_appends_what_is_new_or_changed_in_a_pipe(collector, host, make):
    command = [sys.executable, "-c", "from fsmend_collector.query.cli import main; main()", "--contexts-file",
               str(collector.contexts("watch")), "get", "inc", "-w", "--interval", "0.2", "-o", "name"]  # fmt: skip
    collector.incident(make.incident("inc-1", host))
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout.readline() == b"incident/inc-1\n"
            collector.incident(make.incident("inc-2", host))
            assert process.stdout.readline() == b"incident/inc-2\n"
        finally:
            process.kill()


def test_version_of_both_sides(fsmend, collector):
    ours, theirs = fsmend("version", "--collector").stdout.splitlines()
    assert ours.removeprefix("fsmend ") == theirs.removeprefix("collector ")


def test_a_shared_cause_is_told_with_its_suspects_figures_and_changes(collector, host, make, fsmend):
    incident = make.incident("inc-0002", host, code="RACK_FAULT", severity=event_pb2.SEVERITY_CRITICAL)
    incident.cause.CopyFrom(incident_pb2.Cause(dimension="rack", value="r1", odds=1e6))
    incident.suspects.add(dimension="power_feed", value="f1", odds=0.25)
    figures = incident_pb2.GroupStatistics(aspect="lost", counted="hosts", observed=12, expected=0.001, population=48)
    figures.changes.append("roll-out of kernel 6.8.12, 40 hosts")
    incident.statistics.CopyFrom(figures)
    collector.incident(incident)
    out = fsmend("describe", "incident", "inc-0002").stdout
    for text in ("rack r1, odds 1e+06", "power_feed f1, odds 0.25", "Figures", "12 of", "roll-out of kernel 6.8.12"):
        assert text in out
