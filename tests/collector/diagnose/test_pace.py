"""Diagnosis ticks each second; while more is to be read than it can read at once, no longer than it reads."""

from types import SimpleNamespace

import pytest
from collector.diagnose.history import History

from fsmend_collector.diagnose import following as following_module


@pytest.mark.parametrize(
    ("tick_seconds", "behind", "elsewhere_seconds", "ticks"),
    [
        (0.001, True, 0, 60),
        (0.001, False, 0, 60),
        (4.0, True, 0, 8),
        (4.0, False, 0, 14),
        (4.0, True, 3, 5),  # writing takes long: after ten seconds it ticks all the same
    ],
)
def test_when_ticks_take_long_as_much_time_is_left_for_reading(
    tmp_path, monkeypatch, tick_seconds, behind, elsewhere_seconds, ticks
):
    history = History(tmp_path, monkeypatch)
    monkeypatch.undo()
    clock = SimpleNamespace(now=1_000.0, monotonic=lambda: clock.now, time_ns=lambda: history.now_ns)
    monkeypatch.setattr(following_module, "time", clock)
    monkeypatch.setattr(following_module.queries, "last_record_id", lambda _: 1 if behind else 0)
    monkeypatch.setattr(following_module, "learnt_after", lambda *_: ([], 0))
    ticked = []

    def observe(connection, learnt):
        clock.now += 0.2
        return []

    def tick(connection, now_ns):
        ticked.append(clock.now)
        clock.now += tick_seconds
        return []

    monkeypatch.setattr(history.following, "observe", observe)
    monkeypatch.setattr(history.following, "tick", tick)
    with history.engine.connect() as connection:
        while clock.now < 1_060:
            history.following.take(connection, frozenset(), history.now_ns)
            clock.now += elsewhere_seconds
    assert abs(len(ticked) - ticks) <= ticks // 5
