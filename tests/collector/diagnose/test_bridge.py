"""From committed events to stored incidents and queued commands, across restarts."""

import threading
import time

from collector.rig import Rig, batch, event_record, eventually, make_config

from fsmend_collector import diagnose as diagnose_package
from fsmend_collector.diagnose.ordering import judge
from fsmend_collector.diagnosis import FleetDiagnosis
from fsmend_proto.v1 import event_pb2, incident_pb2, inventory_pb2, record_pb2

UUID = "0b1f0f6e-9d6c-4b0a-8a53-2a2a3b9a1f10"
FILESYSTEM = event_pb2.FilesystemRef(uuid=UUID, type="ext4", device_name="loop0")


def corruption(sequence, ino=131):
    return event_record(
        sequence,
        kind=event_pb2.EVENT_KIND_FS_METADATA_CORRUPTION,
        severity=event_pb2.SEVERITY_ERROR,
        source="fanotify",
        errno=117,
        filesystem=FILESYSTEM,
        inode=event_pb2.InodeRef(ino=ino),
    )


def inventory(sequence):
    able = inventory_pb2.Capability(name="action.collect_evidence", available=True)
    everything = inventory_pb2.Inventory(
        host=inventory_pb2.Host(name="web-1", capabilities=[able], labels={"rack": "r1"}),
        devices=[inventory_pb2.Device(ref=event_pb2.DeviceRef(id="loop:a", name="loop0"), kind="loop")],
        filesystems=[inventory_pb2.Filesystem(ref=FILESYSTEM, capabilities=[able])],
    )
    return record_pb2.Record(sequence=sequence, inventory=everything).SerializeToString()


async def incidents(rig, count=1):
    """Wait until there are `count` incidents that know their evidence."""

    async def enough():
        found = await rig.rows("SELECT * FROM incidents")
        return found if len(found) >= count else None

    return await eventually(enough)


async def evidence(rig, count):

    async def enough():
        found = await rig.rows("SELECT event_id FROM incident_evidence ORDER BY event_id")
        return [row.event_id for row in found] if len(found) >= count else None

    return await eventually(enough)


async def test_an_error_becomes_an_incident_with_its_evidence_and_a_command(rig):
    agent = await rig.agent("web-1")
    stream = await agent.connect()
    await stream.send(batch(agent.epoch, 1, inventory(1), corruption(2)))
    await stream.acked(2)
    (row,) = await incidents(rig)
    stored = incident_pb2.Incident.FromString(row.incident)
    assert (row.code, row.filesystem_uuid, row.host_name) == ("FS_CORRUPTION", UUID, "web-1")
    assert (stored.id, stored.unit.agent_id) == (row.id, agent.identity.agent_id)
    (event,) = await rig.rows("SELECT id FROM events WHERE sequence=2")
    assert await evidence(rig, 1) == [event.id]
    command = await stream.until("command")
    assert (command.WhichOneof("action"), command.incident_id, command.ordered_by) == (
        "collect_evidence",
        row.id,
        "policy",
    )


async def test_a_host_that_is_away_is_ordered_nothing_until_it_is_back(rig):
    agent = await rig.agent("web-1")
    stream = await agent.connect()
    rig.collector.diagnose._ordering.consider = nothing  # as if the policy came too late
    await stream.send(batch(agent.epoch, 1, inventory(1), corruption(2)))
    await stream.acked(2)
    (row,) = await incidents(rig)
    incident = incident_pb2.Incident.FromString(row.incident)
    config = rig.config.policy
    assert (await rig.collector.store.read(judge, incident, config, time.time_ns()))[1] != []
    stream.call.cancel()
    await eventually(lambda: rig.rows("SELECT 1 FROM agents WHERE disconnected_ns > 0"))
    assert (await rig.collector.store.read(judge, incident, config, time.time_ns()))[1] == []


async def nothing(_incidents):
    """Order nothing."""


