"""What the scan begins with after a restart is what it had before."""

from collections import Counter

import pytest
from collector.diagnose.test_census import views
from hypothesis import given, settings
from hypothesis import strategies as st

from fsmend_collector.diagnose.keeping import (
    Sighting,
    forget_sightings,
    stored_sightings,
    stored_views,
    view_from_text,
    view_text,
    write_journal,
)
from fsmend_collector.diagnosis.groups import HostView, ScanSettings
from fsmend_collector.diagnosis.groups.learnt import rates_from_text, rates_to_text
from fsmend_collector.diagnosis.groups.marks import Journal
from fsmend_collector.diagnosis.groups.rates import Rates
from fsmend_collector.diagnosis.groups.settings import HOUR_NS
from fsmend_collector.store.engine import make_engine
from fsmend_collector.store.migrate import migrate


@pytest.fixture
def engine(tmp_path):
    url = f"sqlite:///{tmp_path / 'store.sqlite'}"
    migrate(url, tmp_path / "lock")
    engine = make_engine(url, writes=True)
    yield engine
    engine.dispose()


@given(views)
def test_a_view_comes_back_as_it_was(view):
    assert view_from_text("?", view_text(view)) == view


groups = st.tuples(st.sampled_from(["rack", "model"]), st.text(max_size=3))
marks = st.lists(st.tuples(st.sampled_from(["lost", "media"]), st.lists(groups, max_size=3)), max_size=5)


@settings(deadline=None)
@given(st.lists(marks, min_size=0, max_size=40))
def test_learnt_rates_come_back_as_they_were_and_go_on_alike(days):
    rates = Rates(ScanSettings())
    rates.seed(10, (100, 50, 10), Counter({("lost", ("rack", "r1")): 3}), Counter({"lost": 3}))
    for number, rows in enumerate(days, 20_000):
        rates.learn(number, (120, 60, 12), rows)
    again = Rates(ScanSettings())
    rates_from_text(rates_to_text(rates), again)
    for one in (rates, again):
        one.learn(30_000, (120, 60, 12), [("lost", [("rack", "r1")])])
    for before_day in (19_000, 20_010, 40_000):
        wanted = rates.expect("lost", ("rack", "r1"), 12, before_day)
        assert again.expect("lost", ("rack", "r1"), 12, before_day) == wanted
    assert again.learnt_through == rates.learnt_through


def test_the_earliest_error_of_an_hour_is_kept_once(engine):
    key = ("lost", 0, "a", "disk")
    journal = Journal()
    for time_ns in (5 * HOUR_NS + 7, 5 * HOUR_NS + 3, 6 * HOUR_NS):
        journal.note(key, time_ns, str(time_ns))
    journal.views["a"] = HostView("a", "host", "6.8")
    with engine.begin() as connection:
        write_journal(connection, journal)
        write_journal(connection, journal)
        earliest = [5 * HOUR_NS + 3, 6 * HOUR_NS]
        assert list(stored_sightings(connection)) == [Sighting(key, at, str(at)) for at in earliest]
        assert list(stored_views(connection)) == [HostView("a", "host", "6.8")]


def test_the_signature_of_an_hour_is_kept_with_its_earliest_error(engine):
    key = ("corrupt", 1, "a", "uuid")
    journal = Journal()
    journal.note(key, HOUR_NS + 5, "late", "xfs_b:2")
    journal.note(key, HOUR_NS + 3, "early", "xfs_a:1")
    with engine.begin() as connection:
        write_journal(connection, journal)
        assert list(stored_sightings(connection)) == [Sighting(key, HOUR_NS + 3, "early", "xfs_a:1")]


def test_old_sightings_go_unless_a_verdict_holds_their_host(engine):
    journal = Journal()
    for agent_id in ("a", "b"):
        for hour in (1, 100):
            journal.note(("lost", 0, agent_id, "disk"), hour * HOUR_NS, "1")
    journal.note(("lost", 0, "c", "disk"), HOUR_NS, "1")
    journal.views |= {agent_id: HostView(agent_id) for agent_id in "abc"}
    with engine.begin() as connection:
        write_journal(connection, journal)
        forget_sightings(connection, 50 * HOUR_NS, frozenset("b"))
        left = sorted((one.key[2], one.time_ns // HOUR_NS) for one in stored_sightings(connection))
        assert left == [("a", 100), ("b", 1), ("b", 100)]
        assert sorted(one.agent_id for one in stored_views(connection)) == ["a", "b"]
