"""Many hosts that come to run another release within a time are a roll-out."""

from fsmend_collector.diagnosis.groups.rollouts import Rollouts
from fsmend_collector.diagnosis.groups.settings import DAY_NS, HOUR_NS

NOW = 20_000 * DAY_NS


def test_three_hosts_are_a_roll_out_that_grows_under_one_id():
    rollouts = Rollouts()
    found = [rollouts.note("kernel", "6.8.0", "6.8.12", NOW + at * HOUR_NS) for at in range(5)]
    assert found[:2] == [None, None]
    assert len({change_id for change_id, _ in found[2:]}) == 1
    change = found[-1][1]
    assert (change.name, change.scope, change.from_ns) == (
        "roll-out of kernel 6.8.12, 5 hosts",
        ("kernel", "6.8.12"),
        NOW,
    )
    assert change.until_ns == NOW + 4 * HOUR_NS + 7 * DAY_NS
    assert not change.expected


def test_a_host_that_is_new_or_stays_as_it_was_changes_nothing():
    rollouts = Rollouts()
    for at in range(9):
        assert rollouts.note("kernel", "", "6.8.12", NOW + at) is None
        assert rollouts.note("kernel", "6.8.12", "6.8.12", NOW + at) is None


def test_the_same_release_after_days_is_another_roll_out():
    rollouts = Rollouts()
    first = [rollouts.note("agent", "0.1", "0.2", NOW + at) for at in range(3)][-1]
    later = [rollouts.note("agent", "0.1", "0.2", NOW + 5 * DAY_NS + at) for at in range(3)][-1]
    assert first[0] != later[0]
    assert first[1].scope == ("fleet", "all")
