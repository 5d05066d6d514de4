"""Power fails in the middle of a repair: the command's end is unknown, it is not run twice, a new check decides."""

import os
import random
import time

import pytest
from vm.filesystem import Xfs
from vm.fleet import Collector, Host, wait_for

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


def one_round(collector, host, xfs, chance):
    """Cut the power while a repair runs; return whether it was cut in its middle."""
    xfs.mount()
    command_id = wait_for(lambda: began(collector, xfs.uuid), 60, host.log_end)
    time.sleep(chance.uniform(0.0, 1.2))
    host.machine.cut_power()
    last = collector.command(command_id)
    updates = len(last.history)

    host.boot()
    xfs.mount(exchange=False)
    host.start_agent()
    view = collector.end_of(command_id)
    if view.state == pb.COMMAND_STATE_SUCCEEDED:
        return False  # it had ended before the power did
    assert view.state == pb.COMMAND_STATE_UNKNOWN, view
    again = [one for one in view.history[updates:] if one.state == pb.COMMAND_STATE_RUNNING]
    assert [one for one in again if one.clocks.boot_id != last.last_update.clocks.boot_id] == []

    check = collector.end_of(collector.order(xfs.uuid, scrub_xfs=pb.ScrubXfs()))
    assert check.state == pb.COMMAND_STATE_SUCCEEDED, check
    assert collector.command(command_id).state == pb.COMMAND_STATE_UNKNOWN
    if check.last_update.result.verdict != pb.VERDICT_CLEAN:
        mended = collector.end_of(collector.order(xfs.uuid, repair_xfs=pb.RepairXfs()))
        assert mended.last_update.result.verdict == pb.VERDICT_HEALED, mended
    return True


def test_power_cuts_in_mid_repair(alone):
    collector, host = alone
    chance = random.Random(SEED)
    xfs = Xfs(host)
    xfs.make()
    cut = 0
    for _ in range(3 * ROUNDS):
        # Something to mend in every round; the free space of group 1 has at least two extents.
        xfs.set("agf 1", "addr cntroot", f"write -d recs[1].startblock {chance.choice((14, 15))}")
        cut += one_round(collector, host, xfs, chance)
        xfs.unmount()
        assert xfs.problems() == "", f"seed {SEED}, after {cut} cuts"
        if cut == ROUNDS:
            break
    assert cut == ROUNDS, f"seed {SEED}"
