"""Fixtures of the virtual machine tier: a collector outside, hosts inside; hosts are made as often as a test needs."""

from pathlib import Path

import pytest
from vm.filesystem import Xfs
from vm.fleet import MIB, Collector, Host
from vm.machine import compile_agent, missing
from vm.newest import KERNEL, TOOLS
from vm.report import Report


@pytest.fixture(autouse=True, scope="session")
def _machines():
    if problem := missing():
        pytest.skip(f"NOT RUN: {problem}")
    compile_agent()


CALENDAR = """
[calendar]
look_seconds = 1

[[calendar.rules]]
labels = { calendar = "daily" }
types = ["xfs"]
interval_days = 1

[[calendar.rules]]
labels = { calendar = "often" }
types = ["xfs"]
interval_days = 0.0001

[[calendar.rules]]
labels = { calendar = "mending" }
types = ["xfs"]
interval_days = 0.0001
repair = true
"""


@pytest.fixture(scope="session")
def collector(tmp_path_factory, _machines):
    made = Collector(tmp_path_factory.mktemp("collector"), CALENDAR)
    yield made
    made.close()


@pytest.fixture(scope="session")
def new_host(collector, tmp_path_factory):
    """A factory: `new_host(name) -> Host`, booted, enrolled, with its agent connected."""
    hosts = []

    def make(name, data_bytes=400 * MIB, **settings):
        host = Host(collector, tmp_path_factory.mktemp(name), name, data_bytes, **settings)
        hosts.append(host)
        return host.boot().enrol().start_agent()

    yield make
    for host in hosts:
        host.machine.discard()


@pytest.fixture(scope="session")
def host(new_host):
    """The host that tests share; each makes its own filesystem on the data disk."""
    return new_host("vm-shared")


@pytest.fixture(scope="session")
def watched_host(new_host):
    """The host that the calendar checks: what is mounted on it for the first time is due at once."""
    return new_host("vm-calendar", calendar="daily")


@pytest.fixture(scope="session")
def newest(new_host):
    """A host with Linux 7, where it is given."""
    return new_host("vm-newest", kernel=Path(KERNEL), calendar="daily")


@pytest.fixture
def xfs(newest):
    """A filesystem on that host, made and mended with its own programs."""
    made = Xfs(newest, tools=TOOLS)
    yield made
    made.release()


@pytest.fixture(scope="session")
def report():
    """The table of faults and outcomes; written to docs/xfs.md when every fault was tried."""
    made = Report()
    yield made
    made.write()
