"""The brakes end to end: from events to what is ordered, held back and taken back."""

import time
from contextlib import asynccontextmanager
from dataclasses import replace

from click.testing import CliRunner
from collector.diagnose.rack import Racks, corrupt, enrol_all, lost_disk, names, started
from collector.rig import eventually, make_config
from collector.test_kill import config_file
from sqlalchemy import text

from fsmend_collector import brakes
from fsmend_collector.cli import main
from fsmend_collector.commands import QUEUED
from fsmend_collector.diagnose.braking import read_brakes, stop_repairs
from fsmend_collector.diagnosis.groups import ScanSettings
from fsmend_collector.fleet import revoke
from fsmend_collector.policy import PolicyConfig
from fsmend_collector.server.health_checks import assess
from fsmend_collector.store.health_reads import SourceStates, read_health_facts
from fsmend_proto.v1 import command_pb2, incident_pb2

SCRUB = "SELECT * FROM commands WHERE action='scrub_btrfs'"
MERGED = incident_pb2.INCIDENT_STATE_MERGED


@asynccontextmanager
async def fleet_of(tmp_path, racks, hosts, *, least_units=1_000, **policy):
    config = make_config(tmp_path)
    apart = ScanSettings(least_units=least_units)  # the tests that are not about shared causes want none
    config = replace(config, policy=replace(PolicyConfig(), **policy), groups=apart)
    identities = enrol_all(config, names(racks, hosts))
    rig = await started(config)
    fleet = Racks(rig.collector.servers.link_port, identities)
    await fleet.connect()
    await fleet.introduce()
    try:
        yield rig, fleet
    finally:
        await fleet.close()
        await rig.stop()


async def finish_evidence(rig, fleet):
    """Pretend that every host has collected evidence, so that the next step is a repair."""

    def done(connection):
        state = command_pb2.COMMAND_STATE_SUCCEEDED
        connection.execute(text(f"UPDATE commands SET state={state}, finished_ns=1 WHERE action='collect_evidence'"))

    await rig.collector.store.write(done)


async def consider(rig):
    """Let the policy look at everything at once, and not only every 15 seconds."""
    diagnose = rig.collector.diagnose
    await diagnose._ordering.consider(diagnose._following.engine.incidents())


async def ready_to_repair(rig, fleet, hosts):
    """Make one filesystem of each host corrupt, and wait until only the repair is left to order."""
    for name in hosts:
        await fleet.send(name, lambda at, name=name: corrupt(at, name, 0))
    await eventually(lambda: enough(rig, "SELECT id FROM incidents WHERE code='FS_DATA_CORRUPTION'", len(hosts)))
    await eventually(lambda: enough(rig, "SELECT id FROM commands WHERE action='collect_evidence'", len(hosts)))
    await finish_evidence(rig, fleet)

    for fault in rig.collector.diagnose._following.engine.units._ledger:
        fault.opened_ns = 1  # the patience for a name of the device is over


async def enough(rig, sql, count):
    rows = await rig.rows(sql)
    return rows if len(rows) >= count else None


async def test_no_more_hosts_than_the_share_are_under_repair_and_the_next_follows_when_one_is_done(tmp_path):
    async with fleet_of(tmp_path, 3, 2, repair_share_percent=34) as (rig, fleet):
        # Of different racks, so that nothing is shared.
        await ready_to_repair(rig, fleet, ["h-0-00", "h-1-00", "h-2-00"])
        for _ in range(3):
            await consider(rig)
        rows = await rig.rows(SCRUB)
        assert len({row.agent_id for row in rows}) == 2
        await rig.collector.dispatch.cancel(rows[0].id, "enough", "operator:test")
        state = command_pb2.COMMAND_STATE_FAILED

        def end(connection):
            connection.execute(
                text(f"UPDATE commands SET state={state}, finished_ns=1 WHERE id=:id"), {"id": rows[0].id}
            )

        await rig.collector.store.write(end)
        await consider(rig)
        rows = await rig.rows(SCRUB)
        assert len({row.agent_id for row in rows}) == 3


