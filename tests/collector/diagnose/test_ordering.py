"""Orders are given beside diagnosis: what holds them up, or breaks, holds up nothing else."""

import asyncio

from collector.diagnose.rack import corrupt, inventory
from collector.rig import batch, eventually

from fsmend_collector.diagnose import ordering
from fsmend_collector.diagnose.writing import Conclusions, write_conclusions, write_recommendation
from fsmend_collector.dispatch import Dispatch
from fsmend_collector.errors import StoreError
from fsmend_collector.server.health_checks import assess
from fsmend_collector.store.health_reads import HealthFacts
from fsmend_collector.waiting import Backlog
from fsmend_proto.v1 import incident_pb2

CORRUPT = "SELECT id FROM incidents WHERE code='FS_DATA_CORRUPTION'"
COMMANDS = "SELECT incident_id FROM commands"


async def connected(rig, name="h-0-00"):
    agent = await rig.agent(name)
    return agent, await agent.connect()


async def count(rig, sql, wanted):
    return len(await rig.rows(sql)) == wanted


async def test_an_order_that_takes_long_does_not_hold_up_diagnosis_and_none_is_lost(rig, monkeypatch):
    create, begun, free = Dispatch.create, asyncio.Event(), asyncio.Event()

    async def slow(self, *arguments):
        begun.set()
        await free.wait()
        return await create(self, *arguments)

    monkeypatch.setattr(Dispatch, "create", slow)
    agent, stream = await connected(rig)
    await stream.send(batch(agent.epoch, 1, inventory(1, "h-0-00", 0), corrupt(2, "h-0-00", 0)))
    await eventually(lambda: count(rig, CORRUPT, 1))
    await begun.wait()  # else all three may be taken at once
    await stream.send(batch(agent.epoch, 3, corrupt(3, "h-0-00", 1), corrupt(4, "h-0-00", 2)))
    await eventually(lambda: count(rig, CORRUPT, 3))
    assert await rig.rows(COMMANDS) == []

    async def waits():
        return rig.collector.diagnose.backlog.waiting == 2

    await eventually(waits)
    free.set()
    await eventually(lambda: count(rig, COMMANDS, 3))


async def test_an_incident_that_breaks_the_policy_is_shown_and_the_others_are_looked_at(rig, monkeypatch):
    judge, broken = ordering.judge, []

    def breaks(connection, incident, *rest):
        if incident.id in broken or not broken:
            broken.append(incident.id)
            raise IndexError("no such thing")
        return judge(connection, incident, *rest)

    monkeypatch.setattr(ordering, "judge", breaks)
    agent, stream = await connected(rig)
    records = [inventory(1, "h-0-00", 0), corrupt(2, "h-0-00", 0), corrupt(3, "h-0-00", 1)]
    await stream.send(batch(agent.epoch, 1, *records))
    (ordered,) = await eventually(lambda: rig.rows(COMMANDS))
    (noted,) = await eventually(lambda: rig.rows("SELECT DISTINCT object_id FROM audit WHERE action='diagnosis.fault'"))
    assert noted.object_id == f"policy for {broken[0]}"
    assert ordered.incident_id not in broken


async def test_what_waited_while_the_store_did_not_answer_is_ordered_when_it_does(rig, monkeypatch):
    monkeypatch.setattr(ordering, "RETRY_SECONDS", 0.05)
    storm_now, failed = ordering.storm_now, []

    def fails_twice(*arguments):
        if len(failed) < 2:
            failed.append(1)
            raise StoreError("the disk is full")
        return storm_now(*arguments)

    agent, stream = await connected(rig)
    monkeypatch.setattr(ordering, "storm_now", fails_twice)
    await stream.send(batch(agent.epoch, 1, inventory(1, "h-0-00", 0), corrupt(2, "h-0-00", 0)))
    await eventually(lambda: count(rig, COMMANDS, 1))
    assert len(failed) == 2


def test_a_policy_that_is_a_minute_behind_is_told():
    for seconds, told in ((59.0, []), (60.0, ["12 incidents wait, the first for 60 s", "3 times"])):
        facts = HealthFacts(policy_backlog=Backlog(12, seconds, 3))
        details = [line for one in assess(facts, 1).checks if one.code == "POLICY_BEHIND" for line in one.details]
        assert [line[: len(wanted)] for line, wanted in zip(details, told, strict=True)] == told


async def test_what_is_over_while_the_policy_looks_at_it_recommends_what_it_did(rig):
    store = rig.collector.store
    states = (incident_pb2.INCIDENT_STATE_OPEN, incident_pb2.INCIDENT_STATE_RESOLVED)
    for state in states:
        incident = incident_pb2.Incident(id=f"inc-{state}", code="X", state=state, recommendation="wait")
        told = {incident.id: incident}
        await store.write(write_conclusions, Conclusions(latest=told))
        await store.write(write_recommendation, incident.id, "replace the disk")
    found = [incident_pb2.Incident.FromString(row.incident) for row in await rig.rows("SELECT incident FROM incidents")]
    assert {one.state: one.recommendation for one in found} == dict(
        zip(states, ("replace the disk", "wait"), strict=True)
    )
