"""`fsmend repair`: what is ordered, for whom, refused when unclear, watched to its end, cancelled."""

import contextlib
import json
import os
import pty
import re
import subprocess
import sys
import time

import pytest
from sqlalchemy import select

from fsmend_collector.fleet import revoke
from fsmend_collector.query.actions import action_names, new_command
from fsmend_collector.query.client import Client
from fsmend_collector.query.contexts import load_context
from fsmend_collector.query.render.readings import update_text
from fsmend_collector.store.schema import audit, commands
from fsmend_proto.v1 import command_pb2, record_pb2


def stored(collector):
    """Return every command in the store."""
    return collector.run(collector.store.read(lambda c: [dict(row._mapping) for row in c.execute(select(commands))]))


def step(state, command_id, **fields):
    """Return one report of the agent on a command."""
    update = command_pb2.CommandUpdate(command_id=command_id, state=state, **fields)
    update.clocks.wall_ns = time.time_ns()
    return record_pb2.Record(command_update=update)


def progress(percent):
    return command_pb2.Progress(
        percent=percent, bytes_done=int(percent), bytes_total=100, errors_found=4, errors_corrected=4
    )


def test_a_step_says_its_verdict_once():
    update = command_pb2.CommandUpdate(state=command_pb2.COMMAND_STATE_SUCCEEDED, result=result())
    assert update_text(update) == "succeeded: verdict healed"
    update.message = "healed: 12 errors found, 12 corrected, 0 uncorrectable"
    assert update_text(update) == f"succeeded: {update.message}"


def result(verdict=command_pb2.VERDICT_HEALED):
    found = command_pb2.CommandResult(verdict=verdict, duration_ns=1_500_000_000)
    found.before.counters["devid 2 corruption_errors"] = 4
    found.after.counters["devid 2 corruption_errors"] = 0
    found.scrubs.add(devid=2, bytes=1 << 20, errors_found=4, errors_corrected=4)
    return found


@pytest.mark.parametrize("target", ["6f2c1f0e-1111-4222-8333-444455556666", "6f2c1", "web1:/srv/data"])
def test_a_repair_is_ordered_by_uuid_prefix_or_mount_point(fsmend, collector, host, make, target):
    out = fsmend("repair", "run", "scrub-btrfs", "--fs", target, "--reason", "checksum errors", "-o", "json").stdout
    view = json.loads(out)
    (row,) = stored(collector)
    command = command_pb2.Command.FromString(row["command"])
    assert view["command"]["id"] == row["id"] == command.id
    assert row["agent_id"] == host
    assert command.WhichOneof("action") == "scrub_btrfs"
    assert command.action_class == command_pb2.ACTION_CLASS_REPAIR
    assert (command.target.filesystem_uuid, command.target.filesystem_type) == (make.UUID, "btrfs")
    assert command.ordered_by == "operator:ada"
    assert command.reason == "checksum errors"
    assert 0 < command.not_after_wall_ns - time.time_ns() <= 900 * 10**9
    read = lambda c: [tuple(one) for one in c.execute(select(audit.c.actor, audit.c.action, audit.c.detail))]  # noqa: E731
    assert ("operator:ada", "command.created", "checksum errors") in collector.run(collector.store.read(read))


def test_a_dry_run_shows_the_command_and_stores_nothing(fsmend, collector, host, make):
    out = fsmend("repair", "run", "scrub_btrfs", "--fs", "6f2c1", "--set", "read_only=true", "--dry-run").stdout
    assert "would be sent" in out
    assert make.UUID in out
    assert "check" in out
    assert "read_only=True" in out
    assert stored(collector) == []


def test_a_device_is_given_by_identity_or_kernel_name(fsmend, collector, host):
    fsmend("repair", "run", "scrub_btrfs", "--fs", "6f2c1", "--device", "loop1")
    assert stored(collector)[0]["device_id"] == "loop:loop1"
    error = fsmend("repair", "run", "scrub_btrfs", "--fs", "6f2c1", "--device", "sdq", status=1).stderr
    assert "it has: loop0 (loop:loop0), loop1 (loop:loop1)" in error


@pytest.mark.parametrize(
    ("arguments", "problem", "advice"),
    [
        (["--fs", "6f2c"], "is not unique", "write more of the UUID"),
        (["--fs", "beef"], "there is no filesystem 'beef'", "fsmend get filesystems"),
        (["--fs", "web1:/nowhere"], "there is no filesystem 'web1:/nowhere'", "fsmend get filesystems"),
        (["--fs", "6f2c1", "--host", "nope"], "there is no host 'nope'", "fsmend get hosts"),
        (["--fs", "web1:/srv/x"], "scrub_btrfs is for btrfs", "is xfs"),
    ],
)
def test_an_unclear_order_is_refused_with_what_to_do(fsmend, collector, host, arguments, problem, advice):
    error = fsmend("repair", "run", "scrub_btrfs", *arguments, status=1).stderr
    assert problem in error
    assert advice in error
    assert stored(collector) == []


