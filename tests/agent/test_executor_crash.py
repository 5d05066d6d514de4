"""What is reported of commands that a crash cut short, and that nothing runs twice."""

import asyncio
import os
import subprocess
import sys
import textwrap
from itertools import islice
from unittest.mock import Mock

import pytest
from agent.executing import Bench

from fsmend_agent import execution
from fsmend_agent.journal import Entry, Journal, Step
from fsmend_proto.v1 import command_pb2 as pb


@pytest.fixture(autouse=True)
def any_target(monkeypatch):
    monkeypatch.setattr(execution, "open_proven", lambda filesystem: os.open("/", os.O_RDONLY))


def left_open(path, *, started, idempotent=False):
    journal = Journal(path)
    journal.accept(Entry("c0", "d", "scrub_btrfs", idempotent=idempotent, wall_ns=2**62))
    if started:
        journal.start("c0")
    journal.close()


@pytest.mark.parametrize("idempotent", [False, True])
async def test_a_started_command_is_unknown_after_a_crash(tmp_path, idempotent):
    left_open(tmp_path / "journal", started=True, idempotent=idempotent)
    bench = Bench(tmp_path / "journal")
    await bench.executor.recover()
    (end,) = bench.updates
    assert (end.command_id, end.state) == ("c0", pb.COMMAND_STATE_UNKNOWN)
    assert ("A new command for the same may be sent" in end.message) is idempotent
    assert end.clocks.boot_id == "boot"
    assert bench.ran == []
    bench.start()
    await bench.executor.recover()
    assert len(bench.updates) == 1


async def test_what_a_crashed_action_set_is_taken_back_before_its_end_is_told(tmp_path):
    left_open(tmp_path / "journal", started=True)
    journal = Journal(tmp_path / "journal")
    journal.note("c0", "limit", "5")
    journal.close()
    bench = Bench(tmp_path / "journal")
    undone = []
    action = Mock()
    action.undo.side_effect = lambda notes: undone.append((dict(notes), list(bench.updates)))
    bench.executor._actions = {"scrub_btrfs": action}
    await bench.executor.recover()
    assert undone == [({"limit": "5"}, [])]
    assert bench.updates[0].state == pb.COMMAND_STATE_UNKNOWN


async def test_an_accepted_command_never_ran(tmp_path):
    left_open(tmp_path / "journal", started=False)
    bench = Bench(tmp_path / "journal")
    await bench.executor.recover()
    assert bench.updates[0].state == pb.COMMAND_STATE_EXPIRED
    assert "nothing was touched" in bench.updates[0].message


async def test_an_end_that_was_not_sent_is_sent(tmp_path):
    left_open(tmp_path / "journal", started=True)
    journal = Journal(tmp_path / "journal")
    final = pb.CommandUpdate(command_id="c0", state=pb.COMMAND_STATE_SUCCEEDED, message="healed")
    journal.finish(final)
    bench = Bench(tmp_path / "journal")
    await bench.executor.recover()
    assert bench.updates == [final]
    bench.start()
    await bench.executor.recover()
    assert len(bench.updates) == 1


async def test_an_end_that_the_spool_never_took_is_sent_in_the_next_life(tmp_path):
    bench = Bench(tmp_path / "journal")
    bench.kept = asyncio.get_running_loop().create_future()
    await bench.run(bench.command("c0"))
    assert [entry.id for entry in bench.journal.at(Step.FINISHED)] == ["c0"]
    bench.kept.cancel()  # the agent ends
    await bench.executor.close()
    bench.updates.clear()
    bench.kept = None
    bench.start()
    await bench.executor.recover()
    assert [update.state for update in bench.updates] == [pb.COMMAND_STATE_SUCCEEDED]


async def test_an_end_is_called_reported_when_the_spool_has_it(tmp_path):
    bench = Bench(tmp_path / "journal")
    bench.kept = asyncio.get_running_loop().create_future()
    await bench.run(bench.command("c0"))
    bench.kept.set_result(None)
    await bench.executor.close()
    assert [entry.id for entry in bench.journal.at(Step.REPORTED)] == ["c0"]


async def test_an_end_that_the_disk_does_not_give_back_is_told_as_unknown(tmp_path, monkeypatch):
    bench = Bench(tmp_path / "journal")
    bench.kept = asyncio.get_running_loop().create_future()
    await bench.run(bench.command("c0"))
    bench.kept.cancel()
    await bench.executor.close()
    bench.updates.clear()
    bench.kept = None
    bench.start()
    monkeypatch.setattr(os, "pread", Mock(side_effect=OSError(5, "Input/output error")))
    await bench.executor.recover()
    assert [update.state for update in bench.updates] == [pb.COMMAND_STATE_UNKNOWN]


CHILD = textwrap.dedent(
    """
    import asyncio, os, sys, time
    from pathlib import Path
    sys.path.insert(0, sys.argv[2])
    from agent.executing import Bench
    from fsmend_agent import execution
    execution.open_proven = lambda filesystem: os.open("/", os.O_RDONLY)

    def behaviour(order):
        os.write(1, f"ran {order.command.id}\\n".encode())
        time.sleep(0.002)

    async def main():
        bench = Bench(Path(sys.argv[1]), behaviour)
        await bench.executor.recover()
        for update in bench.updates:
            os.write(1, f"recovered {update.command_id} {update.state}\\n".encode())
        # The collector sends everything again that it knows no end of: here all, always.
        for number in range(200):
            command = bench.command(f"c{number}")
            bench.executor.submit(command)
            await bench.end_of(command.id)
            os.write(1, f"ended {command.id} {bench.of(command.id)[-1].state}\\n".encode())

    asyncio.run(main())
    """
)


def test_killed_at_any_time_nothing_runs_twice_and_everything_ends(tmp_path):
    path = tmp_path / "journal"
    tests = os.path.dirname(os.path.dirname(__file__))  # noqa: PTH120
    ran, ended = [], {}
    for round_number in range(10):
        child = subprocess.Popen([sys.executable, "-c", CHILD, path, tests], stdout=subprocess.PIPE, text=True)
        lines = list(islice(child.stdout, 12 * round_number + 3))
        child.kill()
        lines += child.communicate()[0].splitlines()
        for line in lines:
            word, command_id, *rest = line.split()
            if word == "ran":
                ran.append(command_id)
            elif rest:
                # One end for each, the same whenever it is told.
                assert ended.setdefault(command_id, rest[0]) == rest[0]
    assert len(ran) == len(set(ran)) > 10
    assert set(ran) - set(ended) <= {ran[-1]}
    assert pb.CommandState.Name(int(ended["c0"])) == "COMMAND_STATE_SUCCEEDED"
    assert {pb.CommandState.Name(int(state))[14:] for state in ended.values()} <= {"SUCCEEDED", "UNKNOWN", "EXPIRED"}
