"""A rack that fails is one incident, through the store, over restarts."""

from collector.diagnose.rack import Racks, enrol_all, lost_disk, names, started
from collector.rig import eventually, make_config

from fsmend_proto.v1 import incident_pb2

OPEN, MERGED = incident_pb2.INCIDENT_STATE_OPEN, incident_pb2.INCIDENT_STATE_MERGED


async def shared(rig):
    rows = await rig.rows("SELECT * FROM incidents WHERE code='RACK_FAULT'")
    return [incident_pb2.Incident.FromString(row.incident) for row in rows]


async def fail_rack(racks, rack, hosts):
    for place in range(hosts):
        name = f"h-{rack}-{place:02}"
        await racks.send(
            name, lambda at, name=name: lost_disk(at, name, 0), lambda at, name=name: lost_disk(at, name, 1)
        )


async def test_a_rack_that_fails_is_one_incident_that_goes_on_after_a_restart(tmp_path):
    config = make_config(tmp_path)
    identities = enrol_all(config, names(4, 6))
    rig = await started(config)
    racks = Racks(rig.collector.servers.link_port, identities)
    await racks.connect()
    await racks.introduce()
    await fail_rack(racks, 1, 4)

    async def found():
        rows = await shared(rig)
        return rows if rows and rows[0].occurrences == 8 else None

    (before,) = await eventually(found)
    assert (before.cause.dimension, before.cause.value, before.state) == ("rack", "r1", OPEN)
    rows = await rig.rows("SELECT state, merged_into FROM incidents WHERE code='DEVICE_GONE'")
    assert {(row.state, row.merged_into) for row in rows} == {(MERGED, before.id)}
    await racks.close()
    await rig.stop()

    again = await started(config)
    assert again.collector.diagnose._following.pending.latest == {}
    racks = Racks(again.collector.servers.link_port, identities)
    await racks.connect()
    await fail_rack(racks, 1, 6)

    async def grown():
        rows = await shared(again)
        return rows if rows and rows[0].occurrences == 12 else None

    (after,) = await eventually(grown)
    assert (after.id, after.opened_ns, after.state) == (before.id, before.opened_ns, OPEN)
    assert [entry.what for entry in after.timeline].count("opened") == 1
    rows = await again.rows("SELECT state, merged_into FROM incidents WHERE code='DEVICE_GONE'")
    assert len(rows) == 12
    assert {(row.state, row.merged_into) for row in rows} == {(MERGED, before.id)}
    await racks.close()
    await again.stop()
