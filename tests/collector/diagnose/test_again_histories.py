"""Histories of days, with restarts, silences, losses, late events and operators' words, come out the same again."""

import itertools
import random
import subprocess
import sys

import pytest
from collector.diagnose.history import SECOND, START, History, event
from collector.diagnose.rack import disk

from fsmend_collector.diagnose import again as again_module
from fsmend_collector.diagnose.again import Again, ReplayFailed, peak_bytes
from fsmend_collector.diagnose.changing import MAINTENANCE, Declared, declare_maintenance
from fsmend_collector.diagnose.following import Following
from fsmend_collector.diagnosis import DiagnosisConfig
from fsmend_collector.diagnosis.groups import Change, ScanSettings
from fsmend_collector.store.engine import make_engine
from fsmend_proto.v1 import event_pb2, why_pb2


def again(history, since_ns, **options):
    """Diagnose a history again; return what differs, and how many are the same."""
    engine, told = make_engine(history.url, writes=False), []
    following = Following(DiagnosisConfig(), ScanSettings())
    try:
        Again(engine, following, since_ns, history.now_ns, told.append, **options).run()
    finally:
        engine.dispose()
    found = [one.difference for one in told if one.HasField("difference")]
    assert told[-1].HasField("summary")
    return [one for one in found if one.kind != why_pb2.DIFFERENCE_KIND_SAME], told[-1].summary.same


@pytest.mark.parametrize("seed", [*range(6), 12])
def test_the_same_again_from_the_beginning_and_from_the_middle(tmp_path, monkeypatch, seed):
    rng, history = random.Random(seed), History(tmp_path, monkeypatch)
    middle_ns = 0
    for at in range(40):
        history.happen(rng)
        history.wait(rng.choice((2, 5, 60, 1_200, 7_200)))
        if rng.random() < 0.1:
            history.restart()
            history.follow()
        if at == 20:
            middle_ns = history.now_ns
    history.wait(600)
    differ, same = again(history, START)
    assert not differ
    assert same > 5
    differ, _ = again(history, middle_ns)
    assert not differ


def test_a_replay_that_needs_too_much_memory_ends_and_says_what_to_do(tmp_path, monkeypatch):
    history = History(tmp_path, monkeypatch)
    history.report("h-0-00", event(event_pb2.EVENT_KIND_DEVICE_GONE, 4, START, device=disk("h-0-00", 0)))
    history.wait(10)
    peaks = itertools.count(4 << 30, 1 << 19)
    monkeypatch.setattr("fsmend_collector.diagnose.again.peak_bytes", lambda: next(peaks))
    with pytest.raises(ReplayFailed, match="needs more than 1 MiB\nchoose a later --since"):
        again(history, START, most_bytes=1 << 20)


def test_what_the_program_needed_before_a_replay_is_not_the_replays(tmp_path, monkeypatch):
    history = History(tmp_path, monkeypatch)
    history.report("h-0-00", event(event_pb2.EVENT_KIND_DEVICE_GONE, 4, START, device=disk("h-0-00", 0)))
    history.wait(10)
    monkeypatch.setattr("fsmend_collector.diagnose.again.peak_bytes", lambda: 4 << 30)
    again(history, START)


def test_the_memory_of_the_process_that_began_a_replay_does_not_count():
    # getrusage(2) keeps the peak of before execve(2): that of a collector of 1 GiB ended every replay at once.
    large = "x" * (300 << 20)
    ask = "from fsmend_collector.diagnose.again import peak_bytes; print(peak_bytes())"
    said = subprocess.run([sys.executable, "-c", ask], capture_output=True, check=True, text=True)
    assert 1 << 20 < int(said.stdout) < len(large)
    assert peak_bytes() > len(large)


@pytest.mark.parametrize(
    ("phase", "reached"),
    [("reading the fleet", "0 of 0 records"), ("replaying", "of 2 records"), ("comparing", "2 of 2 records")],
)
def test_a_replay_that_takes_too_long_ends_in_every_phase_and_says_how_far_it_came(
    tmp_path, monkeypatch, phase, reached
):
    history = History(tmp_path, monkeypatch)
    for number in range(2):
        history.report("h-0-00", event(event_pb2.EVENT_KIND_DEVICE_GONE, 4, START, device=disk("h-0-00", number)))
        history.wait(3_600)
    engine, clock = make_engine(history.url, writes=False), [0.0]
    monkeypatch.setattr(again_module.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(again_module, "_TELL_SECONDS", -1.0)

    def tell(reply):
        if reply.progress.phase == phase:
            clock[0] = 1e6

    following = Following(DiagnosisConfig(), ScanSettings())
    with pytest.raises(ReplayFailed, match=r"takes longer than 1800 s: it came to .*\nchoose a later") as failed:
        Again(engine, following, START + SECOND * (phase == "reading the fleet"), history.now_ns, tell).run()
    engine.dispose()
    assert reached in str(failed.value)


def test_nothing_is_written(tmp_path, monkeypatch):
    history = History(tmp_path, monkeypatch)
    history.report("h-0-00", event(event_pb2.EVENT_KIND_DEVICE_GONE, 4, START, device=disk("h-0-00", 0)))
    history.wait(10)

    def content():
        tables = ("incidents", "incident_evidence", "meta", "sightings", "counted_hosts", "audit", "commands")
        with history.engine.begin() as connection:
            return {name: connection.exec_driver_sql(f"SELECT * FROM {name}").fetchall() for name in tables}

    before = content()
    assert again(history, START) == ([], 1)
    assert content() == before
    assert history.now_ns == START + 10 * SECOND


def test_maintenance_is_known_again(tmp_path, monkeypatch):
    history = History(tmp_path, monkeypatch)
    change = Change("new switches", ("rack", "r1"), START, START + 3_600 * SECOND)
    with history.engine.begin() as connection:
        declare_maintenance(connection, Declared("maintenance-1", MAINTENANCE, change, "operator:ada"), START)
    history.wait(10)
    for place in range(6):
        name = f"h-1-{place:02}"
        history.report(name, event(event_pb2.EVENT_KIND_DEVICE_GONE, 4, history.now_ns, device=disk(name, 0)))
    history.wait(600)
    assert history.following.engine.scan.swallowed == 6
    assert again(history, START) == ([], 6)
