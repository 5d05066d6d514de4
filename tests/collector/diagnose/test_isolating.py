"""One record that diagnosis cannot take does not hold up the others, and is seen."""

import time

import pytest
from collector.diagnose.rack import corrupt, inventory, lost_disk
from collector.rig import batch, eventually
from sqlalchemy.exc import OperationalError

from fsmend_collector.ask.words import MUTE, Word, write_word
from fsmend_collector.diagnose import following
from fsmend_collector.diagnose.census import Census
from fsmend_collector.diagnose.following import Following
from fsmend_collector.diagnose.isolating import Isolation
from fsmend_collector.diagnosis import FleetDiagnosis
from fsmend_collector.diagnosis.unit import UnitDiagnosis
from fsmend_collector.diagnosis.view import IncidentView
from fsmend_collector.fleet import revoke
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
    await eventually(lambda: two_rows(rig))
    assert failed == [3]


async def test_the_incidents_of_a_revoked_agent_close_and_it_leaves_the_population(rig):
    agent = await rig.agent("h-0-00")
    stream = await agent.connect()
    await stream.send(batch(agent.epoch, 1, inventory(1, "h-0-00", 0), lost_disk(2, "h-0-00", 1)))
    await stream.acked(2)
    await eventually(lambda: rig.rows("SELECT id FROM incidents"))
    sizes = rig.collector.diagnose.population.sizes
    assert sizes["rack", "r0"] == [4, 4, 1]
    await rig.collector.store.write(revoke, agent.identity.agent_id, "operator:test", 1)
    (row,) = await eventually(lambda: rig.rows("SELECT * FROM incidents WHERE resolved_ns > 0"))
    assert "revoked" in str(row.incident)
    assert ("rack", "r0") not in sizes
    assert sizes == {}
    assert await eventually(lambda: rig.rows("SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM counted_hosts)"))


async def two_rows(rig):
    """Return the ids of the incidents once there are two; None before."""
    rows = await rig.rows("SELECT id FROM incidents ORDER BY id")
    return [row.id for row in rows] if len(rows) == 2 else None


async def two_incidents(rig):
    agent = await rig.agent("h-0-00")
    stream = await agent.connect()
    records = [inventory(1, "h-0-00", 0), lost_disk(2, "h-0-00", 1), lost_disk(3, "h-0-00", 2)]
    await stream.send(batch(agent.epoch, 1, *records))
    await stream.acked(3)
    return agent, await eventually(lambda: two_rows(rig))


async def faults(rig):
    rows = await rig.rows("SELECT object_id FROM audit WHERE action='diagnosis.fault'")
    return [row.object_id for row in rows]


async def test_the_words_before_the_one_that_breaks_and_after_it_are_obeyed(rig, monkeypatch):
    monkeypatch.setattr(following, "TELL_AGAIN_SECONDS", 1e9)
    _, (first, second) = await two_incidents(rig)
    mute = FleetDiagnosis.mute

    def breaks(self, incident_id, until_ns, now_ns, by):
        if by.endswith("breaks"):
            raise IndexError("no such thing")
        return mute(self, incident_id, until_ns, now_ns, by)

    monkeypatch.setattr(FleetDiagnosis, "mute", breaks)

    def said(connection):
        for one, by in ((first, "kim"), (first, "breaks"), (second, "lee")):
            write_word(connection, Word(1, by, MUTE, one, until_ns=1 << 61))

    rig.collector.diagnose._following._told_again_seconds = time.monotonic()
    await rig.collector.store.write(said)

    async def muted():
        return len(await rig.rows("SELECT id FROM incidents WHERE muted_until_ns > 0")) == 2

    await eventually(muted)
    assert await eventually(lambda: faults(rig)) == ["words"]


async def test_what_the_engine_concluded_in_the_step_that_broke_is_told_all_the_same(rig, monkeypatch):
    _, incidents = await two_incidents(rig)
    tick, broken = UnitDiagnosis.tick, []

    def breaks(self, now_ns):
        changes = tick(self, now_ns)
        if not broken:
            for one in incidents:
                changes += self.resolve(one, "looked at", now_ns, "kim")
            broken.append(len(changes))
            raise IndexError("after it has concluded")
        return changes

    monkeypatch.setattr(UnitDiagnosis, "tick", breaks)

    async def resolved():
        return len(await rig.rows("SELECT id FROM incidents WHERE resolved_ns > 0")) == 2

    await eventually(resolved)
    assert broken[0] >= 2
    assert await eventually(lambda: faults(rig)) == ["tick"]


