"""Simulated agents against a real collector in this process: enrolment, streams, loss of power, orders."""

import asyncio
import stat
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from collector.rig import eventually

from fsmend_collector.pki.certificates import certificate_pem, key_pem, new_key
from fsmend_collector.simulate.fleet import FleetShape, make_fleet
from fsmend_collector.simulate.scenarios import scenarios
from fsmend_collector.simulate.wire.certificates import Kept, identities
from fsmend_collector.simulate.wire.channels import Identity
from fsmend_collector.simulate.wire.drive import Wish, simulate
from fsmend_collector.simulate.wire.errors import SimulationRefused
from fsmend_collector.simulate.wire.fleet import WireFleet
from fsmend_collector.simulate.wire.operator import Access, Operator
from fsmend_collector.simulate.wire.timetable import Timetable
from fsmend_collector.simulate.world import START, Presence

HOSTS = 6


class Stages:
    """Forget what is told."""

    def stage(self, name, total):
        """Take the name of a stage."""

    def done(self, steps):
        """Take how far it is."""


@pytest.fixture
def access(rig):
    authority = rig.collector.authority
    key = new_key()
    certificate = authority.issue_client("operator", "test", key.public_key(), datetime.now(UTC), 1)
    identity = Identity("test", key_pem(key), certificate_pem(certificate), authority.pem)
    return Access(f"localhost:{rig.collector.servers.link_port}", identity)


@pytest.fixture
async def operator(rig, access, monkeypatch):
    port = rig.collector.servers.enrol_port
    monkeypatch.setattr("fsmend_collector.collector.advertised", lambda *_: [f"localhost:{port}"])
    async with Operator(access) as operator:
        yield operator


@pytest.fixture
def world():
    return scenarios()["hba_fault"].world(make_fleet(FleetShape(hosts=HOSTS), seed=1), seed=1)


@pytest.fixture
async def fleet(operator, world):
    found, _ = await identities(operator, [one.host_name for one in world.fleet.views], None)
    fleet = WireFleet(world, found, operator.access.address)
    await fleet.connect(lambda _: None)
    yield fleet
    await fleet.close()


async def nothing():
    """Restart nothing."""


async def test_every_host_gets_a_certificate_of_its_own_and_the_next_run_takes_them_again(operator, tmp_path):
    names = [f"host{number:06}" for number in range(HOSTS)]
    first, new = await identities(operator, names, tmp_path / "kept")
    assert new == HOSTS
    assert len({one.chain for one in first.values()}) == len({one.name for one in first.values()}) == HOSTS
    (file,) = (tmp_path / "kept").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    again, new = await identities(operator, [*names, "host000099"], tmp_path / "kept")
    assert (new, {name: again[name] for name in names}) == (1, first)


async def test_a_certificate_that_is_about_to_end_is_not_taken_again(operator, tmp_path):
    await identities(operator, ["host000001"], tmp_path)
    kept = Kept(tmp_path, operator.access.identity.authority)
    assert kept.load(datetime.now(UTC))
    assert not kept.load(datetime.now(UTC) + timedelta(days=400))


async def test_inventories_and_events_come_through_once(rig, fleet):
    assert len(await rig.rows("select 1 from hosts")) == HOSTS
    await fleet.play(Timetable(START, time.time_ns(), speed=1e6), nothing)
    sent = len({what.event_id for _, _, what in fleet.world.happenings})
    await eventually(lambda: _count(rig, sent))
    assert [row.n for row in await rig.rows("select count(*) n from gaps")] == [0]


async def test_what_was_sent_already_may_come_again(rig, fleet):
    table = Timetable(START, time.time_ns(), speed=1e6)
    await fleet.play(table, nothing)
    sent = len({what.event_id for _, _, what in fleet.world.happenings})
    await eventually(lambda: _count(rig, sent))
    await fleet.play(table, nothing)
    await asyncio.sleep(0.3)
    assert await _count(rig, sent)
    assert all(one.connected for one in fleet.agents.values())


async def _count(rig, expected):
    ((count,),) = await rig.rows("select count(*) from events")
    assert count <= expected
    return count == expected


async def test_a_host_without_power_is_away_and_comes_back_as_another_boot(rig, fleet):
    agent_id, agent = next(iter(fleet.agents.items()))
    before = agent.clocks(time.time_ns()).boot_id
    fleet.world.happenings[:] = [(START, 1, Presence(agent_id, connected=False))]
    await fleet.play(Timetable(START, time.time_ns()), nothing)
    await eventually(lambda: _connected(rig, HOSTS - 1))
    fleet.world.happenings[:] = [(START, 1, Presence(agent_id, connected=True))]
    await fleet.play(Timetable(START, time.time_ns()), nothing)
    await eventually(lambda: _connected(rig, HOSTS))
    assert agent.clocks(time.time_ns()).boot_id != before
    assert not [row for row in await rig.rows("select quarantined from agents") if row.quarantined]


async def _connected(rig, expected):
    return len(rig.collector.presence) == expected


def sockets():
    links = (one.readlink() for one in Path("/proc/self/fd").iterdir() if one.is_symlink())
    return sum("socket" in str(link) for link in links)


async def test_a_fleet_that_is_closed_leaves_no_connection(operator, world):
    found, _ = await identities(operator, [one.host_name for one in world.fleet.views], None)
    fleet = WireFleet(world, found, operator.access.address)
    before = sockets()
    await fleet.connect(lambda _: None)
    assert sockets() >= before + HOSTS
    await fleet.close()

    async def gone():
        return sockets() <= before

    await eventually(gone)


async def test_a_collector_with_a_real_host_is_left_alone(rig, operator, access, world):
    real = await rig.agent("db7")
    await real.connect(agent_version="0.1.0")
    with pytest.raises(SimulationRefused, match="not simulated: db7"):
        await simulate(world, Wish(access=access), Stages())
    assert len(await rig.rows("select 1 from agents")) == 1
