"""Diagnosis ticks each second, and in a storm no longer than it reads."""

from types import SimpleNamespace

import pytest
from collector.diagnose.history import History

from fsmend_collector.diagnose import following as following_module


@pytest.mark.parametrize(("tick_seconds", "ticks"), [(0.001, 19), (0.4, 19), (4.0, 3)])
def test_when_ticks_take_long_as_long_is_left_for_reading(tmp_path, monkeypatch, tick_seconds, ticks):
    history = History(tmp_path, monkeypatch)
    monkeypatch.undo()
    clock = SimpleNamespace(now=1_000.0, monotonic=lambda: clock.now, time_ns=lambda: history.now_ns)
    monkeypatch.setattr(following_module, "time", clock)
    ticked = []

    def tick(connection, now_ns):
        ticked.append(clock.now)
        clock.now += tick_seconds
        return []

    monkeypatch.setattr(history.following, "tick", tick)
    while clock.now < 1_020:
        history.follow()
        clock.now += 0.1
    assert ticks <= len(ticked) <= ticks + 1
