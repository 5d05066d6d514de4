"""Commands from the queue to the agent and back, over the wire."""

import asyncio
import time

import pytest
from collector.rig import batch, event_record, eventually

from fsmend_collector.commands import QUEUED, SENT, check_command, may_follow
from fsmend_collector.diagnose.braking import stop_repairs, stopped_commands
from fsmend_collector.dispatch import expire_commands, prepare, queue_command
from fsmend_collector.errors import CommandRefused
from fsmend_proto.v1 import command_pb2, event_pb2, incident_pb2, record_pb2

UUID = "0b1f0f6e-9d6c-4b0a-8a53-2a2a3b9a1f10"
ACCEPTED, RUNNING = command_pb2.COMMAND_STATE_ACCEPTED, command_pb2.COMMAND_STATE_RUNNING
SUCCEEDED, FAILED = command_pb2.COMMAND_STATE_SUCCEEDED, command_pb2.COMMAND_STATE_FAILED
CANCELLED, EXPIRED = command_pb2.COMMAND_STATE_CANCELLED, command_pb2.COMMAND_STATE_EXPIRED


def scrub(**changes):
    fields = {
        "action_class": command_pb2.ACTION_CLASS_REPAIR,
        "target": command_pb2.Target(filesystem_uuid=UUID, filesystem_type="btrfs"),
        "scrub_btrfs": command_pb2.ScrubBtrfs(),
        "reason": "corruption on devid 2",
    }
    return command_pb2.Command(**(fields | changes))


def update_record(sequence, command_id, state):
    update = command_pb2.CommandUpdate(command_id=command_id, state=state)
    return record_pb2.Record(sequence=sequence, command_update=update).SerializeToString()


async def state_of(rig, command_id):
    (row,) = await rig.rows("SELECT state FROM commands WHERE id=:id", id=command_id)
    return row.state


async def test_a_command_reaches_a_connected_agent_and_its_reports_move_the_state(rig):
    agent = await rig.agent()
    stream = await agent.connect()
    command_id = await rig.collector.dispatch.create(scrub(), agent.identity.agent_id, "operator:kim")
    sent = await stream.until("command")
    assert (sent.id, sent.ordered_by, sent.target.filesystem_uuid) == (command_id, "operator:kim", UUID)
    assert sent.not_after_wall_ns > time.time_ns()
    for sequence, state in enumerate((ACCEPTED, RUNNING, RUNNING, SUCCEEDED), 1):
        await stream.send(batch(agent.epoch, sequence, update_record(sequence, command_id, state)))
        await stream.acked(sequence)
        assert await state_of(rig, command_id) == state
    actions = [row.action for row in await rig.rows("SELECT action FROM audit WHERE object_kind='command' ORDER BY id")]
    assert actions == ["command.created", "command.sent"]
    assert len(await rig.rows("SELECT * FROM command_updates")) == 4


async def test_a_final_state_never_changes(rig):
    agent = await rig.agent()
    stream = await agent.connect()
    command_id = await rig.collector.dispatch.create(scrub(), agent.identity.agent_id, "operator:kim")
    states = (FAILED, RUNNING, SUCCEEDED)
    await stream.send(batch(agent.epoch, 1, *(update_record(n, command_id, s) for n, s in enumerate(states, 1))))
    await stream.acked(3)
    assert await state_of(rig, command_id) == FAILED


async def test_a_command_is_sent_again_through_a_new_session_until_it_was_accepted(rig):
    agent = await rig.agent()
    command_id = await rig.collector.dispatch.create(scrub(), agent.identity.agent_id, "operator:kim")
    for _ in range(2):
        stream = await agent.connect()
        assert (await stream.until("command")).id == command_id
        stream.call.cancel()
    stream = await agent.connect()
    await stream.until("command")
    await stream.send(batch(agent.epoch, 1, update_record(1, command_id, ACCEPTED)))
    await stream.acked(1)
    stream.call.cancel()
    again = await agent.connect(unfinished_commands=[command_id])
    second = await rig.collector.dispatch.create(scrub(), agent.identity.agent_id, "operator:kim")
    assert (await again.until("command")).id == second


async def sent_and_lost(rig, by="operator:kim", **changes):
    """Return an agent, and the id of a command that was sent into a connection that then broke."""
    agent = await rig.agent()
    stream = await agent.connect()
    command_id = await rig.collector.dispatch.create(scrub(**changes), agent.identity.agent_id, by)
    await stream.until("command")
    stream.call.cancel()
    return agent, command_id


async def test_what_was_sent_is_recalled_instead_of_sent_again_once_it_expired(rig):
    agent, command_id = await sent_and_lost(rig, not_after_wall_ns=time.time_ns() + 1_500_000_000)
    await asyncio.sleep(1.6)
    stream = await agent.connect()
    cancel = await stream.until("cancel")
    assert (cancel.command_id, cancel.ordered_by, "expired" in cancel.reason) == (command_id, "collector", True)
    assert stream.others == []
    assert await state_of(rig, command_id) == SENT  # what became of it is the agent's to say
    await stream.send(batch(agent.epoch, 1, update_record(1, command_id, SUCCEEDED)))
    await stream.acked(1)
    assert await state_of(rig, command_id) == SUCCEEDED


