"""One record that diagnosis cannot take does not hold up the others, and is seen."""

from collector.diagnose.rack import corrupt, inventory, lost_disk
from collector.rig import batch, eventually
from sqlalchemy.exc import OperationalError

from fsmend_collector.diagnose.following import Following
from fsmend_collector.diagnosis import FleetDiagnosis
from fsmend_collector.server.health_checks import assess
from fsmend_collector.store.health_reads import SourceStates, read_health_facts


async def test_a_record_that_breaks_diagnosis_is_put_aside_and_shown_and_the_next_one_is_diagnosed(
    rig, monkeypatch, caplog
):
    take = FleetDiagnosis.observe

    def breaks(self, evidence, now_ns):
        if evidence.device_id == "serial:h-0-00-1":
            raise IndexError("no such thing")
        return take(self, evidence, now_ns)

    monkeypatch.setattr(FleetDiagnosis, "observe", breaks)
    agent = await rig.agent("h-0-00")
    stream = await agent.connect()
    records = [inventory(1, "h-0-00", 0), lost_disk(2, "h-0-00", 1), lost_disk(3, "h-0-00", 1), corrupt(4, "h-0-00", 2)]
    await stream.send(batch(agent.epoch, 1, *records))
    await stream.acked(4)
    rows = await eventually(lambda: rig.rows("SELECT code FROM incidents"))
    assert [row.code for row in rows] == ["FS_DATA_CORRUPTION"]
    noted = await eventually(lambda: rig.rows("SELECT object_id, detail FROM audit WHERE action='diagnosis.fault'"))
    assert [row.object_id for row in noted] == ["event 2", "event 3"]
    assert "IndexError" in noted[0].detail
    assert sum("diagnosis goes on without" in line for line in caplog.messages) == 1
    now_ns = 1 << 61
    facts = await rig.collector.store.read(read_health_facts, SourceStates(), now_ns)
    assert facts.diagnosis_faults == []  # a day later it is history
    (at,) = await rig.rows("SELECT max(at_ns) AS at FROM audit WHERE action='diagnosis.fault'")
    facts = await rig.collector.store.read(read_health_facts, SourceStates(), at.at)
    (check,) = [one for one in assess(facts, at.at).checks if one.code == "DIAGNOSIS_FAULT"]
    assert check.count == 2
    assert check.details[0].startswith("event 2: IndexError")


async def test_what_was_concluded_before_the_store_failed_is_told_all_the_same(rig, monkeypatch):
    take, failed = Following._observe_one, []

    def fails_once(self, connection, one, origin):
        if one.id == 3 and not failed:
            failed.append(one.id)
            raise OperationalError("SELECT", {}, Exception("disk I/O error"))
        return take(self, connection, one, origin)

    monkeypatch.setattr(Following, "_observe_one", fails_once)
    agent = await rig.agent("h-0-00")
    stream = await agent.connect()
    records = [inventory(1, "h-0-00", 0), lost_disk(2, "h-0-00", 1), corrupt(3, "h-0-00", 2)]
    await stream.send(batch(agent.epoch, 1, *records))
    await stream.acked(3)

    async def both():
        return len(await rig.rows("SELECT id FROM incidents")) == 2

    await eventually(both)
    assert failed == [3]


async def test_the_incidents_of_a_revoked_agent_close_and_it_leaves_the_population(rig):
    agent = await rig.agent("h-0-00")
    stream = await agent.connect()
    await stream.send(batch(agent.epoch, 1, inventory(1, "h-0-00", 0), lost_disk(2, "h-0-00", 1)))
    await stream.acked(2)
    await eventually(lambda: rig.rows("SELECT id FROM incidents"))
    sizes = rig.collector.diagnose.population.sizes
    assert sizes["rack", "r0"] == [4, 4, 1]
    from fsmend_collector.fleet import revoke  # noqa: PLC0415

    await rig.collector.store.write(revoke, agent.identity.agent_id, "operator:test", 1)
    (row,) = await eventually(lambda: rig.rows("SELECT * FROM incidents WHERE resolved_ns > 0"))
    assert "revoked" in str(row.incident)
    assert ("rack", "r0") not in sizes
    assert sizes == {}
    assert await eventually(lambda: rig.rows("SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM counted_hosts)"))