def test_a_host_that_was_enrolled_anew_is_not_two(fsmend, collector, host, make):
    collector.write(revoke, host, "operator:ada", 1)
    again = collector.enrol("web1")
    collector.report(again, make.inventory("web1", [make.filesystem()]))
    fsmend("repair", "run", "scrub_btrfs", "--fs", "web1:/srv/data")
    assert [one["agent_id"] for one in stored(collector)] == [again]


def test_a_filesystem_on_two_hosts_needs_the_host(fsmend, collector, host, make):
    clone = collector.enrol("web2")
    collector.report(clone, make.inventory("web2", [make.filesystem()]))
    error = fsmend("repair", "run", "scrub_btrfs", "--fs", make.UUID, status=1).stderr
    assert "is on several hosts: web1" in error
    assert "add --host HOST" in error
    fsmend("repair", "run", "scrub_btrfs", "--fs", make.UUID, "--host", "web2")
    assert stored(collector)[0]["agent_id"] == clone


def test_what_the_host_cannot_do_is_refused_with_its_reason(fsmend, collector, make):
    agent_id = collector.enrol("web1")
    filesystem = make.filesystem()
    filesystem.capabilities.add(name="action.scrub_btrfs", available=False, reason="mounted read-only")
    collector.report(agent_id, make.inventory("web1", [filesystem]))
    assert (
        "cannot run on web1: mounted read-only"
        in fsmend("repair", "run", "scrub_btrfs", "--fs", "6f2c", status=1).stderr
    )


@pytest.mark.parametrize(
    "arguments",
    [["mend_everything", "--fs", "x"], ["scrub_btrfs"], ["scrub_btrfs", "--fs", "x", "--set", "nope=1"],
     ["scrub_btrfs", "--fs", "x", "--set", "read_only=maybe"], ["scrub_btrfs", "--fs", "x", "--set", "devids=-1"],
     ["scrub_btrfs", "--fs", "a:/x", "--host", "b"]],
)  # fmt: skip
def test_wrong_usage_of_run_has_status_2(fsmend, host, arguments):
    fsmend("repair", "run", *arguments, status=2)


def test_every_action_of_the_proto_can_be_named():
    assert {"scrub_btrfs", "collect_evidence", "remount_read_only"} <= set(action_names())
    command = new_command("scrub-btrfs", ["devids=1", "devids=0x2", "limit_bytes_per_second=1000"])
    assert list(command.scrub_btrfs.devids) == [1, 2]
    assert command.scrub_btrfs.limit_bytes_per_second == 1000


def wait_for(condition):
    deadline = time.monotonic() + 20
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


def watched(collector):
    """Wait until somebody watches commands."""
    wait_for(lambda: collector.feed._followers.get("commands"))


def test_run_with_wait_shows_each_step_and_succeeds_with_the_readings(fsmend, collector, host, in_background):
    running = in_background(fsmend, "repair", "run", "scrub_btrfs", "--fs", "6f2c1", "--wait")
    command_id = wait_for(lambda: stored(collector))[0]["id"]
    watched(collector)
    collector.report(host, step(command_pb2.COMMAND_STATE_ACCEPTED, command_id))
    for percent in (10, 55):
        collector.report(host, step(command_pb2.COMMAND_STATE_RUNNING, command_id, progress=progress(percent)))
        time.sleep(0.1)
    collector.report(host, step(command_pb2.COMMAND_STATE_SUCCEEDED, command_id, result=result()))
    out = running.result(20).stdout
    assert f"command {command_id} queued for web1" in out
    assert "running: 55%, 55/100, 4 errors, 4 corrected, 0 uncorrectable" in out
    assert "succeeded: verdict healed" in out
    assert ["devid", "2", "corruption_errors", "4", "0"] in [line.split() for line in out.splitlines()]


@pytest.mark.parametrize("state", ["FAILED", "REFUSED", "TIMED_OUT", "CANCELLED", "UNKNOWN"])
def test_watch_has_status_1_unless_the_command_succeeded(fsmend, collector, host, state):
    fsmend("repair", "run", "scrub_btrfs", "--fs", "6f2c1")
    command_id = stored(collector)[0]["id"]
    final = command_pb2.CommandState.Value(f"COMMAND_STATE_{state}")
    collector.report(host, step(final, command_id, message="because"))
    assert f"{state.lower()}: because" in fsmend("repair", "watch", command_id[:13], status=1).stdout
    documents = fsmend("repair", "watch", command_id, "-o", "jsonl", status=1).stdout.splitlines()
    assert json.loads(documents[-1])["state"] == state.lower()


