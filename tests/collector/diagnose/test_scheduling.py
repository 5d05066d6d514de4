"""The calendar over a real store: who is connected and able is ordered to check, once."""

import asyncio
import time

import pytest
from collector.rig import batch, eventually
from sqlalchemy import text

from fsmend_collector.background import DAY_NS, CalendarConfig, CalendarRule
from fsmend_collector.diagnose.scheduling import Background
from fsmend_collector.diagnose.surveying import Survey
from fsmend_collector.dispatch import expire_commands
from fsmend_collector.server.health_checks import assess
from fsmend_collector.store.health_reads import SourceStates, read_health_facts
from fsmend_collector.store.retention import forget_step
from fsmend_proto.v1 import command_pb2, event_pb2, inventory_pb2, record_pb2

WHERE = command_pb2.XfsScrubPosition(stage=command_pb2.XFS_SCRUB_STAGE_INODES, ino=4711)
RUNNING, UNKNOWN = command_pb2.COMMAND_STATE_RUNNING, command_pb2.COMMAND_STATE_UNKNOWN

XFS = event_pb2.FilesystemRef(uuid="0b1f0f6e-9d6c-4b0a-8a53-2a2a3b9a1f10", type="xfs")


def inventory(sequence, *, able=True):
    able = inventory_pb2.Capability(name="action.scrub_xfs", available=able, filesystem_uuid=XFS.uuid)
    everything = inventory_pb2.Inventory(
        host=inventory_pb2.Host(name="web-1", labels={"rack": "r1"}),
        filesystems=[inventory_pb2.Filesystem(ref=XFS, capabilities=[able])],
    )
    return record_pb2.Record(sequence=sequence, inventory=everything).SerializeToString()


def background(rig, **rule):
    collector = rig.collector
    config = CalendarConfig((CalendarRule(**rule),))
    return Background(collector.store, collector.dispatch, collector.presence, config)


async def commands(rig):
    return await rig.rows("SELECT action, state, ordered_by, cancel_by FROM commands ORDER BY created_ns")


async def connected(rig):
    agent = await rig.agent()
    stream = await agent.connect()
    await stream.send(batch(agent.epoch, 1, inventory(1)))
    await stream.acked(1)
    await eventually(lambda: rig.rows("SELECT * FROM hosts"))
    return agent, stream


async def test_a_connected_host_is_ordered_to_check_once(rig):
    _agent, stream = await connected(rig)
    calendar = background(rig, labels={"rack": "r1"})
    await calendar.look()
    await calendar.look()
    sent = await stream.until("command")
    assert sent.WhichOneof("action") == "scrub_xfs"
    assert sent.action_class == command_pb2.ACTION_CLASS_CHECK
    (row,) = await commands(rig)
    assert (row.action, row.ordered_by) == ("scrub_xfs", "calendar")


async def test_an_order_that_is_refused_gives_its_place_of_the_share_to_another(rig, caplog):
    """A filesystem without any check waited longest: it would be chosen at each look."""
    agent, stream = await connected(rig)
    odd = event_pb2.FilesystemRef(uuid="0" * 5_000, type="xfs")
    able = inventory_pb2.Capability(name="action.scrub_xfs", available=True)
    both = [inventory_pb2.Filesystem(ref=ref, capabilities=[able]) for ref in (odd, XFS)]
    everything = inventory_pb2.Inventory(host=inventory_pb2.Host(name="web-1"), filesystems=both)
    await stream.send(batch(agent.epoch, 2, record_pb2.Record(sequence=2, inventory=everything).SerializeToString()))
    await stream.acked(2)
    calendar = background(rig)
    await calendar.look()
    assert await commands(rig) == []
    await calendar.look()
    assert (await stream.until("command")).target.filesystem_uuid == XFS.uuid
    assert caplog.text.count("was not queued") == 1


async def test_a_host_without_the_label_or_the_ability_is_left_alone(rig):
    await connected(rig)
    await background(rig, labels={"rack": "r2"}).look()
    await background(rig, repair=True).look()
    assert await commands(rig) == []


async def test_what_runs_when_its_window_closes_is_asked_to_stop(rig):
    await connected(rig)
    await background(rig).look()
    minute = time.time_ns() // 60_000_000_000 % 1_440
    closed = ((minute + 120) % 1_440, (minute + 180) % 1_440)
    await background(rig, window=closed).look()
    (row,) = await commands(rig)
    assert row.cancel_by == "calendar"


