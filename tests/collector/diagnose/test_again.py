"""History diagnosed again: with the same configuration nothing differs, also over a restart; with another it is said."""

import asyncio
import time

import grpc
import pytest
from collector.diagnose.rack import Racks, corrupt, enrol_all, lost_disk, names, started
from collector.rig import batch, channel_to, event_record, eventually, make_config
from collector.server.operators import operator_identity

from fsmend_collector.diagnose import apart
from fsmend_proto.v1 import event_pb2, query_pb2_grpc, why_pb2

HOUR_NS = 3_600 * 10**9


async def replay(rig, since_ns, **fields):
    """Return summary, differences by id, and the phases told."""
    async with channel_to(rig.collector.servers.link_port, *operator_identity(rig.collector)) as channel:
        stub = query_pb2_grpc.QueryStub(channel)
        replies = [one async for one in stub.DiagnoseAgain(why_pb2.DiagnoseAgainRequest(since_ns=since_ns, **fields))]
    found = {one.difference.id: one.difference for one in replies if one.HasField("difference")}
    phases = [one.progress.phase for one in replies if one.HasField("progress")]
    assert replies[-1].HasField("summary")
    return replies[-1].summary, found, phases


async def fail_rack(racks, rack, hosts, disks=(0, 1)):
    for place in range(hosts):
        name = f"h-{rack}-{place:02}"
        for disk in disks:
            await racks.send(name, lambda at, name=name, disk=disk: lost_disk(at, name, disk))


async def shared(rig, code, occurrences):
    wanted = "SELECT * FROM incidents WHERE code=:code AND occurrences=:n"

    async def enough():
        return await rig.rows(wanted, code=code, n=occurrences) or None

    return await eventually(enough)


def counts(summary):
    return summary.same, summary.only_now, summary.only_then, summary.changed


async def settled(rig):
    """Wait until diagnosis has written that it read everything."""

    async def through():
        rows = await rig.rows("SELECT key, number FROM meta WHERE key IN ('last_record_id', 'diagnosed_through')")
        return len({row.number for row in rows}) == 1 and len(rows) == 2

    async with asyncio.timeout(20):
        while not await through():  # noqa: ASYNC110  what is waited for happens in rows of a database
            await asyncio.sleep(0.1)


async def test_with_its_own_configuration_nothing_differs_also_after_a_restart(tmp_path):
    config, began = make_config(tmp_path), time.time_ns()
    identities = enrol_all(config, names(4, 6))
    rig = await started(config)
    racks = Racks(rig.collector.servers.link_port, identities)
    await racks.connect()
    await racks.introduce()
    await fail_rack(racks, 1, 3)
    await shared(rig, "RACK_FAULT", 6)
    await racks.send("h-2-03", lambda at: corrupt(at, "h-2-03", 1))
    await settled(rig)
    summary, found, phases = await replay(rig, began)
    assert counts(summary) == (8, 0, 0, 0), found
    assert (phases[0], phases[-1]) == ("reading the fleet", "comparing")
    assert summary.records == 7
    assert summary.peak_rss_bytes > 1 << 20
    await racks.close()
    await rig.stop()

    again = await started(config)
    racks = Racks(again.collector.servers.link_port, identities)
    await racks.connect()
    middle = time.time_ns()
    await fail_rack(racks, 1, 6)
    await racks.send("h-2-02", lambda at: lost_disk(at, "h-2-02", 2))
    await shared(again, "FLEET_WIDE", 14)  # two more of so few hosts: the rack's incident is merged into a larger one
    await settled(again)
    summary, found, _ = await replay(again, began)
    assert counts(summary) == (15, 0, 0, 0), found
    later, found, _ = await replay(again, middle)
    assert counts(later)[1:] == (0, 0, 0), found
    assert later.same == 7
    await racks.close()
    await again.stop()


def bad_sector(at):
    return event_record(
        at,
        kind=event_pb2.EVENT_KIND_DEVICE_IO_ERROR,
        severity=event_pb2.SEVERITY_ERROR,
        device=event_pb2.DeviceRef(id="wwid:1", name="sda"),
        sectors=event_pb2.SectorRange(start=at * 8, count=8),
        clocks=event_pb2.Clocks(wall_ns=time.time_ns(), boot_ns=at, boot_id="boot-1"),
    )


async def test_another_configuration_says_what_it_would_have_said(tmp_path):
    config, began = make_config(tmp_path), time.time_ns()
    rig = await started(config)
    agent = await rig.agent("web-1")
    stream = await agent.connect()
    await stream.send(batch(agent.epoch, 1, *(bad_sector(at) for at in range(1, 4))))
    await stream.acked(3)
    await settled(rig)
    assert await rig.rows("SELECT * FROM incidents") == []
    summary, found, _ = await replay(rig, began, diagnosis_toml="[diagnosis.rules.device_io]\ncount = 3\n")
    assert counts(summary) == (0, 1, 0, 0)
    ((name, one),) = found.items()
    assert one.now.code == "DEVICE_IO_ERRORS"
    assert not one.HasField("then")
    assert await rig.rows("SELECT * FROM incidents WHERE id=:name", name=name) == []  # in shadow
    same, _, _ = await replay(rig, began)
    assert counts(same) == (0, 0, 0, 0)
    await rig.stop()


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"since_ns": 1 << 62}, "there is no time between"),
        ({"since_ns": 1, "diagnosis_toml": "[diagnosis]\nspeed = 1"}, "diagnosis.speed: unknown setting"),
        (
            {"since_ns": 1, "diagnosis_toml": "groups.least_units = 1"},
            "groups.least_units: must be a whole number from 2",
        ),
        ({"since_ns": 1, "diagnosis_toml": "diagnosis ="}, "is not TOML"),
        ({"since_ns": 1, "diagnosis_toml": "diagnosis = 3"}, "must be a table"),
    ],
)
async def test_what_cannot_be_replayed_is_refused(rig, fields, problem):
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await replay(rig, **fields)
    assert problem in error.value.details()


async def test_only_one_at_a_time_and_a_caller_who_goes_ends_it(rig):
    async with channel_to(rig.collector.servers.link_port, *operator_identity(rig.collector)) as channel:
        stub = query_pb2_grpc.QueryStub(channel)
        first = stub.DiagnoseAgain(why_pb2.DiagnoseAgainRequest(since_ns=1))
        await first.read()
        with pytest.raises(grpc.aio.AioRpcError, match="operator:ada has history diagnosed again"):
            await replay(rig, 1)
        first.cancel()

        async def free():
            refused = ""
            try:
                await replay(rig, time.time_ns() - HOUR_NS)
            except grpc.aio.AioRpcError as error:
                refused = error.details()
            return not refused

        assert await eventually(free)


async def test_a_child_that_hangs_is_ended_when_its_time_is_over(rig, monkeypatch):
    monkeypatch.setattr(apart, "MOST_SECONDS", 0.0)
    monkeypatch.setattr(apart, "_GRACE_SECONDS", 0.05)
    began = time.monotonic()
    with pytest.raises(grpc.aio.AioRpcError, match="takes longer than 0 s\nchoose a later --since"):
        await replay(rig, 1)
    assert time.monotonic() - began < 5
