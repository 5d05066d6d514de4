"""What the calendar goes by is not forgotten, and to pass it by costs a step little."""

import pytest
from sqlalchemy import event, insert, select, update

from fsmend_collector.store import retention
from fsmend_collector.store.retention import ROWS_A_STEP, forget_step
from fsmend_collector.store.schema import agents, commands
from fsmend_proto.v1 import command_pb2

DONE, REFUSED = command_pb2.COMMAND_STATE_SUCCEEDED, command_pb2.COMMAND_STATE_REFUSED
QUEUED, RUNNING = command_pb2.COMMAND_STATE_QUEUED, command_pb2.COMMAND_STATE_RUNNING
UNKNOWN, CANCELLED = command_pb2.COMMAND_STATE_UNKNOWN, command_pb2.COMMAND_STATE_CANCELLED


def check(number, state=DONE, filesystem="u1", agent_id="a", ordered_by="calendar"):
    """Return the row of the check that was ordered, and ended, as the `number`th."""
    ended_ns = 0 if state in {QUEUED, RUNNING} else number
    times = {"created_ns": number, "updated_ns": number, "finished_ns": ended_ns}
    row = {"id": f"{agent_id}-{filesystem}-{number}", "agent_id": agent_id, "filesystem_uuid": filesystem}
    return row | times | {"action_class": 1, "state": state, "ordered_by": ordered_by, "command": b""}


async def fill(store, rows):
    def write(connection):
        connection.execute(insert(agents), [{"agent_id": one} for one in sorted({row["agent_id"] for row in rows})])
        connection.execute(insert(commands), rows)

    await store.write(write)


async def left(store):
    chosen = select(commands.c.created_ns).order_by(commands.c.created_ns)
    return await store.read(lambda connection: list(connection.execute(chosen).scalars()))


async def forget_all(store, before_ns):
    for steps in range(100):
        if not await store.write(forget_step, before_ns):
            return steps
    raise AssertionError("it does not come to an end")


@pytest.mark.parametrize(
    ("states", "kept"),
    [
        ([DONE], [1]),
        ([DONE, DONE, UNKNOWN], [2, 3]),  # whether it ends its host each time, the one before says
        ([DONE, UNKNOWN, UNKNOWN], [2, 3]),
        ([DONE, UNKNOWN, REFUSED, REFUSED], [1, 2, 4]),  # the newest, and the newest that began
        ([UNKNOWN, CANCELLED, UNKNOWN], [1, 3]),  # what was cancelled before it was sent says nothing
        ([REFUSED, REFUSED], [2]),
        ([DONE, DONE, QUEUED], [2, 3]),  # it may never begin
        ([DONE, DONE, RUNNING], [3]),
    ],
)
async def test_the_newest_check_of_a_filesystem_and_the_newest_that_began_are_kept(store, states, kept):
    await fill(store, [check(number, state) for number, state in enumerate(states, 1)])
    await forget_all(store, 100)
    assert await left(store) == kept


async def test_a_check_gives_way_only_to_one_of_the_calendar_on_the_same_filesystem_of_the_same_host(store):
    others = [check(2, filesystem="u2"), check(3, agent_id="b"), check(4, ordered_by="operator:kim")]
    await fill(store, [check(1), *others])
    await forget_all(store, 100)
    assert await left(store) == [1, 2, 3]
    await store.write(lambda connection: connection.execute(insert(commands), [check(200)]).rowcount)
    await forget_all(store, 100)
    assert await left(store) == [2, 3, 200]


async def test_nothing_is_kept_for_a_host_that_was_revoked(store):
    await fill(store, [check(1)])
    await store.write(lambda connection: connection.execute(update(agents).values(revoked_ns=5)).rowcount)
    await forget_all(store, 100)
    assert await left(store) == []


async def test_what_lies_behind_all_that_is_kept_is_reached_in_steps(store, monkeypatch):
    monkeypatch.setattr(retention, "ROWS_A_STEP", 10)
    kept = [check(number, filesystem=f"u{number}") for number in range(1, 36)]
    same_moment = [check(50, ordered_by="policy", filesystem=f"p{number}") for number in range(25)]
    await fill(store, [*kept, *same_moment, check(60, ordered_by="policy")])
    before, seen = await store.read(lambda connection: connection.execute(select(commands)).fetchall()), [61]
    assert len(before) == 61
    while await store.write(forget_step, 100):
        seen.append(len(await left(store)))
        assert seen[-2] - seen[-1] <= 10
    assert await left(store) == list(range(1, 36))
    # From the beginning again: what is superseded since is found.
    await store.write(lambda c: c.execute(insert(commands), [check(200, filesystem="u3")]).rowcount)
    assert await forget_all(store, 100) <= 8
    assert 3 not in await left(store)


async def test_a_step_looks_only_at_old_commands_from_where_the_last_came_to(store):
    asked = []

    def explain(connection):
        event.listen(
            connection, "before_cursor_execute", lambda _one, _cursor, text, values, *_: asked.append((text, values))
        )
        forget_step(connection, 100)
        texts = [(text, values) for text, values in asked if "FROM commands" in text and text.startswith("SELECT")]
        return [
            str(connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {one}", values).fetchall()) for one, values in texts
        ]

    await fill(store, [check(1)])
    (bound, chosen) = await store.write(explain)
    assert "USING COVERING INDEX ix_commands_updated_ns (updated_ns>? AND updated_ns<?)" in bound
    assert "SEARCH commands USING INDEX ix_commands_updated_ns (updated_ns>? AND updated_ns<?)" in chosen
    assert chosen.count("SEARCH newer USING INDEX ix_commands_agent_id_state (agent_id=?") == 3
    assert ROWS_A_STEP <= 5_000
