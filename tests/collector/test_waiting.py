"""Incidents wait for the policy in bounded places, in their newest state, and every one has its turn."""

from hypothesis import given
from hypothesis import strategies as st

from fsmend_collector.waiting import Waiting
from fsmend_proto.v1 import incident_pb2

OPEN, RESOLVED = incident_pb2.INCIDENT_STATE_OPEN, incident_pb2.INCIDENT_STATE_RESOLVED


def incident(number, severity=3, state=OPEN, text="", code="FS_DATA_CORRUPTION"):
    one = incident_pb2.Incident(
        id=f"inc-{number}", code=code, state=state, severity=severity, opened_ns=number, summary=text
    )
    one.unit.filesystem_type = "btrfs"
    return one


def ids(batch):
    return [one.id for one in batch]


def test_the_worst_come_first_and_of_one_incident_the_newest_state():
    waiting = Waiting(batch=2)
    waiting.add([incident(1), incident(2), incident(3, severity=5)], 0.0)
    waiting.add([incident(2, text="newer")], 1.0)
    assert waiting.backlog(5.0).waiting == 3
    assert waiting.backlog(5.0).oldest_seconds == 5.0
    assert ids(waiting.take()) == ["inc-3", "inc-1"]
    (last,) = waiting.take()
    assert (last.id, last.summary) == ("inc-2", "newer")
    assert waiting.take() == []
    assert waiting.backlog(9.0).oldest_seconds == 0.0


def test_what_is_over_or_calls_for_nothing_does_not_wait():
    waiting = Waiting()
    waiting.add([incident(1), incident(2, code="HOST_SILENT")], 0.0)
    waiting.begin_round([incident(1), incident(3)])
    waiting.add([incident(1, state=RESOLVED)], 1.0)
    assert ids(waiting.take()) == ["inc-3"]


def test_what_finds_no_place_is_counted_and_has_its_turn_in_the_round():
    waiting = Waiting(most=2, batch=10)
    waiting.add([incident(number) for number in range(5)], 0.0)
    assert ids(waiting.take()) == ["inc-0", "inc-1"]
    assert waiting.backlog(0.0).put_off == 3
    waiting.begin_round([incident(number) for number in range(5)])
    assert ids(waiting.take()) == [f"inc-{number}" for number in range(5)]


def test_what_is_put_back_takes_the_place_of_nothing_newer_and_waits_as_long_as_before():
    waiting = Waiting()
    waiting.add([incident(1), incident(2), incident(3)], 0.0)
    waiting.begin_round([incident(4)])
    for now_seconds in (100.0, 200.0):
        batch = waiting.take()
        assert waiting.backlog(now_seconds).waiting == 0
        waiting.add([incident(1, text="newer"), incident(2, state=RESOLVED)], now_seconds)
        waiting.put_back(batch, now_seconds)
        assert waiting.backlog(now_seconds).oldest_seconds == now_seconds
    assert [(one.id, one.summary) for one in waiting.take()] == [("inc-1", "newer"), ("inc-3", ""), ("inc-4", "")]
    waiting.put_back([], 300.0)
    assert waiting.take() == []


def test_the_round_has_the_newest_state_too():
    waiting = Waiting(most=1, batch=1)
    waiting.begin_round([incident(1), incident(2)])
    waiting.add([incident(9, severity=5), incident(2, text="newer")], 0.0)
    assert ids(waiting.take()) == ["inc-9", "inc-1"]
    (one,) = waiting.take()
    assert one.summary == "newer"


@given(st.lists(st.integers(0, 30), max_size=60), st.integers(1, 5), st.integers(1, 5))
def test_a_round_comes_to_all_whatever_keeps_changing(changing, most, batch):
    waiting = Waiting(most=most, batch=batch)
    everything = [incident(number, severity=number % 4) for number in range(20)]
    waiting.begin_round(everything)
    seen = set()
    for turn in range(20):
        waiting.add([incident(number, severity=5) for number in changing], float(turn))
        taken = waiting.take()
        assert len(taken) <= 2 * batch
        assert len(ids(taken)) == len(set(ids(taken)))
        seen.update(ids(taken))
        assert waiting.backlog(float(turn)).waiting <= most
    assert seen >= set(ids(everything))
    assert waiting.wants_round
