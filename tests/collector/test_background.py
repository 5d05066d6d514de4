"""The calendar orders what waited longest, in its window, on its share of the hosts, and goes on where it stopped."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsmend_collector.background import (
    DAY_NS,
    CalendarConfig,
    CalendarRule,
    Candidate,
    PastScrub,
    due,
    is_rest,
    overdue,
)
from fsmend_proto.v1 import command_pb2 as pb

NOON = 20_000 * DAY_NS + DAY_NS // 2
WHERE = pb.XfsScrubPosition(stage=pb.XFS_SCRUB_STAGE_INODES, ino=131)
HOUR = DAY_NS // 24
ALL = frozenset({"scrub_xfs", "repair_xfs", "scrub_btrfs"})
DONE, RUNNING = pb.COMMAND_STATE_SUCCEEDED, pb.COMMAND_STATE_RUNNING


def host(number, kind="xfs", actions=ALL, **labels):
    return Candidate(f"a{number}", labels, f"u{number}", kind, actions)


def past(number, days_ago=40.0, state=DONE, unfinished=()):
    ended = int(NOON - days_ago * DAY_NS)
    return PastScrub(
        f"c{number}-{days_ago}",
        (f"a{number}", f"u{number}"),
        state,
        ended - HOUR,
        0 if state == RUNNING else ended,
        unfinished,
    )


def ordered(candidates, earlier=(), busy=(), now_ns=NOON, **rule):
    config = CalendarConfig((CalendarRule(**rule),))
    return due(candidates, earlier, busy, config, now_ns)


def agents(orders):
    return [one.agent_id for one in orders]


def test_without_rules_nothing_is_ordered():
    assert due([host(1)], [], [], CalendarConfig(), NOON) == []


def test_a_filesystem_that_was_never_checked_is_due():
    (order,) = ordered([host(1)])
    assert order.command.WhichOneof("action") == "scrub_xfs"
    assert order.command.action_class == pb.ACTION_CLASS_CHECK
    assert order.command.ordered_by == "calendar"


@pytest.mark.parametrize(("days_ago", "is_due"), [(29.9, False), (30.1, True)])
def test_one_that_was_checked_is_due_after_the_interval(days_ago, is_due):
    assert bool(ordered([host(1)], [past(1, days_ago)])) is is_due


@pytest.mark.parametrize(("hour", "is_open"), [(0, False), (1, True), (4, True), (5, False)])
def test_nothing_is_ordered_outside_of_the_window(hour, is_open):
    midnight = NOON - 12 * HOUR
    assert bool(ordered([host(1)], now_ns=midnight + hour * HOUR, window=(60, 300))) is is_open


@pytest.mark.parametrize(("hour", "is_open"), [(23, True), (1, True), (12, False)])
def test_a_window_may_cross_midnight(hour, is_open):
    assert CalendarRule(window=(1_320, 120)).is_open(NOON - 12 * HOUR + hour * HOUR) is is_open


def test_only_a_share_of_the_hosts_checks_at_once_and_the_longest_wait_goes_first():
    hosts = [host(number) for number in range(40)]
    earlier = [past(number, 31 + number) for number in range(40)]
    assert agents(ordered(hosts, earlier, share_percent=5)) == ["a39", "a38"]
    running = [PastScrub("r", ("a7", "u7"), RUNNING, NOON - HOUR)]
    assert agents(ordered(hosts, earlier + running, share_percent=5)) == ["a39"]


def test_a_host_checks_one_filesystem_at_a_time():
    both = [Candidate("a1", {}, uuid, "xfs", ALL) for uuid in ("u1", "u2")]
    assert len(ordered(both, share_percent=100)) == 1


def test_a_host_is_ordered_one_check_at_a_time_whatever_the_rules():
    both = [Candidate("a1", {}, "b1", "btrfs", ALL), Candidate("a1", {}, "x1", "xfs", ALL)]
    config = CalendarConfig(tuple(CalendarRule(types=(kind,), share_percent=100) for kind in ("btrfs", "xfs")))
    assert [one.command.target.filesystem_uuid for one in due(both, [], [], config, NOON)] == ["b1"]
    running = PastScrub("r", ("a1", "x1"), RUNNING, NOON - HOUR)
    assert due(both, [running], [], config, NOON) == []


def test_what_waited_longest_on_a_host_goes_first_whatever_the_rules():
    """Else a scrub that takes more nights than its interval has would keep its host from any other."""
    both = [Candidate("a1", {}, "b1", "btrfs", ALL), Candidate("a1", {}, "x1", "xfs", ALL)]
    cut = replace(past(1, 0.1, pb.COMMAND_STATE_CANCELLED), key=("a1", "b1"))
    config = CalendarConfig(tuple(CalendarRule(types=(kind,)) for kind in ("btrfs", "xfs")))
    orders = due(both, [cut, replace(past(2, 40), key=("a1", "x1"))], [], config, NOON)
    assert [one.command.target.filesystem_uuid for one in orders] == ["x1"]


def test_a_check_on_a_host_without_a_link_keeps_its_place_of_the_share():
    fleet, earlier = [host(number) for number in range(100)], []
    for look in range(4):
        busy = {one.key for one in earlier}
        here = [replace(one, connected=one.key not in busy) for one in fleet]
        orders = ordered(here, earlier, busy, NOON + look, share_percent=5)
        earlier += [
            PastScrub(one.command.id, (one.agent_id, one.command.target.filesystem_uuid), RUNNING, NOON + look)
            for one in orders
        ]
        assert len(earlier) == 5


def test_a_check_takes_a_place_of_the_rule_that_its_filesystem_fits():
    mixed = [Candidate("a1", {}, "b1", "btrfs", ALL), Candidate("a1", {}, "x1", "xfs", ALL)]
    running = PastScrub("r", ("a1", "x1"), RUNNING, NOON - HOUR)
    fleet = [*mixed, Candidate("a2", {}, "b2", "btrfs", ALL), Candidate("a3", {}, "x3", "xfs", ALL)]
    config = CalendarConfig((CalendarRule(types=("btrfs",)), CalendarRule(types=("xfs",))))
    assert agents(due(fleet, [running], [], config, NOON)) == ["a2"]
    # Where the filesystem is not known any more, it takes one of each rule of its host.
    gone = replace(running, key=("a1", "gone"))
    assert due(fleet, [gone], [], config, NOON) == []


def test_nothing_is_ordered_on_a_host_without_a_link():
    assert ordered([replace(host(1), connected=False)]) == []


def test_a_filesystem_with_another_command_is_left_alone():
    assert ordered([host(1)], busy={("a1", "u1")}) == []


def test_a_host_that_cannot_is_left_alone():
    assert ordered([host(1, actions=frozenset())]) == []


def test_a_rule_is_for_the_hosts_with_its_labels():
    assert agents(ordered([host(1, rack="r1"), host(2, rack="r2")], labels={"rack": "r2"})) == ["a2"]


def test_a_rule_may_repair():
    (order,) = ordered([host(1)], repair=True)
    assert (order.command.WhichOneof("action"), order.command.action_class) == ("repair_xfs", pb.ACTION_CLASS_REPAIR)
    (order,) = ordered([host(1, "btrfs")])
    assert order.command.scrub_btrfs.read_only


def test_an_interrupted_btrfs_scrub_goes_on_where_it_stopped():
    (order,) = ordered([host(1, "btrfs")], [past(1, 1, pb.COMMAND_STATE_CANCELLED, ((2, 4096),))])
    assert (list(order.command.scrub_btrfs.devids), order.command.scrub_btrfs.start_byte) == ([2], 4096)


@pytest.mark.parametrize(
    ("state", "goes_on"),
    [
        (pb.COMMAND_STATE_CANCELLED, True),
        (pb.COMMAND_STATE_UNKNOWN, True),
        (pb.COMMAND_STATE_REFUSED, True),
        (pb.COMMAND_STATE_FAILED, False),
        (DONE, False),
    ],
)
def test_an_interrupted_check_of_xfs_goes_on_where_it_stopped(state, goes_on):
    where = pb.XfsScrubPosition(stage=pb.XFS_SCRUB_STAGE_INODES, ino=4711)
    last = replace(past(1, 29 if goes_on else 40, state), position=where)
    (order,) = ordered([host(1)], [last])
    assert order.command.scrub_xfs.resume == (where if goes_on else pb.XfsScrubPosition())
    (order,) = ordered([host(1)], [last], repair=True)
    assert not order.command.repair_xfs.items
    assert order.command.repair_xfs.HasField("resume")
    assert order.command.repair_xfs.resume == (where if goes_on else pb.XfsScrubPosition())


@pytest.mark.parametrize(
    ("interval_days", "days_ago", "goes_on"),
    [(30, 29.9, True), (30, 30, False), (30, 400, False), (0.01, 0.9, True), (0.01, 1, False)],
)
def test_what_was_cut_short_longer_ago_than_the_interval_begins_anew(interval_days, days_ago, goes_on):
    cut = pb.COMMAND_STATE_CANCELLED
    xfs = replace(past(1, days_ago, cut), position=WHERE)
    orders = ordered([host(1)], [xfs], interval_days=interval_days)
    orders += ordered([host(1, "btrfs")], [past(1, days_ago, cut, ((2, 4096),))], interval_days=interval_days)
    assert [is_rest(one.command) for one in orders] == [goes_on] * 2


def test_what_ended_the_host_at_the_same_place_again_waits_for_its_interval():
    first = past(1, 1.1, pb.COMMAND_STATE_UNKNOWN).after(None)
    again = past(1, 1, pb.COMMAND_STATE_UNKNOWN).after(first)
    assert (first.tries, again.tries) == (1, 2)
    assert ordered([host(1)], [first], interval_days=30)
    assert ordered([host(1)], [again], interval_days=30) == []
    assert ordered([host(1)], [again], interval_days=0.9)


@pytest.mark.parametrize(
    ("first", "then", "tries"),
    [
        ({}, {}, 2),  # before any progress, twice
        ({"position": WHERE}, {"position": WHERE}, 2),
        ({"unfinished": ((1, 4096),)}, {"unfinished": ((1, 4096),)}, 2),
        ({}, {"position": WHERE}, 1),  # it came further
        ({"unfinished": ((1, 4096),)}, {"unfinished": ((1, 8192),)}, 1),
        ({"state": pb.COMMAND_STATE_CANCELLED, "position": WHERE}, {"position": WHERE}, 1),
        ({}, {"state": pb.COMMAND_STATE_CANCELLED}, 0),
    ],
)
def test_only_the_same_place_counts_as_another_try(first, then, tries):
    unknown = past(1, 1, pb.COMMAND_STATE_UNKNOWN)
    assert replace(unknown, **then).after(replace(unknown, **first).after(None)).tries == tries


def test_what_was_cut_short_does_not_wait_longer_than_the_interval():
    cut = past(1, 0.01, pb.COMMAND_STATE_CANCELLED)
    assert ordered([host(1)], [cut], interval_days=0.005)
    assert ordered([host(1)], [cut], interval_days=0.02) == []


def test_what_failed_is_tried_again_an_hour_later():
    assert ordered([host(1)], [past(1, 0.01, pb.COMMAND_STATE_REFUSED)]) == []
    assert ordered([host(1)], [past(1, 0.05, pb.COMMAND_STATE_REFUSED)])


def test_what_runs_past_its_window_is_stopped():
    config = CalendarConfig((CalendarRule(window=(60, 300)),))
    running = PastScrub("c1", ("a1", "u1"), RUNNING, NOON - HOUR)
    assert overdue([host(1)], [running, past(2)], config, NOON) == ["c1"]
    assert overdue([host(1)], [running], config, NOON - 9 * HOUR) == []
    assert overdue([replace(host(1), connected=False)], [running], config, NOON) == ["c1"]
    assert overdue([host(1)], [replace(running, cancelled=True)], config, NOON) == []


def test_the_same_order_has_the_same_id():
    first, again = ordered([host(1)]), ordered([host(1)], now_ns=NOON + 60_000_000_000)
    assert first[0].command.id == again[0].command.id
    assert ordered([host(1)], [past(1)])[0].command.id != first[0].command.id


def test_the_first_order_of_a_store_that_knows_of_none_has_an_id_that_no_earlier_one_had():
    hours = [ordered([host(1)], now_ns=NOON + number * HOUR)[0].command.id for number in range(3)]
    assert len(set(hours)) == 3


HOSTS = st.lists(st.builds(host, st.integers(0, 9), st.sampled_from(["xfs", "btrfs", "ext4"])), max_size=12)
PAST = st.lists(
    st.builds(past, st.integers(0, 9), st.floats(0, 60), st.sampled_from([DONE, RUNNING, pb.COMMAND_STATE_FAILED])),
    max_size=12,
)


@given(HOSTS, PAST, st.integers(1, 100))
def test_never_more_hosts_at_once_than_the_share(candidates, earlier, share):
    orders = ordered(candidates, earlier, share_percent=share)
    hosts = {one.agent_id for one in candidates if one.type != "ext4"}
    assert len(orders) <= max(1, len(hosts) * share // 100)
    assert len(agents(orders)) == len(set(agents(orders)))


@given(HOSTS, PAST, st.integers(1, 100))
def test_never_more_hosts_at_once_than_the_share_of_each_of_several_rules(candidates, earlier, share):
    rules = tuple(CalendarRule(types=(kind,), share_percent=share) for kind in ("btrfs", "xfs"))
    orders = due(candidates, earlier, [], CalendarConfig(rules), NOON)
    for rule in rules:
        hosts = {one.agent_id for one in candidates if one.type in rule.types}
        mine = [one for one in orders if one.command.target.filesystem_type in rule.types]
        keys = {one.key for one in candidates if one.type in rule.types}
        running = {one.key[0] for one in earlier if one.state == RUNNING and one.key in keys}
        assert not mine or len(mine) + len(running) <= max(1, len(hosts) * share // 100)
    at_work = {one.key[0] for one in earlier if one.state == RUNNING}
    assert len(agents(orders)) == len(set(agents(orders)) - at_work)


def test_what_goes_on_where_another_stopped_is_told_from_what_begins_anew():
    cut = replace(past(1, 1, state=pb.COMMAND_STATE_CANCELLED), position=WHERE)
    (xfs,) = ordered([host(1)], [cut])
    (mend,) = ordered([host(1)], [cut], repair=True)
    (btrfs,) = ordered([host(1, "btrfs")], [past(1, 1, state=pb.COMMAND_STATE_CANCELLED, unfinished=((1, 5), (2, 7)))])
    anew = [*ordered([host(1)]), *ordered([host(1)], repair=True), *ordered([host(2, "btrfs")])]
    assert [is_rest(one.command) for one in (xfs, mend, btrfs)] == [True] * 3
    assert [is_rest(one.command) for one in anew] == [False] * 3
    named = pb.Command(ordered_by="policy", scrub_btrfs=pb.ScrubBtrfs(devids=[2]))
    assert not is_rest(named)
