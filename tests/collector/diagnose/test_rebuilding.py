"""A restart writes only what is news."""

import time

from collector.diagnose.rack import corrupt, inventory
from collector.rig import batch, eventually

from fsmend_collector.diagnose.following import Following
from fsmend_collector.diagnose.rebuilding import rebuild
from fsmend_collector.diagnosis import DiagnosisConfig
from fsmend_collector.diagnosis.groups import ScanSettings


async def test_the_views_of_faulty_hosts_that_are_as_they_were_are_not_written_again(rig):
    for name in ("h-0-00", "h-0-01"):
        agent = await rig.agent(name)
        stream = await agent.connect()
        await stream.send(batch(agent.epoch, 1, inventory(1, name, 0), corrupt(2, name, 1)))

    async def both():
        return len(await rig.rows("SELECT agent_id FROM faulty_hosts")) == 2

    await eventually(both)

    def rebuilt(connection):
        following = Following(DiagnosisConfig(), ScanSettings())
        rebuild(connection, following, time.time_ns())
        return following.pending.journal.views

    assert await rig.collector.store.read(rebuilt) == {}
