"""The life of a command on its host."""

import asyncio
import os
import threading
import time

import pytest
from agent.executing import UUIDS, Bench, until_cancelled

from fsmend_agent import execution, executor
from fsmend_agent.errors import ActionFailed, ActionRefused
from fsmend_agent.journal import Journal, Step
from fsmend_agent.policy import Policy
from fsmend_proto.v1 import command_pb2 as pb


@pytest.fixture(autouse=True)
def any_target(monkeypatch):
    monkeypatch.setattr(execution, "open_proven", lambda filesystem: os.open("/", os.O_RDONLY))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal"


async def test_a_command_is_accepted_runs_and_ends_with_both_readings(path):
    def behaviour(order):
        order.report(pb.Progress(percent=50))
        return pb.CommandResult(scrubs=[pb.ScrubOutcome(errors_found=2, errors_corrected=2)])

    bench = Bench(path, behaviour)
    end = await bench.run()
    assert bench.states("c0") == ["ACCEPTED", "RUNNING", "RUNNING", "SUCCEEDED"]
    assert bench.ran == ["read c0", "c0", "read c0"]
    assert end.result.verdict == pb.VERDICT_HEALED
    assert end.message == "healed: 2 errors found, 2 corrected, 0 uncorrectable"
    assert end.result.HasField("before")
    assert end.result.HasField("after")
    assert all(update.clocks.boot_id == "boot" for update in bench.updates)
    assert bench.executor.unfinished == []


async def test_when_an_action_has_ended_its_filesystem_is_looked_at_again(path):
    bench, looked = Bench(path), []
    bench.executor._acted = looked.append
    await bench.run()
    assert [one.uuid for one in looked] == [UUIDS[0]]


async def test_started_is_on_disk_before_the_action_begins(path):
    seen = []
    bench = Bench(path, lambda order: seen.append(Journal(path)[order.command.id].step))
    await bench.run()
    assert seen == [Step.STARTED]
    assert Journal(path)["c0"].step is Step.REPORTED


async def test_a_finished_command_sent_again_reports_its_end_again_and_does_not_run(path):
    bench = Bench(path)
    command = bench.command()
    first = await bench.run(command)
    bench.executor.submit(command)
    await bench.until(lambda: len(bench.of("c0")) == 4)
    assert bench.updates[-1] == first
    bench.start()
    bench.executor.submit(command)
    await bench.until(lambda: len(bench.of("c0")) == 5)
    assert bench.updates[-1] == first
    assert bench.ran.count("c0") == 1


async def test_a_running_command_sent_again_reports_where_it_is(path):
    bench = Bench(path, until_cancelled)
    command = bench.command()
    bench.executor.submit(command)
    bench.executor.submit(command)
    await bench.until(lambda: bench.of("c0") and bench.of("c0")[-1].HasField("progress"))
    count = len(bench.updates)
    bench.executor.submit(command)
    await bench.until(lambda: len(bench.updates) > count)
    assert bench.updates[-1].progress.percent == 1
    assert bench.ran.count("c0") == 1
    await bench.executor.close()


async def test_the_same_id_with_another_content_changes_nothing(path):
    bench = Bench(path)
    await bench.run(bench.command("x"))
    count = len(bench.updates)
    bench.executor.submit(bench.command("x"))
    await bench.until(lambda: not bench.executor._tasks)
    assert len(bench.updates) == count
    assert bench.ran.count("x") == 1


async def test_a_refused_command_does_not_run_when_it_comes_again(path):
    bench = Bench(path)
    command = bench.command()
    bench.policy = Policy(broken="broken")
    refused = await bench.run(command)
    assert (refused.state, refused.refusal) == (pb.COMMAND_STATE_REFUSED, pb.REFUSAL_CODE_POLICY_DENIES)
    bench.policy = Policy()
    bench.executor.submit(command)
    await bench.until(lambda: len(bench.of("c0")) == 2)
    assert bench.updates[-1] == refused
    assert bench.ran == []


