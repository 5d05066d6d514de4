"""kill -9 at any moment: what append() returned is there, once, afterwards."""

import random
import signal
import subprocess
import sys
import time

from agent.spool.spooling import Bench, drain, limits

CHILD = """
import sys
from pathlib import Path
from agent.spool.spooling import Bench, event, limits
root = Path(sys.argv[1])
spool = Bench(root, limits(root, segment_bytes=20_000)).open()
number = 0
while True:
    batch = [event(f"{spool.next_sequence + i}|" + "x" * 300) for i in range(1 + number % 7)]
    for sequence in spool.append(batch):
        sys.stdout.write(f"{sequence}\\n")
    sys.stdout.flush()
    number += 1
    if number % 10 == 0:
        spool.ack(spool.epoch, spool.next_sequence - 40) if spool.next_sequence > 41 else None
"""


def test_every_sequence_that_append_returned_survives_kill(tmp_path):
    path = ":".join(entry for entry in sys.path if entry)
    returned = []
    for _ in range(30):
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(tmp_path)], stdout=subprocess.PIPE, env={"PYTHONPATH": path}
        )
        returned.append(int(child.stdout.readline()))
        time.sleep(random.random() * 0.05)
        child.send_signal(signal.SIGKILL)
        rest = child.stdout.read()
        child.wait()
        child.stdout.close()
        returned += [int(line) for line in rest.split(b"\n")[:-1]]
        bench = Bench(tmp_path, limits(tmp_path, segment_bytes=20_000))
        spool = bench.open()
        assert spool.damage == ()
        records = drain(spool)
        for record in records:
            assert record.event.message.startswith(f"{record.sequence}|")
        assert {s for s in returned if s >= spool.oldest_sequence} <= {record.sequence for record in records}
        assert spool.next_sequence > returned[-1]
        bench.abandon()
    assert returned == sorted(set(returned))
    assert len(returned) > 100