async def test_what_was_cancelled_meanwhile_is_not_sent_again(rig):
    agent, command_id = await sent_and_lost(rig)
    await rig.collector.dispatch.cancel(command_id, "wrong host", "operator:lee")
    stream = await agent.connect()
    assert (await stream.until("cancel")).reason == "wrong host"
    assert stream.others == []


@pytest.mark.parametrize("by", ["policy", "calendar", "operator:kim"])
async def test_what_was_sent_and_lost_is_not_sent_again_when_automatic_repairs_are_stopped(rig, by):
    agent, command_id = await sent_and_lost(rig, by)
    await rig.collector.store.write(stop_repairs, "a storm", 1)
    stream = await agent.connect()
    if by == "operator:kim":
        assert (await stream.until("command")).id == command_id
    else:
        cancel = await stream.until("cancel")
        assert (cancel.command_id, cancel.reason) == (command_id, "automatic repairs are stopped")
        assert stream.others == []


@pytest.mark.parametrize("by", ["policy", "calendar"])
async def test_what_was_not_sent_when_automatic_repairs_were_stopped_ends(rig, by):
    agent = await rig.agent()
    command_id = await rig.collector.dispatch.create(scrub(), agent.identity.agent_id, by)
    await rig.collector.store.write(stop_repairs, "a storm", 1)
    assert await rig.collector.store.read(stopped_commands) == [command_id]
    stream = await agent.connect()
    await eventually(lambda: ended(rig, command_id))
    assert stream.others == []
    assert await state_of(rig, command_id) == CANCELLED


async def ended(rig, command_id):
    return await state_of(rig, command_id) != QUEUED


async def test_a_session_that_a_newer_one_fenced_takes_no_commands(rig):
    agent = await rig.agent()
    older = await agent.connect()
    newer = await agent.connect()
    agent_id = agent.identity.agent_id
    command = prepare(scrub(), "operator:kim", time.time_ns())
    await rig.collector.store.write(queue_command, command, agent_id, time.time_ns())
    assert await rig.collector.dispatch.lease(agent_id, older.welcome.session_id) == []
    assert len(await rig.collector.dispatch.lease(agent_id, newer.welcome.session_id)) == 1


async def test_an_agent_reports_only_on_its_own_commands(rig):
    mine, other = await rig.agent(), await rig.agent()
    command_id = await rig.collector.dispatch.create(scrub(), mine.identity.agent_id, "operator:kim")
    stream = await other.connect()
    await stream.send(batch(other.epoch, 1, update_record(1, command_id, SUCCEEDED)))
    await stream.acked(1)
    assert await state_of(rig, command_id) == QUEUED


async def test_a_command_that_was_never_sent_in_time_expires_and_is_not_sent_then(rig):
    agent = await rig.agent()
    soon = scrub(not_after_wall_ns=time.time_ns() + 50_000_000)
    command_id = await rig.collector.dispatch.create(soon, agent.identity.agent_id, "operator:kim")
    await asyncio.sleep(0.06)
    await rig.collector.dispatch.expire()
    assert await state_of(rig, command_id) == EXPIRED
    stream = await agent.connect()
    assert not await rig.collector.dispatch.lease(agent.identity.agent_id, stream.welcome.session_id)


DAY_NS = 86_400 * 10**9


@pytest.mark.parametrize("told", [(), (ACCEPTED,), (ACCEPTED, RUNNING)])
async def test_what_nothing_is_heard_of_for_a_day_is_unknown_until_its_agent_says_more(rig, told):
    agent, command_id = await sent_and_lost(rig)
    stream = await agent.connect()
    for sequence, state in enumerate(told, 1):
        await stream.send(batch(agent.epoch, sequence, update_record(sequence, command_id, state)))
        await stream.acked(sequence)
    stream.call.cancel()
    (row,) = await rig.rows("SELECT state, updated_ns, not_after_ns FROM commands")
    since_ns = row.updated_ns if told else row.not_after_ns
    assert await rig.collector.store.write(expire_commands, since_ns + DAY_NS - 1) == 0
    assert await rig.collector.store.write(expire_commands, since_ns + DAY_NS) == 1
    assert await state_of(rig, command_id) == command_pb2.COMMAND_STATE_UNKNOWN
    (noted,) = await rig.rows("SELECT detail FROM audit WHERE action='command.given_up'")
    assert "told nothing of it for a day" in noted.detail
    assert await rig.collector.store.write(expire_commands, since_ns + 9 * DAY_NS) == 0
    stream = await agent.connect()
    for sequence, state in enumerate((RUNNING, SUCCEEDED, FAILED), len(told) + 1):
        await stream.send(batch(agent.epoch, sequence, update_record(sequence, command_id, state)))
        await stream.acked(sequence)
        (row,) = await rig.rows("SELECT state, finished_ns FROM commands")
        assert (row.state, row.finished_ns > 0) == ((state, state != RUNNING) if state != FAILED else (SUCCEEDED, True))


