"""Durable ingest over mutual TLS into SQLite, against a bare SQLite insert of the same rows in the same run.

The collector is a process of its own, with diagnosis at work on what comes in; 64 agents share another process. The
machine's two cores are theirs, so the figure is that of a collector beside its load.
"""

import asyncio
import statistics
import tempfile
import time
from pathlib import Path

from pysqlite3 import dbapi2 as sqlite

from bench.agents import ANSWER_SECONDS, join, record, send_all
from fsmend_proto.v1 import link_pb2
from stage.processes import Stage

AGENTS = 64
BATCH_EVENTS = 500
BATCHES = 12
BARE_ROWS_PER_COMMIT = 4_000
ACK_ROUNDS = 200
ACK_PAUSE_SECONDS = 0.02


def measure() -> dict[str, float]:
    """Fill a store, copy its rows into a bare one, and time single events.

    Raises:
        RuntimeError: the store does not hold exactly what was sent.
    """
    with tempfile.TemporaryDirectory(prefix="fsmend-") as folder, Stage(Path(folder)) as stage:
        stage.start_collector()
        ingested, acks_ms = asyncio.run(_load(stage))
        stage.stop("collector")
        bare = _bare(Path(folder) / "collector" / "store.sqlite", Path(folder) / "bare.sqlite")
    acks_ms.sort()
    return {
        "ingest_sqlite_events_per_second": ingested,
        "ingest_sqlite_ratio": ingested / bare,
        "ingest_sqlite_bare_rows_per_second": bare,
        "ack_ms_p50": statistics.median(acks_ms),
        "ack_ms_p99": acks_ms[int(0.99 * len(acks_ms))],
    }


async def _load(stage: Stage) -> tuple[float, list[float]]:
    """Return events a second until the last one is durable, and milliseconds to the ack of single events."""
    agents = await join(stage, AGENTS + 1)
    quiet, fleet = agents[0], agents[1:]
    try:
        acks = await _single(quiet)
        spools = [_spool(number, agent.epoch) for number, agent in enumerate(fleet)]
        streams = [await agent.connect() for agent in fleet]
        began = time.monotonic()
        async with asyncio.timeout(ANSWER_SECONDS), asyncio.TaskGroup() as group:
            for agent, stream, spool in zip(fleet, streams, spools, strict=True):
                group.create_task(send_all(agent, stream, spool, BATCHES * BATCH_EVENTS))
        return AGENTS * BATCHES * BATCH_EVENTS / (time.monotonic() - began), acks
    finally:
        for agent in agents:
            await agent.close()


def _spool(number: int, epoch: str) -> list[link_pb2.RecordBatch]:
    """Make what one agent has to send."""
    first = range(1, BATCHES * BATCH_EVENTS, BATCH_EVENTS)
    return [
        link_pb2.RecordBatch(
            epoch=epoch, first_sequence=at, records=[record(number, at + one) for one in range(BATCH_EVENTS)]
        )
        for at in first
    ]


async def _single(agent: "object") -> list[float]:
    """Send one event at a time; return how long each took until its ack."""
    stream = await agent.connect()
    taken = []
    for sequence in range(1, ACK_ROUNDS + 1):
        batch = link_pb2.RecordBatch(epoch=agent.epoch, first_sequence=sequence, records=[record(10_000, sequence)])
        began = time.monotonic()
        await stream.send(batch)
        await stream.acked(sequence)
        taken.append((time.monotonic() - began) * 1e3)
        await asyncio.sleep(ACK_PAUSE_SECONDS)
    return taken


def _bare(store: Path, target: Path) -> float:
    """Insert the store's rows into an empty table of the same shape and durability; return rows a second."""
    source = sqlite.connect(f"file:{store}?mode=ro", uri=True)
    schema = [row[0] for row in source.execute("SELECT sql FROM sqlite_master WHERE tbl_name='events' AND sql != ''")]
    rows = source.execute("SELECT * FROM events ORDER BY id").fetchall()
    source.close()
    if len(rows) != (expected := AGENTS * BATCHES * BATCH_EVENTS + ACK_ROUNDS):
        raise RuntimeError(f"{expected} events were acknowledged, and {len(rows)} are in the store")
    bare = sqlite.connect(str(target), isolation_level=None)
    bare.execute("PRAGMA journal_mode=WAL")
    bare.execute("PRAGMA synchronous=FULL")
    for statement in schema:
        bare.execute(statement)
    insert = f"INSERT INTO events VALUES ({','.join('?' * len(rows[0]))})"
    began = time.monotonic()
    for start in range(0, len(rows), BARE_ROWS_PER_COMMIT):
        bare.execute("BEGIN")
        bare.executemany(insert, rows[start : start + BARE_ROWS_PER_COMMIT])
        bare.execute("COMMIT")
    seconds = time.monotonic() - began
    bare.close()
    return len(rows) / seconds
