"""What grew between a telling and the end of a step is counted once, also after a restart."""

import pytest
from collector.diagnose.history import History, event
from collector.diagnose.rack import filesystem

from fsmend_proto.v1 import event_pb2

_FOR_EVER_SECONDS = 1e18


def counted(history):
    (incident,) = [one for one in history.following.engine.incidents() if one.code.startswith("FS_")]
    return (incident.occurrences, incident.evidence_count)


@pytest.mark.parametrize("count", [50, 300])
def test_errors_of_one_step_without_a_tick_are_counted_once_after_a_restart(tmp_path, monkeypatch, count):
    history = History(tmp_path, monkeypatch)
    history.wait(3)
    broken = filesystem("h-0-00", 0)
    kind = event_pb2.EVENT_KIND_FS_DATA_CORRUPTION
    history.report("h-0-00", *[event(kind, 3, history.now_ns + one, filesystem=broken) for one in range(count)])
    history.following._ticked_seconds = _FOR_EVER_SECONDS  # no tick in this step, as in most steps of a storm
    history.follow()
    history.restart()
    history.following._ticked_seconds = 0
    history.wait(10)
    assert counted(history) == (count, count)
