"""What the calendar orders goes on where it was cut short: cancelled, the agent restarted, the power cut."""

import pytest
from vm.faults import group_counter, inode_field
from vm.filesystem import Xfs
from vm.fleet import ended, wait_for

from fsmend_proto.v1 import command_pb2 as pb

pytestmark = [pytest.mark.vm, pytest.mark.timeout(3600)]
FILES = 1500
INODES = pb.XFS_SCRUB_STAGE_INODES


@pytest.fixture
def xfs(watched_host):
    """A filesystem with enough inodes for a check that can be cut short; to be mounted."""
    made = Xfs(watched_host)
    made.make(more=f"mkdir many; cd many; seq {FILES} | xargs touch")
    yield made
    made.release()


@pytest.fixture(params=["often"])
def often(watched_host, xfs, request):
    """The host, looked after as often as the calendar can; daily again before the filesystem is released."""
    watched_host.stop_agent().configure(calendar=request.param).start_agent()
    yield watched_host
    watched_host.stop_agent().configure(calendar="daily").start_agent()


def place(position):
    return position.stage, position.group, position.type, position.ino


def checks(collector, uuid):
    return collector.commands_of(uuid, "scrub_xfs")


def next_check(collector, uuid, known, explain):
    """Wait for the calendar's next command; return its id and where it is to begin."""

    def ordered():
        mine = [one for one in collector.commands_of(uuid) if one.command.ordered_by == "calendar"]
        return [one for one in mine if one.command.id not in known]

    (new,) = wait_for(ordered, 90, explain)
    known.add(new.command.id)
    return new.command.id, getattr(new.command, new.command.WhichOneof("action")).resume


def among_inodes(collector, command_id, beyond):
    """Wait until a check is among the inodes, beyond one of them; return the position that it last told."""

    def far_enough():
        view = collector.command(command_id)
        assert not ended(view), view
        position = view.last_update.progress.xfs_position
        return position if position.stage == INODES and position.ino > beyond else None

    return wait_for(far_enough, 90, lambda: str(collector.command(command_id)))


def test_a_scheduled_check_goes_on_where_it_was_cut_short(often, collector, xfs):
    known = set()
    xfs.mount()

    def explain():
        return f"{checks(collector, xfs.uuid)}\n{often.log_end()}"

    first, start = next_check(collector, xfs.uuid, known, explain)
    assert place(start) == place(pb.XfsScrubPosition())
    among_inodes(collector, first, 0)
    collector.cancel(first)
    view = collector.end_of(first)
    assert view.state == pb.COMMAND_STATE_CANCELLED, view
    cancelled_at = view.last_update.result.stopped_at
    assert cancelled_at.stage == INODES

    second, start = next_check(collector, xfs.uuid, known, explain)
    assert place(start) == place(cancelled_at)
    among_inodes(collector, second, start.ino)
    often.stop_agent().start_agent()
    view = collector.end_of(second)
    assert view.state == pb.COMMAND_STATE_CANCELLED, view
    stopped_at = view.last_update.result.stopped_at
    assert place(stopped_at) > place(cancelled_at)

    third, start = next_check(collector, xfs.uuid, known, explain)
    assert place(start) == place(stopped_at)
    among_inodes(collector, third, start.ino)
    often.machine.cut_power()
    told = collector.command(third).last_update.progress.xfs_position
    often.boot()
    xfs.mount()
    often.start_agent()
    assert collector.end_of(third).state == pb.COMMAND_STATE_UNKNOWN

    fourth, start = next_check(collector, xfs.uuid, known, explain)
    assert place(start) >= place(told) > place(stopped_at)
    view = collector.end_of(fourth, 300)
    assert view.state == pb.COMMAND_STATE_SUCCEEDED, view
    assert view.last_update.result.verdict == pb.VERDICT_CLEAN, view
    assert not view.last_update.result.HasField("stopped_at")

    _fifth, start = next_check(collector, xfs.uuid, known, explain)
    assert place(start) == place(pb.XfsScrubPosition())


@pytest.mark.parametrize("often", ["mending"], indirect=True)
def test_a_scheduled_repair_goes_on_after_a_power_cut(often, collector, xfs):
    known = set()

    def explain():
        return f"{collector.commands_of(xfs.uuid)}\n{often.log_end()}"

    group_counter(xfs)
    inode_field("many/1", "write -d core.nblocks 99")(xfs)
    xfs.mount()
    first, start = next_check(collector, xfs.uuid, known, explain)
    assert place(start) == place(pb.XfsScrubPosition())
    among_inodes(collector, first, 0)
    often.machine.cut_power()
    told = collector.command(first).last_update.progress.xfs_position
    often.boot()
    xfs.mount(exchange=False)
    often.start_agent()
    assert collector.end_of(first).state == pb.COMMAND_STATE_UNKNOWN

    second, start = next_check(collector, xfs.uuid, known, explain)
    assert place(start) >= place(told)
    view = collector.end_of(second, 300)
    assert view.command.WhichOneof("action") == "repair_xfs"
    assert view.state == pb.COMMAND_STATE_SUCCEEDED, view
    assert view.last_update.result.verdict in {pb.VERDICT_CLEAN, pb.VERDICT_HEALED}, view
    xfs.unmount()
    assert xfs.problems() == ""