async def test_an_agent_that_breaks_diagnosis_keeps_no_other_from_being_retired(rig, monkeypatch):
    agents = [(await rig.agent(f"h-0-0{number}")).identity.agent_id for number in range(3)]
    retire, retired = FleetDiagnosis.retire_agent, []

    def breaks(self, agent_id, now_ns):
        if agent_id == min(agents):
            raise IndexError("no such thing")
        retired.append(agent_id)
        return retire(self, agent_id, now_ns)

    monkeypatch.setattr(FleetDiagnosis, "retire_agent", breaks)
    monkeypatch.setattr(following, "revoked_with_incidents", lambda _connection: sorted(agents))

    async def the_others():
        return set(retired) == set(agents) - {min(agents)}

    await eventually(the_others)
    assert f"revoked agent {min(agents)}" in await eventually(lambda: faults(rig))


async def test_a_revoked_host_that_cannot_be_counted_out_is_retired_like_the_others(rig, monkeypatch):
    agents = [(await rig.agent(f"h-0-0{number}")).identity.agent_id for number in range(2)]
    take, left = Census.take, []

    def breaks(self, connection, agent_id, view):
        if view is None:
            if agent_id == min(agents):
                raise IndexError("no such thing")
            left[:] = [agent_id]
        return take(self, connection, agent_id, view)

    retire, retired = FleetDiagnosis.retire_agent, set()
    monkeypatch.setattr(
        FleetDiagnosis, "retire_agent", lambda self, one, now_ns: retired.add(one) or retire(self, one, now_ns)
    )
    monkeypatch.setattr(Census, "take", breaks)
    monkeypatch.setattr(following, "revoked_hosts", lambda _connection: sorted(agents))

    async def both():
        return left == [max(agents)] and retired == set(agents)

    await eventually(both)
    assert f"revoked agent {min(agents)}" in await eventually(lambda: faults(rig))


async def test_an_incident_that_cannot_be_put_together_keeps_no_other_from_being_written(rig, monkeypatch):
    make = IncidentView.incident.fget
    first = []

    def breaks(self):
        if not first or self.id == first[0]:
            first[:] = [self.id]
            raise IndexError("no such thing")
        return make(self)

    monkeypatch.setattr(IncidentView, "incident", property(breaks))
    agent = await rig.agent("h-0-00")
    stream = await agent.connect()
    records = [inventory(1, "h-0-00", 0), lost_disk(2, "h-0-00", 1), lost_disk(3, "h-0-00", 2)]
    await stream.send(batch(agent.epoch, 1, *records))
    (row,) = await eventually(lambda: rig.rows("SELECT id FROM incidents"))
    assert row.id != first[0]
    assert f"incident {first[0]}" in await eventually(lambda: faults(rig))


async def test_an_incident_that_could_not_be_put_together_is_told_again_with_its_evidence(rig, monkeypatch):
    monkeypatch.setattr(following, "TELL_AGAIN_SECONDS", 0.5)
    make, failed = IncidentView.incident.fget, []

    def breaks_once(self):
        if not failed:
            failed.append(self.id)
            raise IndexError("no such thing")
        return make(self)

    monkeypatch.setattr(IncidentView, "incident", property(breaks_once))
    agent = await rig.agent("h-0-00")
    stream = await agent.connect()
    await stream.send(batch(agent.epoch, 1, inventory(1, "h-0-00", 0), lost_disk(2, "h-0-00", 1)))
    (row,) = await eventually(lambda: rig.rows("SELECT incident_id, event_id FROM incident_evidence"))
    assert ([row.incident_id], row.event_id) == (failed, 2)


async def test_a_host_that_was_silent_when_it_was_revoked_is_no_silent_host_later(rig):
    agent = await rig.agent("h-0-00")
    stream = await agent.connect()
    await stream.send(batch(agent.epoch, 1, inventory(1, "h-0-00", 0)))
    await stream.acked(1)
    await eventually(lambda: rig.rows("SELECT 1 FROM counted_hosts"))
    engine = rig.collector.diagnose._following.engine
    await agent.close()

    async def away():
        return agent.identity.agent_id in engine.units._away

    await eventually(away)
    await rig.collector.store.write(revoke, agent.identity.agent_id, "operator:test", 1)

    async def retired():
        return agent.identity.agent_id not in engine.units._away and not engine._away

    await eventually(retired)


def test_what_breaks_again_and_again_is_noted_once_an_hour_and_keeps_nothing_else_from_being_noted():
    isolation, error = Isolation(), _raised()
    for second in range(0, 7_200, 5):
        isolation.note("tick", error, second * 1_000_000_000)
    isolation.note("event 1", error, 0)
    assert [(one.what, one.at_ns // 1_000_000_000) for one in isolation.unwritten] == [
        ("tick", 0), ("tick", 3_600), ("event 1", 0)
    ]  # fmt: skip
    assert isolation.count == 1_441


def test_no_more_than_a_thousand_things_that_break_are_noted():
    isolation, error = Isolation(), _raised()
    for number in range(2_000):
        isolation.note(f"event {number}", error, number)
    assert len(isolation.unwritten) == 1_000


def _raised():
    with pytest.raises(IndexError) as caught:
        [].pop()
    return caught.value
