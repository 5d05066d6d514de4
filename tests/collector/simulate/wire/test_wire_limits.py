"""One connection an agent needs one open file an agent."""

import resource

import pytest

from fsmend_collector.simulate.wire.errors import SimulationRefused
from fsmend_collector.simulate.wire.limits import make_room


@pytest.fixture
def limits(monkeypatch):
    now = [1_024, 4_096]
    monkeypatch.setattr(resource, "getrlimit", lambda _: tuple(now))
    monkeypatch.setattr(resource, "setrlimit", lambda _, pair: now.__setitem__(slice(None), pair))
    return now


def test_the_soft_limit_is_raised_as_far_as_is_needed(limits):
    make_room(2_000)
    assert limits == [2_256, 4_096]


def test_a_limit_that_is_enough_is_left_alone(limits):
    make_room(60)
    assert limits == [1_024, 4_096]


def test_a_hard_limit_that_is_too_low_is_said(limits):
    with pytest.raises(SimulationRefused, match="5000 agents need 5256 open files; the hard limit is 4096"):
        make_room(5_000)
