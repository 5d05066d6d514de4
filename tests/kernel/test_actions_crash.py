"""An agent killed in the middle of a real scrub."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from kernel.commanding import Host
from kernel.loopfs import MIB, wait_for

from fsmend_agent.journal import Step
from fsmend_agent.kernel import btrfs
from fsmend_proto.v1 import command_pb2 as pb

pytestmark = pytest.mark.kernel

CHILD = textwrap.dedent(
    """
    import asyncio, sys
    from pathlib import Path
    sys.path.insert(0, sys.argv[1])
    from kernel.commanding import Host
    from fsmend_proto.v1 import command_pb2 as pb

    async def main():
        host = Host(Path(sys.argv[2]), Path(sys.argv[3]))
        await host.run(pb.Command.FromString(sys.stdin.buffer.read()))

    asyncio.run(main())
    """
)


async def test_a_scrub_cut_short_by_kill_9_is_unknown_never_repeated_and_can_be_ordered_anew(
    btrfs_raid1, tmp_path, undo
):
    mount_point = btrfs_raid1.mount()
    (mount_point / "data").write_bytes(os.urandom(100 * MIB))
    os.sync()
    fd = os.open(mount_point, os.O_RDONLY)
    undo.callback(os.close, fd)
    before = Host(tmp_path, mount_point)
    command = before.command(mount_point, scrub_btrfs=pb.ScrubBtrfs(devids=[1], limit_bytes_per_second=4 * MIB))
    before.journal.close()
    child = subprocess.Popen(  # noqa: ASYNC220  the test has nothing else to do
        [sys.executable, "-c", CHILD, Path(__file__).parents[1], tmp_path, mount_point], stdin=subprocess.PIPE
    )
    child.stdin.write(command.SerializeToString())
    child.stdin.close()
    wait_for(lambda: btrfs.scrub_progress(fd, 1), 30)
    child.kill()
    child.wait(30)
    wait_for(lambda: btrfs.scrub_progress(fd, 1) is None, 30)

    after = Host(tmp_path, mount_point)
    assert after.journal[command.id].step is Step.STARTED
    await after.executor.recover()
    (end,) = after.updates
    assert (end.command_id, end.state) == (command.id, pb.COMMAND_STATE_UNKNOWN)
    after.executor.submit(command)
    await after.until(command, lambda _update: len(after.of(command)) == 2)
    assert after.updates[-1] == end
    assert btrfs.scrub_progress(fd, 1) is None
    # The limit of the one that was killed is still set; this one asks for more, and leaves what it found.
    anew = await after.run(
        after.command(mount_point, scrub_btrfs=pb.ScrubBtrfs(devids=[1], limit_bytes_per_second=1000 * MIB))
    )
    assert anew.result.verdict == pb.VERDICT_CLEAN