async def test_what_does_not_stop_when_its_window_closes_is_asked_once_and_given_up_after_a_day(rig):
    agent, stream = await connected(rig)
    await background(rig).look()
    command = await stream.until("command")
    await report(agent, stream, 2, command.id, command_pb2.CommandUpdate(state=RUNNING))
    minute = time.time_ns() // 60_000_000_000 % 1_440
    late = background(rig, window=((minute + 120) % 1_440, (minute + 180) % 1_440))
    for _ in range(5):
        await late.look()
    asked = await rig.rows("SELECT at_ns FROM audit WHERE action = 'command.cancelled'")
    assert len(asked) == 1
    assert await rig.collector.store.write(expire_commands, asked[0].at_ns + DAY_NS) == 1
    _, (past,), busy = await rig.collector.store.read(Survey().read, frozenset())
    assert (past.state, past.unheard, busy) == (UNKNOWN, True, set())


async def test_a_check_on_a_host_that_went_away_keeps_its_place_of_the_share(rig):
    _agent, stream = await connected(rig)
    calendar = background(rig, labels={"rack": "r1"})
    await calendar.look()
    await stream.until("command")
    stream.call.cancel()
    await eventually(lambda: gone(rig))
    _other, _stream = await connected(rig)
    await calendar.look()
    assert len(await commands(rig)) == 1


async def gone(rig):
    return not list(rig.collector.presence.connected_ids())


@pytest.mark.parametrize(
    "updates",
    [
        # a power cut: nobody saw the end, the last progress says how far it was
        [
            command_pb2.CommandUpdate(state=RUNNING, progress=command_pb2.Progress(xfs_position=WHERE)),
            command_pb2.CommandUpdate(state=UNKNOWN),
        ],
        # a cancel, the end of its window, or a restart of the agent
        [
            command_pb2.CommandUpdate(
                state=command_pb2.COMMAND_STATE_CANCELLED, result=command_pb2.CommandResult(stopped_at=WHERE)
            )
        ],
    ],
    ids=["unknown", "cancelled"],
)
async def test_a_check_that_was_cut_short_is_ordered_again_from_where_it_was(rig, updates):
    agent, stream = await connected(rig)
    await background(rig).look()
    first = await stream.until("command")
    for number, update in enumerate(updates, 2):
        update.command_id = first.id
        record = record_pb2.Record(sequence=number, command_update=update)
        await stream.send(batch(agent.epoch, number, record.SerializeToString()))
        await stream.acked(number)
    await asyncio.sleep(0.1)
    await background(rig, interval_days=1e-6).look()
    again = await stream.until("command")
    assert again.id != first.id
    assert again.scrub_xfs.resume == WHERE


async def test_what_was_left_and_is_gone_is_not_asked_for_again(rig):
    agent, stream = await connected(rig)
    await background(rig).look()
    first = await stream.until("command")
    cut = command_pb2.CommandUpdate(
        state=command_pb2.COMMAND_STATE_CANCELLED, result=command_pb2.CommandResult(stopped_at=WHERE)
    )
    await report(agent, stream, 2, first.id, cut)
    await background(rig, interval_days=1e-6).look()
    second = await stream.until("command")
    assert second.scrub_xfs.resume == WHERE
    gone = command_pb2.CommandUpdate(
        state=command_pb2.COMMAND_STATE_REFUSED, refusal=command_pb2.REFUSAL_CODE_TARGET_CHANGED
    )
    await report(agent, stream, 3, second.id, gone)
    await background(rig, interval_days=1e-6).look()
    third = await stream.until("command")
    assert not third.scrub_xfs.HasField("resume")


@pytest.mark.parametrize("further", [False, True])
async def test_a_check_that_ends_its_host_again_before_any_progress_waits_and_a_person_is_told(rig, further):
    agent, stream = await connected(rig)
    calendar = background(rig, interval_days=1e-6)
    await calendar.look()
    first = await stream.until("command")
    await report(agent, stream, 2, first.id, command_pb2.CommandUpdate(state=UNKNOWN))
    await calendar.look()
    second = await stream.until("command")
    if further:
        on = command_pb2.CommandUpdate(state=RUNNING, progress=command_pb2.Progress(xfs_position=WHERE))
        await report(agent, stream, 3, second.id, on)
    await report(agent, stream, 4 if further else 3, second.id, command_pb2.CommandUpdate(state=UNKNOWN))
    _, past, _ = await rig.collector.store.read(Survey().read, frozenset())
    assert [one.tries for one in past] == [1 if further else 2]

    daily = background(rig, interval_days=1)
    await daily.look()
    await background(rig, interval_days=1).look()
    told = await rig.rows("SELECT object_id, detail FROM audit WHERE action = 'check.set_aside'")
    assert [row.object_id for row in told] == ([] if further else [second.id])
    facts = await rig.collector.store.read(read_health_facts, SourceStates(), time.time_ns())
    assert [check.count for check in assess(facts, time.time_ns()).checks if check.code == "CHECKS_SET_ASIDE"] == (
        [] if further else [1]
    )
    assert len(await commands(rig)) == 2
    for revoked_ns, told in ((1, False), (0, not further)):
        await change(rig, f"UPDATE agents SET revoked_ns = {revoked_ns}")
        facts = await rig.collector.store.read(read_health_facts, SourceStates(), time.time_ns())
        assert bool(facts.set_aside) is told
    await background(rig, interval_days=1e-6).look()
    facts = await rig.collector.store.read(read_health_facts, SourceStates(), time.time_ns())
    assert facts.set_aside == []


