"""A sweep looks at what is due, and at nothing else."""

from collector.diagnosis.findings import DAY, SECOND, START, engine, ext4, feed, finding, only, state_name
from hypothesis import given
from hypothesis import strategies as st

from fsmend_collector.diagnosis.agenda import Agenda
from fsmend_collector.diagnosis.joining import FaultKey

KEYS = [FaultKey("device", "a1", f"d{number}") for number in range(4)]


@given(st.lists(st.tuples(st.sampled_from(KEYS), st.integers(0, 20)), max_size=30), st.integers(0, 20))
def test_what_is_due_is_given_once_each_by_its_earliest_time(notes, now):
    agenda, earliest = Agenda(), {}
    for key, at in notes:
        agenda.look(key, at)
        earliest[key] = min(earliest.get(key, at), at)
    due = agenda.due(now)
    assert sorted(due) == sorted(key for key, at in earliest.items() if at <= now)
    assert [earliest[key] for key in due] == sorted(earliest[key] for key in due)
    assert agenda.due(now) == []
    assert len(agenda) == len(earliest) - len(due)


def test_what_is_forgotten_is_not_due():
    agenda = Agenda()
    agenda.look(KEYS[0], 5)
    agenda.forget(KEYS[0])
    assert agenda.due(10) == []


def test_a_sweep_leaves_alone_what_nothing_can_have_changed(monkeypatch):
    diagnosis = engine()
    feed(diagnosis, [finding("DEVICE_GONE", n, device_id=f"wwid:{n}") for n in range(50)])
    looked = []
    whole = type(diagnosis)._look
    monkeypatch.setattr(
        type(diagnosis), "_look", lambda self, fault, now_ns: looked.append(fault.key) or whole(self, fault, now_ns)
    )
    for n in range(6, 30):
        diagnosis.tick(START + 10 * n * SECOND)
    assert len(looked) == 50


def test_an_incident_that_reopens_is_closed_by_its_counters_once_more():
    diagnosis = engine(standstill_seconds=60)
    for at in (0, 200):
        feed(diagnosis, [ext4("FS_ERROR", at)])
        assert state_name(only(diagnosis)) == "open"
        for n in range(9):
            diagnosis.tick(START + (at + 10 * n) * SECOND)
        assert state_name(only(diagnosis)) == "resolved"


def test_a_host_that_was_away_is_judged_when_it_is_back():
    diagnosis = engine(standstill_seconds=60)
    feed(diagnosis, [ext4("FS_ERROR", 0)])
    diagnosis.observe_presence("a1", "h1", connected=False, since_ns=START, now_ns=START)
    diagnosis.tick(START + 100 * SECOND)
    assert state_name(only(diagnosis)) == "open"
    back = START + 120 * SECOND
    diagnosis.observe_presence("a1", "h1", connected=True, since_ns=back, now_ns=back)
    diagnosis.tick(START + 140 * SECOND)
    assert state_name(only(diagnosis)) == "resolved"


def test_what_is_resolved_leaves_memory_after_its_time():
    diagnosis = engine(standstill_seconds=60, forget_seconds=DAY // SECOND)
    feed(diagnosis, [ext4("FS_ERROR", 0)])
    diagnosis.tick(START + 100 * SECOND)
    assert len(diagnosis._ledger.agents) == 1
    diagnosis.tick(START + 3 * DAY)  # an error may come a day late
    assert (len(diagnosis._ledger.agents), len(diagnosis._ledger.agenda), len(diagnosis._agents)) == (0, 0, 0)