@pytest.mark.parametrize(
    ("raised", "state", "code", "errno", "message"),
    [
        (ActionFailed("no", 28), "FAILED", 0, 28, "no"),
        (OSError(5, "Input/output error", "/x"), "FAILED", 0, 5, "[Errno 5] Input/output error: '/x'"),
        (ZeroDivisionError("oops"), "FAILED", 0, 0, "ZeroDivisionError: oops"),
        (StopIteration(), "FAILED", 0, 0, "StopIteration: "),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad \udcff"), "FAILED", 0, 0, "UnicodeDecodeError: 'utf-8' codec"),
        (ActionRefused(pb.REFUSAL_CODE_BUSY, "in use"), "REFUSED", pb.REFUSAL_CODE_BUSY, 0, "in use"),
    ],
)
@pytest.mark.parametrize("where", ["behaviour", "checked"])
async def test_whatever_an_action_raises_is_an_outcome(path, where, raised, state, code, errno, message):
    def behave(order):
        raise raised

    bench = Bench(path, **{where: behave})
    end = await bench.run()
    assert bench.states("c0")[-1] == state
    assert (end.refusal, end.errno) == (code, errno)
    assert end.message.startswith(message)
    bench.action.behaviour = bench.action.checked = staticmethod(lambda order: None)
    assert (await bench.run()).state == pb.COMMAND_STATE_SUCCEEDED


async def test_a_failure_with_a_result_is_read_again(path):
    def behaviour(order):
        raise ActionFailed("half", 5, pb.CommandResult(scrubs=[pb.ScrubOutcome(), pb.ScrubOutcome(errno=5)]))

    end = await Bench(path, behaviour).run()
    assert end.state == pb.COMMAND_STATE_FAILED
    assert end.result.HasField("after")
    assert end.result.verdict == pb.VERDICT_NOT_HEALED


async def test_health_that_cannot_be_read_again_is_no_healing(path):
    bench = Bench(path, lambda order: pb.CommandResult(scrubs=[pb.ScrubOutcome(errors_found=1, errors_corrected=1)]))
    read = bench.action.read_health

    def read_health(action):
        if action.order.command.id in bench.ran:
            raise OSError(5, "Input/output error")
        return read(action)

    bench.action.read_health = read_health
    end = await bench.run()
    assert end.state == pb.COMMAND_STATE_SUCCEEDED
    assert end.result.verdict == pb.VERDICT_NOT_HEALED
    assert "cannot be read again" in end.message


async def test_a_running_command_is_cancelled_and_keeps_its_result(path):
    bench = Bench(path, until_cancelled)
    bench.executor.submit(bench.command())
    await bench.until(lambda: "RUNNING" in bench.states("c0"))
    bench.executor.cancel(pb.CancelCommand(command_id="c0", ordered_by="ada", reason="noise"))
    end = await bench.end_of("c0")
    assert end.state == pb.COMMAND_STATE_CANCELLED
    assert end.message == "cancelled by ada: noise; stopped at 1 %"
    assert end.result.scrubs[0].errno == 125


async def test_a_cancel_of_what_never_came_is_answered_and_one_of_what_ended_tells_its_end(path):
    bench = Bench(path)
    bench.executor.cancel(pb.CancelCommand(command_id="never"))
    answer = await bench.end_of("never")
    assert (answer.state, "never came" in answer.message) == (pb.COMMAND_STATE_CANCELLED, True)
    end = await bench.run()
    count = len(bench.of("c0"))
    bench.executor.cancel(pb.CancelCommand(command_id="c0"))
    await bench.until(lambda: len(bench.of("c0")) > count)
    assert bench.of("c0")[-1] == end
    assert bench.ran.count("c0") == 1
    bench.executor.cancel(pb.CancelCommand(command_id="bad\nid"))
    assert not bench.of("bad\nid")


