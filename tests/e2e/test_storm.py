"""A storm: what the kernel's own counter says is what the collector has, to the last error."""

import time
from pathlib import Path

import pytest
from e2e.asking import events_of, incidents_of, until

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(300)]
ERRORS = 10_000


def errors_count(device):
    return int(Path(f"/sys/fs/ext4/{device}/errors_count").read_text())


def lost(stage):
    return sum(
        one["gap"]["lost"] for one in stage.fsmend("get", "gaps", "--limit", "0") if one["gap"]["source"] == "trace"
    )


def counted(stage, uuid, source):
    return sum(one["event"]["count"] for one in events_of(stage, uuid, source))


def test_ten_thousand_errors_are_all_counted_at_the_collector(running, ext4):
    device, uuid = ext4
    until(lambda: running.fsmend("get", "filesystems"))
    before = errors_count(device)
    with Path(f"/sys/fs/ext4/{device}/trigger_fs_error").open("w") as trigger:
        for _ in range(ERRORS):
            trigger.write("storm")
            trigger.flush()
    until(lambda: errors_count(device) - before == ERRORS)
    until(lambda: counted(running, uuid, "trace") + lost(running) >= ERRORS)
    time.sleep(2)  # nothing more may come
    assert counted(running, uuid, "trace") + lost(running) == ERRORS
    assert counted(running, uuid, "ext4_stats") == ERRORS
    assert len(events_of(running, uuid, "trace")) < ERRORS / 100
    (incident,) = incidents_of(running, uuid, device)
    assert incident["occurrences"] == ERRORS
