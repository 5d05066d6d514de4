"""A rack fails while a real collector process watches, and the process is killed in the middle: one incident."""

import asyncio
import signal
import sqlite3
import sys
from contextlib import asynccontextmanager, closing
from dataclasses import replace

import pytest
from collector.diagnose.rack import Racks, enrol_all, lost_disk, names
from collector.rig import make_config
from collector.test_kill import config_file, free_port, listening

from fsmend_proto.v1 import incident_pb2

OPEN, MERGED = incident_pb2.INCIDENT_STATE_OPEN, incident_pb2.INCIDENT_STATE_MERGED
HOSTS = 12
RACK = [f"h-1-{place:02}" for place in range(HOSTS)]


@asynccontextmanager
async def collector(path, port):
    """Run a collector process, and kill it."""
    arguments = ("-m", "fsmend_collector.cli", "run", "--config", str(path))
    process = await asyncio.create_subprocess_exec(sys.executable, *arguments)
    try:
        await listening(port)
        yield
    finally:
        process.send_signal(signal.SIGKILL)
        await process.wait()


def stored(config, sql):
    with closing(sqlite3.connect(f"file:{config.state_directory / 'store.sqlite'}?mode=ro", uri=True)) as connection:
        connection.row_factory = sqlite3.Row
        return list(connection.execute(sql))


async def until(config, sql, accept):
    async with asyncio.timeout(60):
        while not accept(rows := stored(config, sql)):  # noqa: ASYNC110  it happens in another process
            await asyncio.sleep(0.1)
    return rows


def shared(config):
    rows = stored(config, "SELECT incident FROM incidents")
    found = [incident_pb2.Incident.FromString(row["incident"]) for row in rows]
    return [one for one in found if one.HasField("statistics")]


@pytest.mark.timeout(240)
async def test_twelve_hosts_of_a_rack_are_one_incident_that_outlives_the_collector(tmp_path):
    port = free_port()
    config = replace(
        make_config(tmp_path), listen_address=f"127.0.0.1:{port}", enrol_listen_address=f"127.0.0.1:{free_port()}"
    )
    identities = enrol_all(config, names(4, HOSTS))
    path = config_file(tmp_path, config)
    path.write_text(path.read_text() + "[diagnosis]\nagent_silent_seconds = 5\n")
    async with collector(path, port):
        fleet = Racks(port, identities)
        await fleet.connect()
        await fleet.introduce()
        for name in RACK[:6]:
            await fleet.send(
                name, lambda at, name=name: lost_disk(at, name, 0), lambda at, name=name: lost_disk(at, name, 1)
            )
        merged = f"SELECT id FROM incidents WHERE code='DEVICE_GONE' AND state={MERGED}"
        await until(config, merged, lambda rows: len(rows) == 12)
        (before,) = shared(config)
        assert (before.code, before.cause.value, before.state) == ("RACK_FAULT", "r1", OPEN)
        assert len(before.members) == 12
        await fleet.close()
    async with collector(path, port):
        rest = Racks(port, {name: one for name, one in identities.items() if name not in RACK})
        await rest.connect()
        silent = f"SELECT agent_id FROM incidents WHERE code='AGENT_SILENT' AND state={MERGED}"
        rows = await until(config, silent, lambda rows: len(rows) == HOSTS)
        assert sorted(row["agent_id"] for row in rows) == RACK
        (after,) = shared(config)
        assert (after.id, after.code, after.opened_ns, after.state) == (before.id, "RACK_FAULT", before.opened_ns, OPEN)
        assert {unit.agent_id for unit in after.members} == set(RACK)
        assert [entry.what for entry in after.timeline].count("opened") == 1
        assert not stored(config, f"SELECT id FROM incidents WHERE state={OPEN} AND id != '{before.id}'")
        await rest.close()
