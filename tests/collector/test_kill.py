"""kill -9 of the collector while agents send: what was acknowledged is stored, and everything is stored once."""

import asyncio
import random
import signal
import socket
import sqlite3
import sys
from dataclasses import replace
from datetime import UTC, datetime

import grpc
import pytest
from collector.rig import Agent, Identity, Stream, events_batch, make_config

from fsmend_collector.pki.authority import Authority
from fsmend_collector.pki.certificates import certificate_pem, new_key
from fsmend_collector.pki.tokens import NewAgent, new_token, redeem, store_token
from fsmend_collector.store.engine import make_engine
from fsmend_collector.store.migrate import migrate

ROUNDS = 4
BATCHES = 200
BATCH_RECORDS = 20


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def config_file(directory, config):
    path = directory / "collector.toml"
    path.write_text(
        f'state_directory = "{config.state_directory}"\nlisten_address = "{config.listen_address}"\n'
        f'enrol_listen_address = "{config.enrol_listen_address}"\nadvertise = ["localhost"]\n'
    )
    return path


def enrolled(config) -> Identity:
    """Enrol without a collector, straight in the store."""
    migrate(config.store_url, config.state_directory / "migrate.lock")
    authority = Authority.load(config.pki_directory)
    key = new_key()
    certificate = authority.issue_client("agent", "agent-1", key.public_key(), datetime.now(UTC), 30)
    engine = make_engine(config.store_url, writes=True)
    token = new_token("operator:test", "", 600, 1)
    with engine.begin() as connection:
        store_token(connection, token)
        redeem(connection, token.secret, NewAgent("agent-1", "host-1", "", "1", 1), 2)
    engine.dispose()
    return Identity("agent-1", key, certificate_pem(certificate), authority.pem)


async def send_all(agent: Agent, stream: Stream) -> None:
    """Send from where Welcome says, with the window that it allows."""
    first = stream.welcome.durable_through + 1
    while first <= BATCHES * BATCH_RECORDS:
        while first - 1 - stream.durable_through >= 8 * BATCH_RECORDS:
            await stream.until("ack")
        await stream.send(events_batch(agent.epoch, first, BATCH_RECORDS))
        first += BATCH_RECORDS
    await stream.acked(BATCHES * BATCH_RECORDS)


async def attempt(identity: Identity, port: int) -> tuple[int, bool]:
    """Connect and send until it fails; return the highest acknowledgement, and whether everything is stored."""
    agent = Agent(identity, port)
    stream = agent.open()
    try:
        async with asyncio.timeout(20):
            await stream.send(agent.hello(next_sequence=BATCHES * BATCH_RECORDS + 1))
            stream.welcome = await stream.until("welcome")
            stream.durable_through = stream.welcome.durable_through
            await send_all(agent, stream)
            return stream.durable_through, True
    except (grpc.aio.AioRpcError, AssertionError, asyncio.InvalidStateError, grpc.aio.UsageError):
        return stream.durable_through, False
    finally:
        stream.call.cancel()
        await agent.close()


async def listening(port: int) -> None:
    async with asyncio.timeout(60):  # of a machine that is busy with other things
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionRefusedError:
                await asyncio.sleep(0.02)
            else:
                writer.close()
                return


def newest(config) -> int:
    path = config.state_directory / "store.sqlite"
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        return connection.execute("SELECT max(sequence) FROM events").fetchone()[0] or 0
    finally:
        connection.close()


def stored(config) -> list[int]:
    path = config.state_directory / "store.sqlite"
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
        found = [sequence for (sequence,) in connection.execute("SELECT sequence FROM events ORDER BY id")]
    connection.close()
    return found


@pytest.mark.timeout(120)
async def test_what_was_acknowledged_survives_kill_9_and_nothing_is_stored_twice(tmp_path):
    port = free_port()
    config = replace(
        make_config(tmp_path), listen_address=f"127.0.0.1:{port}", enrol_listen_address=f"127.0.0.1:{free_port()}"
    )
    identity = enrolled(config)
    command = (sys.executable, "-m", "fsmend_collector.cli", "run", "--config", str(config_file(tmp_path, config)))
    chance = random.Random(1)
    done, kills, acknowledged = False, 0, 0
    while not done:
        process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.DEVNULL)
        try:
            await listening(port)
            sending = asyncio.create_task(attempt(identity, port))
            while not sending.done() and kills < ROUNDS:
                await asyncio.sleep(0.01)
                # Killed in the middle of work, never before any progress was made.
                if await asyncio.to_thread(newest, config) > acknowledged + chance.randrange(20, 600):
                    process.kill()
                    kills += 1
                    break
            seen, done = await sending
            acknowledged = max(acknowledged, seen)
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGTERM if done else signal.SIGKILL)
            await process.wait()
        sequences = await asyncio.to_thread(stored, config)
        assert sequences == list(range(1, len(sequences) + 1))
        assert len(sequences) >= acknowledged
    assert kills >= 2
    assert len(sequences) == BATCHES * BATCH_RECORDS
