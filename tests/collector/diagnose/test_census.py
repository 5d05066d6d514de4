"""The population that is kept incrementally is the one that the inventories give."""

from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete

from fsmend_collector.diagnose.census import Census, Counted, write_counted
from fsmend_collector.diagnosis.groups import DeviceView, HostView, Population
from fsmend_collector.store.engine import make_engine
from fsmend_collector.store.migrate import migrate
from fsmend_collector.store.schema import counted_hosts

AGENTS = ["a", "b", "c", "d"]

devices = st.builds(
    DeviceView,
    device_id=st.uuids().map(str),
    model=st.sampled_from(["", "m1", "m2 on x"]),
    firmware=st.sampled_from(["", "f1"]),
    hba=st.sampled_from(["", "0000:01:00.0"]),
    enclosure=st.sampled_from(["", "e1"]),
    hours=st.sampled_from([0, 10, 40_000]),
)
views = st.builds(
    HostView,
    agent_id=st.just("?"),
    host_name=st.text(max_size=3),
    kernel=st.sampled_from(["", "6.1", "6.8"]),
    labels=st.lists(st.tuples(st.sampled_from(["rack", "role"]), st.text(max_size=2)), max_size=2).map(tuple),
    devices=st.lists(devices, max_size=4).map(tuple),
    filesystems=st.dictionaries(st.text(max_size=2), st.just(("xfs", (), "")), max_size=2),
)
steps = st.lists(
    st.tuples(st.sampled_from(AGENTS), st.none() | views, st.sampled_from(["go on", "write", "restart"])), max_size=12
)


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    folder = tmp_path_factory.mktemp("census")
    url = f"sqlite:///{folder / 'store.sqlite'}"
    migrate(url, folder / "lock")
    engine = make_engine(url, writes=True)
    yield engine
    engine.dispose()


def nonzero(population: Population):
    return population.sizes, +Counter(population.groups)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(steps=steps)
def test_in_out_and_restarts_give_the_same_as_counting_anew(engine, steps):
    census, now = Census(), {}
    with engine.begin() as connection:
        connection.execute(delete(counted_hosts))
        for agent_id, view, then in steps:
            census.take(connection, agent_id, Counted.of(view, "1") if view is not None else None)
            now[agent_id] = view
            if then != "go on":
                write_counted(connection, census.unwritten)
                census.unwritten = {}
            if then == "restart":
                census = Census()
                assert census.load(connection, 0) == sum(one is not None for one in now.values())
        anew = Population()
        for view in now.values():
            if view is not None:
                anew.add(view)
        assert nonzero(census.population) == nonzero(anew)


@given(views)
def test_a_row_says_what_the_view_says(view):
    counted = Counted.of(view, "1.0")
    assert Counted.parse(counted.text()) == counted
    assert Counted.parse(counted.text()).text() == counted.text()


def test_an_inventory_that_changes_nothing_is_not_written(engine):
    view = HostView("a", "h", "6.8", (("rack", "r1"),))
    census = Census()
    with engine.begin() as connection:
        connection.execute(delete(counted_hosts))
        assert census.take(connection, "a", Counted.of(view, "1")) is None
        write_counted(connection, census.unwritten)
        census.unwritten = {}
        assert census.take(connection, "a", Counted.of(view, "1")) == Counted.of(view, "1")
    assert (census.unwritten, census.moved) == ({}, 1)


def test_a_row_that_cannot_be_taken_off_is_tried_once(engine, monkeypatch):
    view, tried = HostView("a", "h", "6.8", (("rack", "r1"),)), []

    def breaks(_counted, _population, times):
        tried.append(times)
        raise IndexError("no such thing")

    census = Census()
    with engine.begin() as connection:
        connection.execute(delete(counted_hosts))
        census.take(connection, "a", Counted.of(view, "1"))
        monkeypatch.setattr(Counted, "onto", breaks)
        with pytest.raises(IndexError):
            census.take(connection, "a", None)
        assert census.take(connection, "a", None) is None
    assert (tried, census.unwritten) == ([-1], {"a": None})
