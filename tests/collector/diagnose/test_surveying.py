"""The survey reads what changed by an index, and tells of hosts without a link what goes on there."""

import time

import pytest
from sqlalchemy import event, insert, update

from fsmend_collector.background import ORDERED_BY, PastScrub
from fsmend_collector.diagnose.surveying import Survey
from fsmend_collector.dispatch import queue_command
from fsmend_collector.ingest.inventory import replace_inventory
from fsmend_collector.store.schema import agents, commands
from fsmend_proto.v1 import command_pb2, event_pb2, inventory_pb2

RUNNING, DONE = command_pb2.COMMAND_STATE_RUNNING, command_pb2.COMMAND_STATE_SUCCEEDED
CANCELLED, UNKNOWN = command_pb2.COMMAND_STATE_CANCELLED, command_pb2.COMMAND_STATE_UNKNOWN
SECOND = 1_000_000_000


@pytest.fixture
def connection(connection):
    """Return a connection to a store with three hosts."""
    for number, agent_id in enumerate(("a1", "a2", "a3"), 1):
        connection.execute(insert(agents).values(agent_id=agent_id))
        refs = [event_pb2.FilesystemRef(uuid=f"{agent_id}-{kind}", type=kind) for kind in ("btrfs", "xfs")]
        able = inventory_pb2.Inventory(filesystems=[inventory_pb2.Filesystem(ref=ref) for ref in refs])
        replace_inventory(connection, agent_id, able, number, time.time_ns())
    return connection


def order(connection, agent_id, now_ns, **changes):
    command = command_pb2.Command(
        id=f"cal-{agent_id}-{now_ns}",
        scrub_xfs=command_pb2.ScrubXfs(),
        ordered_by=ORDERED_BY,
        target=command_pb2.Target(filesystem_uuid=f"{agent_id}-xfs"),
    )
    queue_command(connection, command, agent_id, now_ns)
    changes = {"state": RUNNING} | changes
    connection.execute(update(commands).where(commands.c.id == command.id).values(**changes))
    return command.id


def test_later_looks_find_what_changed_without_reading_all_commands(connection):
    asked = []
    survey = Survey()
    connection.execute(
        insert(commands).values(id="x", agent_id="a1", action_class=1, state=DONE, updated_ns=5, command=b"")
    )
    survey.read(connection, frozenset())
    event.listen(
        connection, "before_cursor_execute", lambda _one, _cursor, text, values, *_: asked.append((text, values))
    )
    survey.read(connection, frozenset())
    (found,) = [(text, values) for text, values in asked if "commands.last_update" in text]
    plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {found[0]}", found[1]).fetchall()
    assert "USING INDEX ix_commands_updated_ns (updated_ns>?)" in str(plan)
    assert survey._commands_through_ns == 5


def test_what_changed_is_taken_in_the_order_in_which_it_was_ordered(connection):
    survey = Survey()
    survey.read(connection, frozenset())
    order(connection, "a1", 1_000, state=DONE, updated_ns=4_000)
    newest = order(connection, "a1", 2_000, updated_ns=3_000)
    for one in (survey, Survey()):
        (past,) = one.read(connection, frozenset())[1]
        assert past.command_id == newest


def test_filesystems_of_a_host_without_a_link_are_told_while_a_check_goes_on_there(connection):
    order(connection, "a1", 1_000)
    order(connection, "a2", 1_000, state=DONE, finished_ns=2_000)
    candidates, _, busy = Survey().read(connection, frozenset({"a3"}))
    told = [(one.uuid, one.connected) for one in candidates]
    assert sorted(told) == [("a1-btrfs", False), ("a1-xfs", False), ("a3-btrfs", True), ("a3-xfs", True)]
    assert busy == {("a1", "a1-xfs")}
    both = Survey().read(connection, frozenset({"a1"}))[0]
    assert [one.connected for one in both] == [True, True]


def test_it_is_known_that_somebody_asked_a_check_to_end(connection):
    survey, command_id = Survey(), order(connection, "a1", 1_000)

    def read() -> PastScrub:
        (one,) = survey.read(connection, frozenset())[1]
        return one

    assert not read().cancelled
    connection.execute(update(commands).where(commands.c.id == command_id).values(cancel_ns=2_000, updated_ns=2_000))
    assert read().cancelled


def test_a_check_is_newer_than_the_one_before_it_though_the_clock_was_set_back(connection):
    ahead = order(connection, "a1", 5_000, state=CANCELLED, sent_ns=1, finished_ns=900)
    later = order(connection, "a1", 1_000, state=DONE, finished_ns=1_100)
    other = order(connection, "a2", 1_000)
    _, past, _ = Survey().read(connection, frozenset())
    assert {one.command_id for one in past} == {later, other}
    assert ahead != later


def test_what_changed_before_the_first_look_after_the_clock_was_set_back_is_known(connection, monkeypatch):
    now_ns = 10_000 * SECOND
    monkeypatch.setattr(time, "time_ns", lambda: now_ns)
    command_id = order(connection, "a1", now_ns, updated_ns=now_ns)
    survey = Survey()
    survey.read(connection, frozenset())
    changes = {"state": DONE, "updated_ns": now_ns - 3_500 * SECOND, "finished_ns": now_ns - 3_500 * SECOND}
    connection.execute(update(commands).where(commands.c.id == command_id).values(**changes))
    now_ns -= 3_000 * SECOND  # an hour back, and the first look after it is ten minutes later
    _, past, _ = survey.read(connection, frozenset())
    assert [one.state for one in past] == [DONE]


@pytest.mark.parametrize(("sent_ns", "tries"), [(0, 2), (1, 1)])
def test_what_was_cancelled_before_it_was_sent_is_no_try_in_between(connection, sent_ns, tries):
    lost = {"sent_ns": 1, "last_update": command_pb2.CommandUpdate(state=UNKNOWN).SerializeToString()}
    order(connection, "a1", 1, state=UNKNOWN, **lost)
    order(connection, "a1", 2, state=CANCELLED, sent_ns=sent_ns)
    order(connection, "a1", 3, state=UNKNOWN, **lost)
    _, past, _ = Survey().read(connection, frozenset())
    assert [one.tries for one in past if one.state == UNKNOWN] == [tries]
