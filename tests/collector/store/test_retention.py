from sqlalchemy import insert, text

from fsmend_collector.commands import QUEUED
from fsmend_collector.store.queries import first_event_id_since
from fsmend_collector.store.retention import forget_step
from fsmend_collector.store.schema import agents, commands, events, gaps, incident_evidence, incidents, meta
from fsmend_proto.v1 import command_pb2, incident_pb2

SUCCEEDED = command_pb2.COMMAND_STATE_SUCCEEDED


def event_row(id_, received_ns):
    numbers = dict.fromkeys(("agent", "epoch", "kind", "severity", "errno", "ino", "count", "wall_ns"), 1)
    texts = dict.fromkeys(("source", "filesystem_uuid", "device_id", "command_id"), "")
    return {"id": id_, "chunk": 0, "sequence": id_, "received_ns": received_ns, "record": b"", **numbers, **texts}


def incident_row(name, state, updated_ns):
    return {"id": name, "code": "X", "severity": 4, "state": state, "updated_ns": updated_ns, "incident": b""}


def command_row(name, state, finished_ns):
    row = {"id": name, "agent_id": "a", "action_class": 1, "state": state, "finished_ns": finished_ns, "command": b""}
    return row | {"created_ns": 1, "updated_ns": 1}


def left(connection, table):
    return [row[0] for row in connection.execute(text(f"SELECT id FROM {table} ORDER BY id"))]


async def forget_all(store, before_ns):
    while await store.write(forget_step, before_ns):
        pass


async def test_old_rows_go_and_evidence_of_what_is_kept_stays(store):
    def fill(connection):
        connection.execute(insert(agents).values(agent_id="a"))
        connection.execute(insert(events), [event_row(one, one * 10) for one in range(1, 21)])
        place = {"agent": 1, "epoch": 1, "sequence": 1, "reason": 1, "record": b""}
        connection.execute(
            insert(gaps), [{"id": 30, "received_ns": 5, **place}, {"id": 31, "received_ns": 500, **place}]
        )
        states = incident_pb2.INCIDENT_STATE_OPEN, incident_pb2.INCIDENT_STATE_RESOLVED
        connection.execute(insert(incidents), [incident_row("open", states[0], 1), incident_row("old", states[1], 1)])
        evidence = [{"incident_id": "open", "event_id": 3}, {"incident_id": "old", "event_id": 4}]
        connection.execute(insert(incident_evidence), evidence)
        connection.execute(insert(commands), [command_row("done", SUCCEEDED, 5), command_row("open", QUEUED, 0)])

    await store.write(fill)
    await forget_all(store, 105)
    assert await store.read(left, "events") == [3, *range(11, 21)]
    assert await store.read(left, "gaps") == [31]
    assert await store.read(left, "incidents") == ["open"]
    assert await store.read(left, "commands") == ["open"]


async def test_what_was_tried_for_an_open_incident_is_remembered(store):
    """Else its first attempt would be ordered again, under the same id, which the agent does not run twice."""

    def fill(connection):
        connection.execute(insert(agents).values(agent_id="a"))
        state = incident_pb2.INCIDENT_STATE_OPEN
        connection.execute(insert(incidents), [incident_row("inc-open", state, 1)])
        rows = [command_row("kept", SUCCEEDED, 5), command_row("gone", SUCCEEDED, 5)]
        rows = [row | {"incident_id": name} for row, name in zip(rows, ("inc-open", "inc-forgotten"), strict=True)]
        connection.execute(insert(commands), rows)

    await store.write(fill)
    await forget_all(store, 105)
    assert await store.read(left, "commands") == ["kept"]


async def test_what_a_shared_cause_holds_is_kept_until_that_is_over(store):
    state = incident_pb2.IncidentState

    def fill(connection):
        connection.execute(insert(agents).values(agent_id="a"))
        rows = [
            incident_row("rack", state.INCIDENT_STATE_OPEN, 500) | {"merged_into": ""},
            incident_row("held", state.INCIDENT_STATE_MERGED, 1) | {"merged_into": "rack"},
            incident_row("late", state.INCIDENT_STATE_MERGED, 1) | {"merged_into": "gone"},
        ]
        connection.execute(insert(incidents), rows)
        tried = [command_row(f"for {name}", SUCCEEDED, 5) | {"incident_id": name} for name in ("held", "late")]
        connection.execute(insert(commands), tried)

    await store.write(fill)
    await forget_all(store, 105)
    assert await store.read(left, "incidents") == ["held", "rack"]
    assert await store.read(left, "commands") == ["for held"]
    over = text(f"UPDATE incidents SET state={state.INCIDENT_STATE_RESOLVED} WHERE id='rack'")
    await store.write(lambda connection: connection.execute(over).rowcount)
    await forget_all(store, 105)
    assert await store.read(left, "incidents") == ["rack"]


async def test_forgetting_goes_in_steps(store):
    await store.write(lambda c: c.execute(insert(events), [event_row(one, 1) for one in range(1, 5_101)]).rowcount)
    assert await store.write(forget_step, 10) == 5_000
    assert await store.write(forget_step, 10) == 100
    assert await store.write(forget_step, 10) == 0


async def test_ids_are_not_used_again_when_everything_was_forgotten(store):
    await store.write(lambda c: c.execute(text("UPDATE meta SET number=77 WHERE key='last_record_id'")).rowcount)
    assert await store.read(first_event_id_since, 5) == 78
    assert await store.read(lambda c: c.execute(meta.select()).first() is not None)