async def test_what_the_agent_itself_does_not_know_stays_so(rig):
    agent, command_id = await sent_and_lost(rig)
    stream = await agent.connect()
    unknown = command_pb2.COMMAND_STATE_UNKNOWN
    await stream.send(
        batch(agent.epoch, 1, update_record(1, command_id, unknown), update_record(2, command_id, SUCCEEDED))
    )
    await stream.acked(2)
    assert await state_of(rig, command_id) == unknown


async def test_an_incident_does_not_stay_under_a_repair_that_nothing_is_heard_of(rig):
    agent = await rig.agent("web-1")
    stream = await agent.connect()
    found = event_record(
        1,
        kind=event_pb2.EVENT_KIND_FS_DATA_CORRUPTION,
        severity=event_pb2.SEVERITY_ERROR,
        filesystem=event_pb2.FilesystemRef(uuid=UUID, type="btrfs", device_name="sda"),
    )
    await stream.send(batch(agent.epoch, 1, found))
    (incident,) = await eventually(lambda: rig.rows("SELECT id FROM incidents"))
    command_id = await rig.collector.dispatch.create(scrub(), agent.identity.agent_id, "operator:kim")
    await stream.until("command")
    await stream.send(
        batch(agent.epoch, 2, update_record(2, command_id, ACCEPTED), update_record(3, command_id, RUNNING))
    )
    repairing = f"SELECT id FROM incidents WHERE state={incident_pb2.INCIDENT_STATE_REPAIRING}"
    assert await eventually(lambda: rig.rows(repairing)) == [incident]
    await rig.collector.store.write(expire_commands, time.time_ns() + 2 * DAY_NS)

    async def open_again():
        return not await rig.rows(repairing)

    await eventually(open_again)


async def test_cancelling_what_was_never_sent_ends_it_at_once(rig):
    agent = await rig.agent()
    command_id = await rig.collector.dispatch.create(scrub(), agent.identity.agent_id, "operator:kim")
    await rig.collector.dispatch.cancel(command_id, "not now", "operator:lee")
    assert await state_of(rig, command_id) == CANCELLED
    with pytest.raises(CommandRefused, match="has ended: cancelled"):
        await rig.collector.dispatch.cancel(command_id, "again", "operator:lee")


async def test_cancelling_what_runs_asks_the_agent_and_waits_for_its_word(rig):
    agent = await rig.agent()
    stream = await agent.connect()
    command_id = await rig.collector.dispatch.create(scrub(), agent.identity.agent_id, "operator:kim")
    await stream.until("command")
    await rig.collector.dispatch.cancel(command_id, "too slow", "operator:lee")
    cancel = await stream.until("cancel")
    assert (cancel.command_id, cancel.reason, cancel.ordered_by) == (command_id, "too slow", "operator:lee")
    assert await state_of(rig, command_id) == SENT
    await stream.send(batch(agent.epoch, 1, update_record(1, command_id, CANCELLED)))
    await stream.acked(1)
    assert await state_of(rig, command_id) == CANCELLED


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (scrub(scrub_btrfs=None), "no action"),
        (scrub(action_class=command_pb2.ACTION_CLASS_OBSERVE), "class ACTION_CLASS_REPAIR"),
        (scrub(target=command_pb2.Target()), "needs a target"),
        (scrub(not_after_wall_ns=1), "expired"),
        (scrub(not_after_wall_ns=(1 << 64) - 1), "expired"),
        (scrub(reason="a\0b"), "NUL"),
    ],
)
async def test_an_order_that_cannot_be_given_is_refused_with_the_reason(command, reason):
    with pytest.raises(CommandRefused, match=reason):
        prepare(command, "operator:kim", time.time_ns())


async def test_an_unknown_agent_gets_no_command(rig):
    with pytest.raises(CommandRefused, match="unknown"):
        await rig.collector.dispatch.create(scrub(), "nobody", "operator:kim")


def test_a_read_only_scrub_is_a_check():
    check_command(
        scrub(
            id="x",
            action_class=command_pb2.ACTION_CLASS_CHECK,
            scrub_btrfs=command_pb2.ScrubBtrfs(read_only=True),
            not_after_wall_ns=10,
        ),
        5,
    )


def test_states_only_move_forward():
    states = [QUEUED, SENT, ACCEPTED, RUNNING]
    for index, present in enumerate(states):
        for reported in states[:index]:
            assert not may_follow(present, reported)
        assert may_follow(present, SUCCEEDED)
        assert may_follow(present, present) is (present == RUNNING)
    for final in command_pb2.CommandState.values()[5:]:
        assert not any(may_follow(final, reported) for reported in command_pb2.CommandState.values())