async def test_the_recommendation_is_what_the_policy_leaves_to_a_person(rig):
    agent = await rig.agent("web-1")
    stream = await agent.connect()
    await stream.send(batch(agent.epoch, 1, inventory(1), corruption(2)))

    async def advice():
        rows = await rig.rows("SELECT incident FROM incidents")
        return [incident_pb2.Incident.FromString(row.incident).recommendation for row in rows]

    async def of_the_policy():
        return "run e2fsck -f" in "".join(await advice())

    await eventually(of_the_policy)
    await stream.send(batch(agent.epoch, 3, corruption(3, ino=132)))  # a change does not take it back
    await eventually(lambda: rig.rows("SELECT id FROM incidents WHERE occurrences=2"))
    assert "run e2fsck -f" in (await advice())[0]


async def test_a_restarted_collector_goes_on_with_the_same_incident_and_counts_nothing_twice(tmp_path):
    config = make_config(tmp_path)
    rig = Rig(config)
    await rig.start()
    agent = await rig.agent("web-1")
    stream = await agent.connect()
    await stream.send(batch(agent.epoch, 1, corruption(1), corruption(2, ino=132)))
    await stream.acked(2)
    (before,) = await incidents(rig)
    await evidence(rig, 2)
    await rig.stop()

    again = Rig(config)
    await again.start()
    try:
        agent = again.clone(agent.identity)
        stream = await agent.connect()
        assert stream.welcome.durable_through == 2
        await stream.send(batch(agent.epoch, 3, corruption(3, ino=133)))
        await stream.acked(3)
        assert len(await evidence(again, 3)) == 3
        (row,) = await eventually(lambda: again.rows("SELECT id FROM incidents WHERE occurrences=3"))
        assert row.id == before.id
        assert len(await incidents(again)) == 1
    finally:
        await again.stop()


async def test_events_that_were_committed_while_diagnosis_was_down_are_diagnosed_after_the_start(tmp_path):
    config = make_config(tmp_path)
    rig = Rig(config)
    await rig.start()
    agent = await rig.agent("web-1")
    stream = await agent.connect()
    rig.collector._background.cancel()
    await stream.send(batch(agent.epoch, 1, corruption(1)))
    await stream.acked(1)
    assert not await rig.rows("SELECT * FROM incidents")
    await rig.stop()
    again = Rig(config)
    await again.start()
    try:
        assert (await incidents(again))[0].code == "FS_CORRUPTION"
    finally:
        await again.stop()


async def test_the_inventory_replaces_what_was_known(rig):
    agent = await rig.agent("old-name")
    stream = await agent.connect()
    await stream.send(batch(agent.epoch, 1, inventory(1)))
    await stream.acked(1)
    (device,) = await rig.rows("SELECT device_id, name, present FROM devices")
    assert tuple(device) == ("loop:a", "loop0", 1)
    (agent_row,) = await rig.rows("SELECT host_name FROM agents")
    assert agent_row.host_name == "web-1"
    (host,) = await rig.rows("SELECT labels, record_id FROM hosts")
    assert (host.labels, host.record_id) == ('{"rack": "r1"}', 1)
    empty = record_pb2.Record(sequence=2, inventory=inventory_pb2.Inventory(host=inventory_pb2.Host(name="web-1")))
    await stream.send(batch(agent.epoch, 2, empty.SerializeToString()))
    await stream.acked(2)
    rows = await rig.rows("SELECT present FROM devices UNION ALL SELECT present FROM filesystems")
    assert [row.present for row in rows] == [0, 0]
    await stream.send(batch(agent.epoch, 3, inventory(3)))
    await stream.acked(3)
    assert (await rig.rows("SELECT present FROM filesystems"))[0].present == 1


async def test_all_incidents_are_put_together_beside_the_loop(rig, monkeypatch):
    take, threads = FleetDiagnosis.incidents, set()

    def noted(self):
        threads.add(threading.get_ident())
        return take(self)

    monkeypatch.setattr(FleetDiagnosis, "incidents", noted)
    monkeypatch.setattr(diagnose_package, "POLICY_SECONDS", 0.0)

    async def considered():
        return threads

    await eventually(considered)
    assert threading.get_ident() not in threads
