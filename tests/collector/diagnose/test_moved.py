"""Each move of a command is told once, in whatever order the stamps become visible."""

import pytest
from sqlalchemy import insert, update

from fsmend_collector.commands import CANCELLED, QUEUED, SENT
from fsmend_collector.diagnose import moved as moved_module
from fsmend_collector.diagnose.moved import MovedCommands
from fsmend_collector.store.schema import agents, commands

SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND


class Told:
    """A store with commands, and what was told of them since the last question."""

    def __init__(self, connection):
        self.connection = connection
        self.moved = MovedCommands()
        self.moved.start(connection, START)

    def queue(self, name, at):
        row = {"agent_id": "a", "action_class": 1, "state": QUEUED, "command": b""}
        self.connection.execute(insert(commands).values(id=name, updated_ns=START + at * SECOND, **row))

    def move(self, name, state, at):
        chosen = update(commands).where(commands.c.id == name)
        self.connection.execute(chosen.values(state=state, updated_ns=START + at * SECOND))

    def at(self, second):
        return [(row.id, row.state) for row in self.moved.news(self.connection, START + second * SECOND)]


@pytest.fixture
def told(connection, monkeypatch):
    monkeypatch.setattr(moved_module, "LOOK_BACK_SECONDS", 0)
    connection.execute(insert(agents).values(number=1, agent_id="a", host_name="h", machine_id="m"))
    return Told(connection)


def test_every_state_is_told_once(told):
    told.queue("c", 1)
    assert told.at(1) == [("c", QUEUED)]
    assert told.at(2) == []
    told.move("c", SENT, 3)
    told.move("c", SENT, 4)
    assert told.at(4) == [("c", SENT)]
    assert told.at(5) == []


def test_a_row_that_waited_for_the_writer_is_told_though_its_stamp_is_older_than_what_was_read(told):
    told.queue("second", 10)
    assert told.at(10) == [("second", QUEUED)]
    told.queue("first", 9)
    assert told.at(11) == [("first", QUEUED)]


def test_a_clock_that_was_set_back_hides_nothing(told):
    told.queue("before", 3_600)
    assert told.at(3_600) == [("before", QUEUED)]
    told.queue("after", 10)
    assert told.at(10) == [("after", QUEUED)]
    told.move("after", CANCELLED, 11)
    assert told.at(11) == [("after", CANCELLED)]
    told.move("before", CANCELLED, 100)
    assert told.at(100) == [("before", CANCELLED)]
    assert told.at(20) == []
    assert told.at(12) == []


def test_what_ended_long_ago_is_forgotten_and_what_goes_on_is_not(told):
    told.queue("over", 1)
    told.queue("goes on", 1)
    told.move("over", CANCELLED, 2)
    assert len(told.at(2)) == 2
    told.queue("later", 90_000)
    told.at(90_000)
    told.at(90_001)
    assert set(told.moved._seen) == {"goes on", "later"}


def test_what_was_stored_before_a_start_is_no_news(told):
    told.queue("old", 1)
    again = MovedCommands()
    again.start(told.connection, START + 2 * SECOND)
    assert list(again.news(told.connection, START + 3 * SECOND)) == []
