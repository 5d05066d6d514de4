"""Power fails in the middle of a repair: the command's end is unknown, it is not run twice, a new check decides."""

import os
import random
import time

import pytest
from vm.filesystem import Xfs
from vm.fleet import AGENT, Collector, Host, wait_for

from fsmend_agent.journal import Journal, Step
from fsmend_proto.v1 import command_pb2 as pb

pytestmark = [pytest.mark.vm, pytest.mark.timeout(7200)]
ROUNDS = int(os.environ.get("FSMEND_VM_POWER_CUTS", "20"))
SEED = int(os.environ.get("FSMEND_VM_SEED", "0")) or random.randrange(1 << 32)


@pytest.fixture
def alone(tmp_path):
    """A host whose collector orders nothing by itself."""
    collector = Collector(tmp_path / "collector", policy={"mode": "off"})
    host = Host(collector, tmp_path / "host", "vm-dark")
    host.boot().enrol().start_agent()
    yield collector, host
    host.machine.discard()
    collector.close()


def began(collector, uuid):
    """Order a repair, again while the agent has not noticed the mount yet; return its id once it runs."""
    command_id = collector.order(uuid, repair_xfs=pb.RepairXfs())
    view = wait_for(lambda: running(collector, command_id), 60)
    return command_id if view.last_update.refusal != pb.REFUSAL_CODE_NOT_MOUNTED else ""


def running(collector, command_id):
    """Return the command once it runs or has ended."""
    view = collector.command(command_id)
    assert view.last_update.refusal in {0, pb.REFUSAL_CODE_NOT_MOUNTED}, view
    return view if view.state >= pb.COMMAND_STATE_RUNNING else None


def journal_of(host, folder):
    """Return what the host's disk has of commands, before an agent starts on it."""
    path = folder / "journal"
    path.write_text(host.sh(f"cat {AGENT}/journal"))
    journal = Journal(path)
    journal.close()
    return journal


def one_round(collector, host, xfs, chance, folder):
    """Cut the power after a repair began; return the verdict of the check that follows, None when it had ended."""
    xfs.mount()
    command_id = wait_for(lambda: began(collector, xfs.uuid), 60, host.log_end)
    time.sleep(chance.uniform(0.0, 1.2))
    host.machine.cut_power()
    last = collector.command(command_id)

    host.boot()
    xfs.mount(exchange=False)
    step = journal_of(host, folder).get(command_id).step
    host.start_agent()
    view = collector.end_of(command_id)
    if step >= Step.FINISHED:
        assert view.state == pb.COMMAND_STATE_SUCCEEDED, view  # it had ended before the power did
        return None
    assert step == Step.STARTED
    assert view.state == pb.COMMAND_STATE_UNKNOWN, view
    check_it_never_runs_again(view, last)

    check = collector.end_of(collector.order(xfs.uuid, scrub_xfs=pb.ScrubXfs()))
    assert check.state == pb.COMMAND_STATE_SUCCEEDED, check
    verdict = check.last_update.result.verdict
    assert verdict in {pb.VERDICT_CLEAN, pb.VERDICT_NOT_HEALED}, check
    if verdict != pb.VERDICT_CLEAN:
        mended = collector.end_of(collector.order(xfs.uuid, repair_xfs=pb.RepairXfs()))
        assert mended.last_update.result.verdict == pb.VERDICT_HEALED, mended
    check_it_never_runs_again(collector.command(command_id), last)
    return verdict


def check_it_never_runs_again(view, last):
    """No step of the command is of another boot than the one in which it was cut, but the word that it is unknown."""
    boot_id = last.last_update.clocks.boot_id
    after = [one.state for one in view.history if one.clocks.boot_id != boot_id]
    assert set(after) <= {pb.COMMAND_STATE_UNKNOWN}, view
    assert view.state == pb.COMMAND_STATE_UNKNOWN, view


def test_power_cuts_in_mid_repair(alone, tmp_path, report):
    collector, host = alone
    chance = random.Random(SEED)
    xfs = Xfs(host)
    xfs.make()
    verdicts = []
    for _ in range(3 * ROUNDS):
        # Something to mend in every round; the free space of group 1 has at least two extents.
        xfs.set("agf 1", "addr cntroot", f"write -d recs[1].startblock {chance.choice((14, 15))}")
        verdict = one_round(collector, host, xfs, chance, tmp_path)
        xfs.unmount()
        assert xfs.problems() == "", f"seed {SEED}, after {len(verdicts)} cuts"
        verdicts += [verdict] if verdict is not None else []
        if len(verdicts) == ROUNDS:
            break
    assert len(verdicts) == ROUNDS, f"seed {SEED}"
    report.add_power_cuts(ROUNDS, verdicts.count(pb.VERDICT_CLEAN))