def test_the_collector_ends_the_stream_after_the_final_state(fsmend, collector, host, in_background):
    fsmend("repair", "run", "scrub_btrfs", "--fs", "6f2c1")
    command_id = stored(collector)[0]["id"]
    with Client(load_context(collector.contexts("stream"), None), 10) as client:
        states = in_background(lambda: [view.state for view in client.watch_command(command_id)])
        watched(collector)
        collector.report(host, step(command_pb2.COMMAND_STATE_SUCCEEDED, command_id))
        assert states.result(10)[-1] == command_pb2.COMMAND_STATE_SUCCEEDED
        assert [view.state for view in client.watch_command(command_id)] == [command_pb2.COMMAND_STATE_SUCCEEDED]


def test_a_command_that_was_never_sent_is_cancelled_at_once(fsmend, collector, host):
    fsmend("repair", "run", "scrub_btrfs", "--fs", "6f2c1")
    command_id = stored(collector)[0]["id"]
    assert "would be asked to stop" in fsmend("repair", "cancel", command_id[:8], "--dry-run").stdout
    assert stored(collector)[0]["state"] == command_pb2.COMMAND_STATE_QUEUED
    assert "is cancelled; it was never sent" in fsmend("repair", "cancel", command_id[:8], "--reason", "oops").stdout
    row = stored(collector)[0]
    assert (row["state"], row["cancel_by"], row["cancel_reason"]) == (9, "operator:ada", "oops")
    assert "has ended: cancelled" in fsmend("repair", "cancel", command_id, status=1).stderr


def test_an_unknown_or_ambiguous_command_is_named(fsmend, collector, host):
    assert "there is no command 'x'" in fsmend("repair", "cancel", "x", status=1).stderr
    for identity in ("cmd-aa", "cmd-ab"):
        command = command_pb2.Command(id=identity, action_class=command_pb2.ACTION_CLASS_OBSERVE)
        command.collect_evidence.SetInParent()
        collector.run(collector.dispatch.create(command, host, "policy"))
    error = fsmend("repair", "watch", "cmd-a", status=1).stderr
    assert "cmd-aa" in error
    assert "cmd-ab" in error
    assert "write more of it" in error


def test_history_folds_progress_and_ignores_reports_of_other_agents(fsmend, collector, host, make):
    fsmend("repair", "run", "scrub_btrfs", "--fs", "6f2c1")
    command_id = stored(collector)[0]["id"]
    steps = [step(command_pb2.COMMAND_STATE_RUNNING, command_id, progress=progress(n)) for n in range(0, 100, 5)]
    collector.report(host, step(command_pb2.COMMAND_STATE_ACCEPTED, command_id), *steps)
    liar = collector.enrol("liar")
    collector.report(liar, step(command_pb2.COMMAND_STATE_SUCCEEDED, command_id))
    view = json.loads(fsmend("describe", "command", command_id, "-o", "json").stdout)
    assert view["state"] == "running"
    assert [(one["state"], (one["progress"] or {}).get("percent")) for one in view["history"]] == [
        ("accepted", None),
        ("running", 0),
        ("running", 95),
    ]


def test_on_a_terminal_a_bar_shows_the_progress(collector, host, fsmend):
    """Run on a pseudo terminal, and look at what arrives there."""
    fsmend("repair", "run", "scrub_btrfs", "--fs", "6f2c1")
    command_id = stored(collector)[0]["id"]
    running = step(command_pb2.COMMAND_STATE_RUNNING, command_id, progress=progress(40))
    collector.report(host, running)
    ours, theirs = pty.openpty()
    code = "from fsmend_collector.query.cli import main; main(prog_name='fsmend')"
    command = [
        sys.executable,
        "-c",
        code,
        "--contexts-file",
        str(collector.contexts("bar")),
        "repair",
        "watch",
        command_id,
    ]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120"}
    with subprocess.Popen(command, stdout=theirs, stderr=theirs, env=environment) as process:
        os.close(theirs)
        watched(collector)
        shown = b""
        while b"running" not in shown:
            shown += os.read(ours, 65536)
        collector.report(host, step(command_pb2.COMMAND_STATE_SUCCEEDED, command_id, result=result()))
        with contextlib.suppress(OSError):  # EIO: the other end is closed
            while data := os.read(ours, 65536):
                shown += data
        assert process.wait(20) == 0
    os.close(ours)
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown.decode())
    assert "scrub_btrfs on web1: running" in text
    assert "━" in text
    assert "verdict healed" in text