async def test_a_command_that_comes_after_its_cancel_does_not_run(path):
    bench = Bench(path)
    late, later = bench.command("late"), bench.command("later")
    for command in (late, later):
        bench.executor.cancel(pb.CancelCommand(command_id=command.id))
    bench.executor.submit(late)
    await bench.end_of("later")
    bench.start()
    bench.executor.submit(later)
    await bench.until(lambda: len(bench.of("later")) == 2)
    assert {update.state for update in bench.updates} == {pb.COMMAND_STATE_CANCELLED}
    assert not bench.ran


async def test_a_command_that_comes_while_the_agent_stops_does_not_begin(path):
    bench = Bench(path)
    closing = asyncio.create_task(bench.executor.close())
    await asyncio.sleep(0)
    bench.executor.submit(bench.command())
    await closing
    await asyncio.sleep(0.05)
    assert not bench.updates
    assert not bench.ran


async def test_an_end_that_is_asked_for_again_and_again_waits_once_for_the_spool(path, monkeypatch):
    monkeypatch.setattr(executor, "IN_HAND_LIMIT", 3)
    monkeypatch.setattr(executor, "OVERFLOW_ANSWERS", 5)
    bench = Bench(path)
    command = bench.command()
    await bench.run(command)
    bench.updates.clear()
    bench.kept = asyncio.get_running_loop().create_future()
    for _ in range(100):
        bench.executor.submit(command)
        bench.executor.cancel(pb.CancelCommand(command_id=command.id))
        await asyncio.sleep(0.001)
    assert len(bench.updates) <= 8
    bench.kept.set_result(None)
    await bench.executor.close()


async def test_a_dry_run_checks_and_does_nothing(path):
    bench = Bench(path)
    end = await bench.run(bench.command(dry_run=True))
    assert end.state == pb.COMMAND_STATE_SUCCEEDED
    assert end.message == "would scrub_btrfs /0"
    assert bench.ran == []

    def refuse(order):
        raise ActionRefused(pb.REFUSAL_CODE_READ_ONLY, "read-only")

    bench.action.checked = staticmethod(refuse)
    assert (await bench.run(bench.command(dry_run=True))).refusal == pb.REFUSAL_CODE_READ_ONLY


async def test_an_action_past_its_time_is_stopped(path):
    bench = Bench(path, until_cancelled, timeout_seconds=0.05)
    end = await bench.run()
    assert end.state == pb.COMMAND_STATE_TIMED_OUT
    assert end.message == "stopped at 1 %"


async def test_an_action_that_the_kernel_holds_is_reported_and_keeps_its_filesystem(path, monkeypatch):
    monkeypatch.setattr(executor, "STOP_GRACE_SECONDS", 0.05)
    let_go = threading.Event()
    bench = Bench(path, lambda order: let_go.wait(20) and None, timeout_seconds=0.05)
    bench.executor.submit(bench.command())
    await bench.until(lambda: "TIMED_OUT" in bench.states("c0"))
    refused = await bench.run(bench.command(target=pb.Target(filesystem_uuid=UUIDS[0])))
    assert refused.refusal == pb.REFUSAL_CODE_BUSY
    let_go.set()
    await bench.end_of("c0")
    assert bench.states("c0").count("TIMED_OUT") == 1
    assert bench.states("c0")[-1] == "TIMED_OUT"
    freed = await bench.run(bench.command(target=pb.Target(filesystem_uuid=UUIDS[0])))
    assert freed.refusal == 0


async def test_no_more_run_at_once_than_may_and_the_waiting_can_be_cancelled_or_expire(path, monkeypatch):
    monkeypatch.setattr(executor, "RUNNING_LIMIT", 2)
    go = threading.Event()
    bench = Bench(path, lambda order: go.wait(20) and None)
    commands = [
        bench.command(),
        bench.command(),
        bench.command(),
        bench.command(time_to_live_seconds=1),
        bench.command(),
    ]
    for command in commands[:2]:
        bench.executor.submit(command)
    await bench.until(lambda: {"c0", "c1"} <= set(bench.ran))  # which of all come first is not said
    for command in commands[2:]:
        bench.executor.submit(command)
    await bench.until(lambda: all(bench.of(one.id) for one in commands) and bench.ran.count("c1") == 1)
    bench.executor.cancel(pb.CancelCommand(command_id="c2"))
    assert (await bench.end_of("c2")).state == pb.COMMAND_STATE_CANCELLED
    assert sorted(bench.ran) == ["c0", "c1", "read c0", "read c1"]
    await asyncio.sleep(1.1)
    go.set()
    assert (await bench.end_of("c3")).state == pb.COMMAND_STATE_EXPIRED
    assert (await bench.end_of("c4")).state == pb.COMMAND_STATE_SUCCEEDED
    assert "c3" not in bench.ran


