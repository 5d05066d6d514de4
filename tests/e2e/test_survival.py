"""kill -9 of any process at any time: every event whose fsync finished is in the store once."""

import random
import shutil
import signal
import sqlite3
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from fsmend_agent.spool import Spool
from fsmend_proto.v1 import record_pb2
from stage.processes import Stage

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(900)]

ROUNDS = 50
DRAIN_SECONDS = 60
Key = tuple[str, int]  # epoch, sequence


class Errors:
    """A thread that makes real ext4 errors until it is told to stop."""

    def __init__(self, device: str) -> None:
        self._trigger = Path(f"/sys/fs/ext4/{device}/trigger_fs_error")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work)
        self.made = 0

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._stop.wait(0.004):
            self._trigger.write_text(f"survival {self.made}\n")
            self.made += 1


def on_disk(stage: Stage, scratch: Path) -> tuple[dict[Key, bytes], int]:
    """Read what the spool holds, from a copy, as the next start of sense would; return events and the next sequence."""
    shutil.rmtree(scratch, ignore_errors=True)
    shutil.copytree(stage.directory / "agent" / "spool", scratch)
    spool = Spool.open(scratch)
    events: dict[Key, bytes] = {}
    sequence = spool.oldest_sequence
    while sequence < spool.next_sequence:
        batch = spool.read(sequence, 1 << 20, 1000)
        for raw in batch.records:
            record = record_pb2.Record.FromString(raw)
            if record.WhichOneof("body") == "event":
                events[batch.epoch, record.sequence] = raw
        sequence = batch.next_sequence
    return events, spool.next_sequence


def in_store(stage: Stage) -> list[tuple[Key, bytes]]:
    database = stage.directory / "collector" / "store.sqlite"
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        rows = connection.execute(
            "select epochs.epoch, events.sequence, events.record from events join epochs on epochs.number = events.epoch"
        )
        return [((epoch, sequence), record) for epoch, sequence, record in rows]


def kill(stage: Stage, victim: str) -> None:
    stage.stop(victim, signal.SIGKILL)


def start(stage: Stage, victim: str) -> None:
    {"sense": stage.start_sense, "link": stage.start_link, "collector": stage.start_collector}[victim]()


def test_every_event_whose_fsync_finished_is_in_the_store_once_after_fifty_kills(stage, ext4, tmp_path):
    seed = random.randrange(1 << 32)
    chance = random.Random(seed)
    stage.start_collector()
    stage.enrol()
    stage.start_sense()
    stage.start_link()
    stage.wait_for("link", stage.connected)
    truth: dict[Key, bytes] = {}
    with Errors(ext4[0]) as errors:
        for _ in range(ROUNDS):
            time.sleep(chance.uniform(0.02, 0.4))
            victim = chance.choice(["sense", "link", "collector"])
            kill(stage, victim)
            if victim == "sense":
                truth |= on_disk(stage, tmp_path / "copy")[0]
            start(stage, victim)
        time.sleep(1)
    assert errors.made > 500
    stage.stop("sense")
    events, next_sequence = on_disk(stage, tmp_path / "copy")
    truth |= events
    stage.start_sense()

    def drained() -> bool:
        return any(int(agent["durable_through"]) >= next_sequence - 1 for agent in stage.fsmend("get", "agents"))

    stage.wait_for("link", drained, DRAIN_SECONDS)
    stored = in_store(stage)
    repeated = [key for key, count in Counter(key for key, _ in stored).items() if count > 1]
    assert not repeated, f"seed {seed}"
    by_key = dict(stored)
    assert len(truth) > ROUNDS, f"seed {seed}: too few events were caught on disk to prove anything"
    assert [key for key in truth if key not in by_key] == [], f"seed {seed}"
    assert [key for key, raw in truth.items() if by_key[key] != raw] == [], f"seed {seed}"
