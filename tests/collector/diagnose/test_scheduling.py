"""The calendar over a real store: who is connected and able is ordered to check, once."""

import time

from collector.rig import batch, eventually

from fsmend_collector.background import CalendarConfig, CalendarRule
from fsmend_collector.diagnose.scheduling import Background
from fsmend_proto.v1 import command_pb2, event_pb2, inventory_pb2, record_pb2

XFS = event_pb2.FilesystemRef(uuid="0b1f0f6e-9d6c-4b0a-8a53-2a2a3b9a1f10", type="xfs")


def inventory(sequence):
    able = inventory_pb2.Capability(name="action.scrub_xfs", available=True, filesystem_uuid=XFS.uuid)
    everything = inventory_pb2.Inventory(
        host=inventory_pb2.Host(name="web-1", labels={"rack": "r1"}),
        filesystems=[inventory_pb2.Filesystem(ref=XFS, capabilities=[able])],
    )
    return record_pb2.Record(sequence=sequence, inventory=everything).SerializeToString()


def background(rig, **rule):
    collector = rig.collector
    config = CalendarConfig((CalendarRule(**rule),))
    return Background(collector.store, collector.dispatch, collector.presence, config)


async def commands(rig):
    return await rig.rows("SELECT action, state, ordered_by, cancel_by FROM commands ORDER BY created_ns")


async def connected(rig):
    agent = await rig.agent()
    stream = await agent.connect()
    await stream.send(batch(agent.epoch, 1, inventory(1)))
    await stream.acked(1)
    await eventually(lambda: rig.rows("SELECT * FROM hosts"))
    return agent, stream


async def test_a_connected_host_is_ordered_to_check_once(rig):
    _agent, stream = await connected(rig)
    calendar = background(rig, labels={"rack": "r1"})
    await calendar.look()
    await calendar.look()
    sent = await stream.until("command")
    assert sent.WhichOneof("action") == "scrub_xfs"
    assert sent.action_class == command_pb2.ACTION_CLASS_CHECK
    (row,) = await commands(rig)
    assert (row.action, row.ordered_by) == ("scrub_xfs", "calendar")


async def test_a_host_without_the_label_or_the_ability_is_left_alone(rig):
    await connected(rig)
    await background(rig, labels={"rack": "r2"}).look()
    await background(rig, repair=True).look()
    assert await commands(rig) == []


async def test_what_runs_when_its_window_closes_is_asked_to_stop(rig):
    await connected(rig)
    await background(rig).look()
    minute = time.time_ns() // 60_000_000_000 % 1_440
    closed = ((minute + 120) % 1_440, (minute + 180) % 1_440)
    await background(rig, window=closed).look()
    (row,) = await commands(rig)
    assert row.cancel_by == "calendar"