async def test_without_a_journal_nothing_that_changes_anything_begins(path, monkeypatch):
    bench = Bench(path)

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Journal, "_append", fail)
    end = await bench.run()
    assert end.state == pb.COMMAND_STATE_REFUSED
    assert "journal" in end.message
    assert bench.ran == []
    bench.action.action_class = pb.ACTION_CLASS_OBSERVE
    assert (await bench.run()).state == pb.COMMAND_STATE_SUCCEEDED


async def test_a_journal_that_fails_between_acceptance_and_start_stops_it(path, monkeypatch):
    bench = Bench(path)

    def fail(_journal, _command_id):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Journal, "start", fail)
    end = await bench.run()
    assert end.state == pb.COMMAND_STATE_REFUSED
    assert "c0" not in bench.ran


async def test_a_flood_is_refused_bounded_and_ends_nothing(path, monkeypatch):
    monkeypatch.setattr(executor, "IN_HAND_LIMIT", 3)
    monkeypatch.setattr(executor, "OVERFLOW_ANSWERS", 5)
    bench = Bench(path, until_cancelled)
    for number in range(3):
        bench.executor.submit(bench.command(f"good{number}"))
    for number in range(100):
        bench.executor.submit(bench.command(f"bad{number}"))
        bench.executor.submit(pb.Command(id="\n" * 1000))
    refused = [update for update in bench.updates if update.state == pb.COMMAND_STATE_REFUSED]
    assert len(refused) == 5
    assert {update.refusal for update in refused} == {pb.REFUSAL_CODE_BUSY, pb.REFUSAL_CODE_MALFORMED}
    assert all(len(update.command_id) <= 200 for update in refused)
    assert bench.executor.unfinished == ["good0", "good1", "good2"]
    await bench.executor.close()
    assert all(bench.states(f"good{number}")[-1] == "CANCELLED" for number in range(3))


async def test_the_policy_is_read_for_every_command(path):
    bench = Bench(path)
    assert (await bench.run()).state == pb.COMMAND_STATE_SUCCEEDED
    bench.policy = Policy(broken="no")
    assert (await bench.run()).refusal == pb.REFUSAL_CODE_POLICY_DENIES


async def test_the_collectors_clock_decides_once_it_is_known(path):
    bench = Bench(path)
    ahead = time.time_ns() + 3600 * 10**9
    assert (await bench.run(bench.command(not_after_wall_ns=ahead))).refusal == pb.REFUSAL_CODE_CLOCK_UNKNOWN
    bench.executor.set_clock(0, 10**6)
    assert (await bench.run(bench.command(not_after_wall_ns=ahead))).state == pb.COMMAND_STATE_SUCCEEDED
    bench.executor.set_clock(2 * 3600 * 10**9, 10**6)
    assert (await bench.run(bench.command(not_after_wall_ns=ahead))).refusal == pb.REFUSAL_CODE_EXPIRED


async def test_storms_of_progress_are_thinned(path):
    def behaviour(order):
        for number in range(20_000):
            order.report(pb.Progress(percent=number / 1000, bytes_done=number))

    bench = Bench(path, behaviour)
    await bench.run()
    assert 20 <= len(bench.of("c0")) <= 26


async def test_the_descriptor_of_the_target_is_closed_whatever_happens(path):
    fds = []

    def behaviour(order):
        fds.append(order.fd)
        os.fstat(order.fd)
        raise ActionFailed("no")

    await Bench(path, behaviour).run()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fds[0])
