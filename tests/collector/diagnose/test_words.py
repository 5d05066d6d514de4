"""An operator's word over the wire: noted in the audit, obeyed by diagnosis, there again after a restart."""

import time

import grpc
import pytest
from collector.diagnose.test_bridge import corruption, incidents, inventory
from collector.rig import Rig, batch, channel_to, eventually, make_config
from collector.server.operators import operator_identity
from sqlalchemy import event

from fsmend_collector.ask.words import words_after
from fsmend_proto.v1 import incident_pb2, query_pb2_grpc, why_pb2

HOUR_NS = 3_600 * 10**9


class Asked:
    """A rig with one open incident, and an operator."""

    def __init__(self, rig):
        self.rig = rig
        self.channel = channel_to(rig.collector.servers.link_port, *operator_identity(rig.collector))
        self.stub = query_pb2_grpc.QueryStub(self.channel)

    async def break_something(self):
        self.agent = await self.rig.agent("web-1")
        self.stream = await self.agent.connect()
        await self.stream.send(batch(self.agent.epoch, 1, inventory(1), corruption(2)))
        await self.stream.acked(2)
        (row,) = await incidents(self.rig)
        return row.id

    async def incident(self, name):
        (row,) = await self.rig.rows("SELECT incident FROM incidents WHERE id=:name", name=name)
        return incident_pb2.Incident.FromString(row.incident)


@pytest.fixture
async def asked(rig):
    asked = Asked(rig)
    yield asked
    await asked.channel.close()


def in_an_hour():
    return time.time_ns() + HOUR_NS


async def test_a_mute_is_obeyed_audited_and_falls_when_the_count_worsens(asked):
    name = await asked.break_something()
    until = in_an_hour()
    reply = await asked.stub.MuteIncident(why_pb2.MuteIncidentRequest(id=name[:9], until_ns=until, reason="known"))
    assert reply.applied
    assert (await asked.incident(name)).muted_until_ns == until
    (word,) = await asked.rig.rows("SELECT * FROM audit WHERE action='incident.mute'")
    assert (word.actor, word.object_id) == ("operator:ada", name)
    assert "known" in word.detail
    await asked.stream.send(batch(asked.agent.epoch, 3, *(corruption(3 + n, ino=200 + n) for n in range(3))))

    async def fallen():
        return (await asked.incident(name)).muted_until_ns == 0

    await eventually(fallen)
    texts = [entry.text for entry in (await asked.incident(name)).timeline]
    assert "by operator:ada: known" in texts
    assert "the mute fell, because it got worse" in texts


async def test_unmute_takes_it_off_and_says_when_there_is_none(asked):
    name = await asked.break_something()
    with pytest.raises(grpc.aio.AioRpcError, match="is not muted"):
        await asked.stub.MuteIncident(why_pb2.MuteIncidentRequest(id=name))
    await asked.stub.MuteIncident(why_pb2.MuteIncidentRequest(id=name, until_ns=in_an_hour()))
    reply = await asked.stub.MuteIncident(why_pb2.MuteIncidentRequest(id=name))
    assert reply.applied
    assert (await asked.incident(name)).muted_until_ns == 0


async def test_an_operators_word_resolves_and_the_policy_is_told(asked):
    name = await asked.break_something()
    request = why_pb2.ResolveIncidentRequest(id=name, proof="disk wiped")
    assert (await asked.stub.ResolveIncident(why_pb2.ResolveIncidentRequest(id=name, proof="x", dry_run=True))).incident
    assert (await asked.incident(name)).state != incident_pb2.INCIDENT_STATE_RESOLVED
    reply = await asked.stub.ResolveIncident(request)
    assert reply.applied
    assert reply.incident.resolution == "operator:ada: disk wiped"
    with pytest.raises(grpc.aio.AioRpcError, match="is resolved already: operator:ada: disk wiped"):
        await asked.stub.ResolveIncident(request)


@pytest.mark.parametrize(
    ("method", "request_", "problem"),
    [
        ("MuteIncident", why_pb2.MuteIncidentRequest(id="inc-00", until_ns=1), "there is no incident 'inc-00'"),
        ("ResolveIncident", why_pb2.ResolveIncidentRequest(id="inc-", proof="  "), "a proof is missing"),
        ("MuteIncident", why_pb2.MuteIncidentRequest(id="inc-", until_ns=1), "must end in the future"),
        ("MuteIncident", why_pb2.MuteIncidentRequest(id="inc-", until_ns=1 << 63), "for a year at most"),
        ("ResolveIncident", why_pb2.ResolveIncidentRequest(id="inc-", proof="x" * 2001), "has 2001 characters"),
    ],
)
async def test_a_word_that_cannot_be_is_refused_with_what_to_do(asked, method, request_, problem):
    await asked.break_something()
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await getattr(asked.stub, method)(request_)
    assert problem in error.value.details()
    assert "\n" in error.value.details()
    assert await asked.rig.rows("SELECT * FROM audit WHERE action LIKE 'incident.%'") == []


async def test_a_mute_and_a_word_survive_a_restart_and_are_not_obeyed_twice(tmp_path):
    config = make_config(tmp_path)
    rig = Rig(config)
    await rig.start()
    asked = Asked(rig)
    name = await asked.break_something()
    until = in_an_hour()
    await asked.stub.MuteIncident(why_pb2.MuteIncidentRequest(id=name, until_ns=until))
    await asked.channel.close()
    await rig.stop()
    second = Rig(config)
    await second.start()
    again = Asked(second)
    try:
        assert (await again.incident(name)).muted_until_ns == until
        await again.stub.ResolveIncident(why_pb2.ResolveIncidentRequest(id=name, proof="done"))
        entries = [entry.what for entry in (await again.incident(name)).timeline]
        assert entries.count("muted") == 1
    finally:
        await again.channel.close()
        await second.stop()


async def test_words_are_found_without_reading_the_audit_of_commands(rig):
    asked = []

    def plan(connection):
        @event.listens_for(connection, "before_cursor_execute")
        def note(_connection, _cursor, statement, parameters, *_):
            asked.append((statement, parameters))

        words_after(connection, 0)
        (one,) = asked
        return str(connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {one[0]}", one[1]).fetchall())

    assert "ix_audit_object_kind_object_id" in await rig.collector.store.read(plan)