async def test_a_shared_cause_takes_back_what_was_ordered_for_its_members_and_orders_nothing_for_them(tmp_path):
    async with fleet_of(tmp_path, 4, 6, least_units=3, repair_share_percent=100) as (rig, fleet):
        hosts = [f"h-1-0{place}" for place in range(4)]
        await ready_to_repair(rig, fleet, hosts[:1])
        await consider(rig)
        (order,) = await rig.rows(SCRUB)
        for name in hosts:
            await fleet.send(
                name, lambda at, name=name: lost_disk(at, name, 0), lambda at, name=name: corrupt(at, name, 1)
            )

        async def held():
            rows = await rig.rows("SELECT * FROM incidents WHERE code='FS_DATA_CORRUPTION'")
            return rows if len(rows) >= 4 and all(row.state == MERGED for row in rows) else None

        await eventually(held)
        (cause,) = await rig.rows("SELECT id FROM incidents WHERE code='RACK_FAULT'")

        async def taken_back():
            return await rig.rows(f"{SCRUB} AND cancel_ns > 0 AND cancel_by='policy'")

        (row,) = await eventually(taken_back)
        assert (row.id, row.cancel_reason) == (order.id, f"the shared cause {cause.id} holds it")
        await finish_evidence(rig, fleet)
        for fault in rig.collector.diagnose._following.engine.units._ledger:
            fault.opened_ns = 1
        await consider(rig)
        assert len(await rig.rows(SCRUB)) == 1


async def test_a_storm_stops_repairs_until_a_person_releases_them(tmp_path, monkeypatch):
    monkeypatch.setattr(brakes, "EXPLAINED_SECONDS", 0)
    async with fleet_of(tmp_path, 3, 2, storm_incidents=3, repair_share_percent=100) as (rig, fleet):
        await ready_to_repair(rig, fleet, ["h-0-00", "h-1-00", "h-2-00"])
        await consider(rig)
        assert await rig.rows(SCRUB) == []
        facts = await rig.collector.store.read(read_health_facts, SourceStates(), 1)
        (check,) = [one for one in assess(facts, 1).checks if one.code == "REPAIRS_STOPPED"]
        assert "fsmend-collector repairs release" in check.details[0]
        path = config_file(tmp_path, rig.config)
        for said in ("automatic repairs go on", "automatic repairs were not stopped"):
            assert said in CliRunner().invoke(main, ["repairs", "release", "--config", str(path)]).output
        await consider(rig)
        assert len(await rig.rows(SCRUB)) == 3


async def first_of_two(rig, fleet):
    """Let two hosts need a repair where one at a time may; return the row of the one that is ordered."""
    await ready_to_repair(rig, fleet, ["h-0-00", "h-1-00"])
    await consider(rig)
    (first,) = await rig.rows(SCRUB)
    return first


async def test_a_host_that_left_the_fleet_in_mid_repair_does_not_hold_up_the_others(tmp_path):
    async with fleet_of(tmp_path, 2, 2, repair_share_percent=1) as (rig, fleet):
        first = await first_of_two(rig, fleet)
        await rig.collector.store.write(revoke, first.agent_id, "operator:test", 1)
        await consider(rig)
        assert len(await rig.rows(SCRUB)) == 2


async def test_a_dead_host_holds_its_place_for_a_day(tmp_path):
    async with fleet_of(tmp_path, 2, 2, repair_share_percent=1) as (rig, fleet):
        first = await first_of_two(rig, fleet)
        day_ns = 24 * 3_600 * 10**9
        for later_ns, busy in ((day_ns - 60 * 10**9, {first.agent_id}), (day_ns + 60 * 10**9, set())):
            brakes = await rig.collector.store.read(read_brakes, time.time_ns() + later_ns)
            assert brakes.repairing == busy


async def test_what_was_queued_when_repairs_were_stopped_is_taken_back_also_after_a_crash_in_between(tmp_path):
    async with fleet_of(tmp_path, 2, 2, repair_share_percent=100) as (rig, fleet):
        await ready_to_repair(rig, fleet, ["h-0-00"])
        await consider(rig)

        def crash(connection):
            stop_repairs(connection, "a storm", 1)
            connection.execute(text("UPDATE agents SET session_id='another'"))  # none that is open sends it
            queued = text(f"UPDATE commands SET state={QUEUED} WHERE action='scrub_btrfs'")
            return connection.execute(queued).rowcount

        assert await rig.collector.store.write(crash) == 1
        await consider(rig)
        (row,) = await rig.rows(SCRUB)
        assert row.cancel_reason == "automatic repairs are stopped"
