"""Fixtures of the spool's tests."""

import pytest
from agent.spool.spooling import Bench


@pytest.fixture
def bench(tmp_path):
    bench = Bench(tmp_path)
    yield bench
    bench.abandon()
