"""Findings that wait for the identity of their unit."""

from collector.diagnosis.findings import finding

from fsmend_collector.diagnosis.joining import FaultKey
from fsmend_collector.diagnosis.unplaced import Unplaced

KEY = FaultKey("device", "a1", "name:sda")


def test_findings_are_kept_by_agent_and_key_until_they_are_forgotten():
    unplaced = Unplaced()
    other = FaultKey("device", "a2", "name:sda")
    unplaced.keep(KEY, finding("DEVICE_GONE", 0, event_id="e1"))
    unplaced.keep(other, finding("DEVICE_GONE", 0, event_id="e2"))
    ((key, waiting),) = unplaced.of_agent("a1")
    assert (key, [one.event_id for one in waiting]) == (KEY, ["e1"])
    unplaced.forget(KEY)
    assert unplaced.of_agent("a1") == []
    assert len(unplaced.of_agent("a2")) == 1


def test_past_the_bound_counts_are_kept_and_detail_is_not():
    unplaced = Unplaced()
    for number in range(5_000):
        unplaced.keep(KEY, finding("DEVICE_GONE", 0, event_id=f"e{number}", count=2))
    ((_, waiting),) = unplaced.of_agent("a1")
    assert len(waiting) == 1_001
    assert sum(one.count for one in waiting) == 10_000