async def test_a_check_longer_ago_than_finished_commands_are_kept_is_still_known_after_a_restart(rig):
    agent, stream = await connected(rig)
    await background(rig, interval_days=180).look()
    command = await stream.until("command")
    await report(agent, stream, 2, command.id, command_pb2.CommandUpdate(state=command_pb2.COMMAND_STATE_SUCCEEDED))
    for name in ("created_ns", "updated_ns", "finished_ns"):
        await change(rig, f"UPDATE commands SET {name} = {name} - {100 * DAY_NS}")
    await rig.collector.store.write(forget_step, time.time_ns() - 90 * DAY_NS)
    await background(rig, interval_days=180).look()
    assert [row.id for row in await rig.rows("SELECT id FROM commands")] == [command.id]
    await background(rig, interval_days=99).look()
    assert (await stream.until("command")).id != command.id


async def test_what_nobody_heard_of_ended_with_no_host(rig):
    _agent, stream = await connected(rig)
    for _ in range(2):
        await background(rig, interval_days=1e-6).look()
        await stream.until("command")
        await change(rig, f"UPDATE commands SET not_after_ns = not_after_ns - {2 * DAY_NS}")
        await rig.collector.store.write(expire_commands, time.time_ns())
        await asyncio.sleep(0.1)
    _, past, _ = await rig.collector.store.read(Survey().read, frozenset())
    assert [(one.state, one.unheard, one.tries) for one in past] == [(UNKNOWN, True, 0)]


async def test_a_survey_sees_what_ends_after_the_clock_was_set_back(rig):
    agent, stream = await connected(rig)
    await background(rig).look()
    command = await stream.until("command")
    await change(rig, f"UPDATE commands SET updated_ns = updated_ns + {DAY_NS}")
    survey = Survey()
    await rig.collector.store.read(survey.read, frozenset())
    await report(agent, stream, 2, command.id, command_pb2.CommandUpdate(state=UNKNOWN))
    _, past, _ = await rig.collector.store.read(survey.read, frozenset())
    assert [one.state for one in past] == [UNKNOWN]


async def test_a_survey_that_goes_on_knows_what_a_new_one_does(rig):
    agent, stream = await connected(rig)
    survey, here = Survey(), frozenset(row.agent_id for row in await rig.rows("SELECT agent_id FROM hosts"))
    for number, able in ((2, True), (4, False)):
        await stream.send(batch(agent.epoch, number, inventory(number, able=able)))
        await stream.acked(number)
        await background(rig, interval_days=1e-6).look()
        if able:
            command = await stream.until("command")
            assert known(await rig.collector.store.read(survey.read, here))[2]
            await report(agent, stream, number + 1, command.id, command_pb2.CommandUpdate(state=UNKNOWN))
        old, new = [await rig.collector.store.read(one.read, here) for one in (survey, Survey())]
        assert known(old) == known(new)
        assert [one.actions for one in old[0]] == [frozenset({"scrub_xfs"} if able else ())]
        assert [one.state for one in old[1]] == [UNKNOWN]


def known(read):
    candidates, past, busy = read
    return candidates, sorted(past, key=lambda one: one.command_id), busy


async def change(rig, statement):
    """Change rows behind the collector's back."""

    def write(connection):
        connection.execute(text(statement))

    await rig.collector.store.write(write)


async def report(agent, stream, number, command_id, update):
    update.command_id = command_id
    record = record_pb2.Record(sequence=number, command_update=update)
    await stream.send(batch(agent.epoch, number, record.SerializeToString()))
    await stream.acked(number)
    await asyncio.sleep(0.1)
