"""A collector whose disk is full: readers go on, agents keep their records, and it recovers by itself."""

import asyncio
import os
import subprocess

import pytest
from collector.rig import Rig, batch, event_record, make_config

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(os.geteuid() != 0, reason="mounting a tmpfs needs root"),
]


@pytest.fixture
def small_disk(tmp_path):
    mount = tmp_path / "disk"
    mount.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "fsmend-test", mount], check=True)
    yield mount
    subprocess.run(["umount", "--lazy", mount], check=True)


async def test_a_full_disk_loses_nothing_and_stops_no_reader(small_disk):
    rig = Rig(make_config(small_disk))
    await rig.start()
    try:
        agent = await rig.agent()
        stream = await agent.connect()
        sequence, drain = 1, None
        while drain is None:
            await stream.send(batch(agent.epoch, sequence, event_record(sequence, message="x" * 400_000)))
            message = await stream.next()
            if message.HasField("drain"):
                drain = message.drain
            sequence += 1
        stored = stream.durable_through
        assert "full" in drain.reason
        assert drain.retry_after_seconds > 0
        assert (await rig.rows("SELECT count(*) AS n, max(sequence) AS top FROM events"))[0] == (stored, stored)
        assert "full" in rig.collector.store.writer.state.failure

        await asyncio.to_thread(subprocess.run, ["mount", "-o", "remount,size=64m", small_disk], check=True)
        async with asyncio.timeout(10):
            again = await agent.connect()
        assert again.welcome.durable_through == stored
        await again.send(batch(agent.epoch, stored + 1, event_record(stored + 1)))
        await again.acked(stored + 1)
        assert rig.collector.store.writer.state.failing_since_ns == 0
    finally:
        await rig.stop()
