"""The survey reads what changed by an index, and tells of hosts without a link what goes on there."""

import time

import pytest
from sqlalchemy import event, insert, update

from fsmend_collector.background import ORDERED_BY, PastScrub
from fsmend_collector.diagnose.surveying import Survey
from fsmend_collector.dispatch import queue_command
from fsmend_collector.ingest.inventory import replace_inventory
from fsmend_collector.store.engine import make_engine
from fsmend_collector.store.migrate import migrate
from fsmend_collector.store.schema import agents, commands
from fsmend_proto.v1 import command_pb2, event_pb2, inventory_pb2

RUNNING, DONE = command_pb2.COMMAND_STATE_RUNNING, command_pb2.COMMAND_STATE_SUCCEEDED


@pytest.fixture
def connection(tmp_path):
    url = f"sqlite:///{tmp_path / 'store.sqlite'}"
    migrate(url, tmp_path / "lock")
    engine = make_engine(url, writes=True)
    with engine.connect() as opened:
        for number, agent_id in enumerate(("a1", "a2", "a3"), 1):
            opened.execute(insert(agents).values(agent_id=agent_id))
            refs = [event_pb2.FilesystemRef(uuid=f"{agent_id}-{kind}", type=kind) for kind in ("btrfs", "xfs")]
            able = inventory_pb2.Inventory(filesystems=[inventory_pb2.Filesystem(ref=ref) for ref in refs])
            replace_inventory(opened, agent_id, able, number, time.time_ns())
        yield opened
    engine.dispose()


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
