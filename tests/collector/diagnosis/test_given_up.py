"""A repair that the collector gave up, whose agent tells a good end later: that end is a proof like any other."""

import pytest
from collector.diagnosis.findings import SECOND, START, btrfs, engine, feed, only, run, state_name, target, update

from fsmend_proto.v1 import command_pb2

GIVEN_UP_SECONDS = 90_000


@pytest.mark.parametrize("later_seconds", [100, 90_000, 864_000])
def test_the_good_end_of_a_repair_that_was_given_up_closes_the_incident(later_seconds):
    diagnosis = engine()
    feed(diagnosis, [btrfs("FS_DATA_CORRUPTION", 0, count=12, reading=12)])
    run(diagnosis, update("RUNNING"), 10)
    now_ns = START + GIVEN_UP_SECONDS * SECOND
    diagnosis.note_command("c1", "a1", target(), command_pb2.COMMAND_STATE_UNKNOWN, now_ns, "scrub_btrfs")
    diagnosis.tick(now_ns + later_seconds * SECOND)
    run(diagnosis, update("RUNNING"), GIVEN_UP_SECONDS + later_seconds)
    done = update("SUCCEEDED", "HEALED", errors_found=12, errors_corrected=12)
    run(diagnosis, done, GIVEN_UP_SECONDS + later_seconds + 1)
    assert state_name(only(diagnosis)) == "resolved"
