"""A cancel is noted once, told in every later session, and does not keep alive what nothing is heard of."""

import time

import pytest
from collector.rig import batch

from fsmend_collector.commands import NEWS_NS
from fsmend_collector.dispatch import expire_commands
from fsmend_proto.v1 import command_pb2, record_pb2

RUNNING, UNKNOWN = command_pb2.COMMAND_STATE_RUNNING, command_pb2.COMMAND_STATE_UNKNOWN


@pytest.fixture
async def running(rig):
    """Give an agent, its stream and the id of a command that it runs."""
    agent = await rig.agent()
    stream = await agent.connect()
    scrub = command_pb2.Command(
        action_class=command_pb2.ACTION_CLASS_CHECK,
        target=command_pb2.Target(filesystem_uuid="0b1f0f6e-9d6c-4b0a-8a53-2a2a3b9a1f10", filesystem_type="xfs"),
        scrub_xfs=command_pb2.ScrubXfs(),
    )
    command_id = await rig.collector.dispatch.create(scrub, agent.identity.agent_id, "calendar")
    await stream.until("command")
    update = command_pb2.CommandUpdate(command_id=command_id, state=RUNNING)
    await stream.send(batch(agent.epoch, 1, record_pb2.Record(sequence=1, command_update=update).SerializeToString()))
    await stream.acked(1)
    return agent, stream, command_id


async def row_of(rig):
    (row,) = await rig.rows("SELECT state, updated_ns, cancel_ns, cancel_reason, cancel_by FROM commands")
    return row


async def cancelled_by(rig):
    return [row.actor for row in await rig.rows("SELECT actor FROM audit WHERE action='command.cancelled' ORDER BY id")]


async def test_asking_again_changes_nothing_but_a_persons_word_takes_an_automatic_ones_place(rig, running):
    _agent, stream, command_id = running
    await rig.collector.dispatch.cancel(command_id, "its window has closed", "calendar")
    assert (await stream.until("cancel")).reason == "its window has closed"
    before = await row_of(rig)
    for _ in range(3):
        await rig.collector.dispatch.cancel(command_id, "its window has closed", "calendar")
    assert await row_of(rig) == before
    assert await cancelled_by(rig) == ["calendar"]
    await rig.collector.dispatch.cancel(command_id, "the host is needed", "operator:lee")
    said = await row_of(rig)
    assert (said.updated_ns, said.cancel_ns) == (before.updated_ns, before.cancel_ns)
    assert (said.cancel_by, said.cancel_reason) == ("operator:lee", "the host is needed")
    for by in ("operator:kim", "calendar"):
        await rig.collector.dispatch.cancel(command_id, "me too", by)
    assert await row_of(rig) == said
    assert await cancelled_by(rig) == ["calendar", "operator:lee", "operator:kim", "calendar"]


async def test_an_agent_is_asked_again_in_each_session_and_what_it_never_answers_is_given_up(rig, running):
    agent, stream, command_id = running
    await rig.collector.dispatch.cancel(command_id, "its window has closed", "calendar")
    await stream.until("cancel")
    cancelled_ns = (await row_of(rig)).updated_ns
    for _ in range(2):
        stream.call.cancel()
        stream = await agent.connect(unfinished_commands=[command_id])
        assert (await stream.until("cancel")).command_id == command_id
        await rig.collector.dispatch.cancel(command_id, "its window has closed", "calendar")
    assert await rig.collector.store.write(expire_commands, cancelled_ns + NEWS_NS - 1) == 0
    assert await rig.collector.store.write(expire_commands, cancelled_ns + NEWS_NS) == 1
    row = await row_of(rig)
    assert (row.state, row.cancel_ns <= time.time_ns()) == (UNKNOWN, True)
