"""A targeted repair that does not suffice goes on to xfs_scrub over the whole filesystem, and tells how far it is."""

import re

import pytest
from vm.faults import inode_block, inode_field
from vm.filesystem import Xfs
from vm.fleet import ended, wait_for

from fsmend_agent.kernel.xfs_health import ScrubType
from fsmend_proto.v1 import command_pb2 as pb

FILES = 1500  # so that its phases last
pytestmark = [pytest.mark.vm, pytest.mark.timeout(3600)]


@pytest.fixture
def xfs(host):
    made = Xfs(host)
    yield made
    made.release()


def follow(collector, command_id):
    """Watch a command to its end; return it, and the progress that it told on its way."""
    told = {}

    def look():
        view = collector.command(command_id)
        progress = view.last_update.progress
        if progress.stage:
            told[progress.stage] = progress.percent
        return ended(view)

    return wait_for(look, 300, lambda: str(collector.command(command_id))), told


def test_link_counts_behind_a_broken_directory_take_the_whole_filesystem(host, collector, xfs):
    uuid = xfs.make(more=f"seq {FILES} | xargs touch")
    inode_field("d1/f1", "write -d core.nlinkv2 3")(xfs)
    inode_block("big", "dblock 0")(xfs)
    xfs.mount()
    wait_for(lambda: collector.filesystem(uuid), 60, host.log_end)

    # All that is named are the link counts. They cannot be counted while a directory does not read.
    items = [pb.XfsScrubItem(type=ScrubType.NLINKS)]
    view, told = follow(collector, collector.order(uuid, repair_xfs=pb.RepairXfs(items=items)))

    assert view.state == pb.COMMAND_STATE_SUCCEEDED, view
    result = view.last_update.result
    (whole,) = [one for one in result.xfs_scrubs if one.name == "the whole filesystem"]
    assert whole.repaired, view
    (nlinks,) = [one for one in result.xfs_scrubs if one.name == "nlinks"]
    assert nlinks.corrupt
    assert nlinks.repaired
    assert result.verdict == pb.VERDICT_HEALED, view
    phases = {int(found[1]): told[stage] for stage in told if (found := re.match(r"xfs_scrub phase (\d)", stage))}
    assert phases, told
    assert max(phases.values()) > 0, told
    assert [phases[number] for number in sorted(phases)] == sorted(phases.values())
    xfs.unmount()
    assert xfs.problems() == ""
