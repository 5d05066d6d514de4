"""Quota records and the realtime summary: found by the scheduled check, mended where the kernel can."""

import pytest
from vm.filesystem import Xfs
from vm.fleet import wait_for
from vm.healing import SECONDS, corruption, resolved, see_scheduled_check, story

from fsmend_agent.kernel.xfs_health import ScrubType
from fsmend_proto.v1 import command_pb2 as pb

pytestmark = [pytest.mark.vm, pytest.mark.timeout(3600)]
QUOTAS = "uquota,gquota,pquota"
OWNED = "chown 1000:1000 d1/f1; xfs_io -c 'chproj 1000' d1/f1"
MISCOUNTED = "write -d diskdq.bcount 5000"


@pytest.fixture
def xfs(watched_host):
    made = Xfs(watched_host)
    yield made
    made.release()


def reported(collector, uuid):
    return {name for one in corruption(collector, uuid) for name in one.event.xfs_health.sick_names}


@pytest.mark.parametrize(
    ("kind", "name", "scrub_type"),
    [
        ("u", "uquota", ScrubType.UQUOTA),
        ("g", "gquota", ScrubType.GQUOTA),
        ("p", "pquota", ScrubType.PQUOTA),
        ("u", "quotacheck", ScrubType.QUOTACHECK),
    ],
    ids=["uquota", "gquota", "pquota", "quotacheck"],
)
def test_a_quota_record_is_mended(kind, name, scrub_type, watched_host, collector, xfs):
    uuid = xfs.make(more=OWNED, mounted_with=QUOTAS)
    if scrub_type is ScrubType.QUOTACHECK:
        xfs.set(f"dquot -{kind} 1000", MISCOUNTED)
    else:
        xfs.scribble(f"dquot -{kind} 1000")
    xfs.mount(QUOTAS)

    see_scheduled_check(watched_host, collector, uuid)

    wait_for(lambda: resolved(collector, uuid), SECONDS, lambda: story(watched_host, collector, uuid))
    assert name in reported(collector, uuid)
    view = collector.end_of(collector.commands_of(uuid, "repair_xfs")[0].command.id)
    assert scrub_type in {item.type for item in view.command.repair_xfs.items}
    assert view.last_update.result.verdict == pb.VERDICT_HEALED, view
    xfs.unmount()
    assert xfs.problems() == ""


def test_a_realtime_summary_is_found_and_needs_offline_repair_on_this_kernel(watched_host, collector, xfs):
    realtime = f"rtdev={watched_host.realtime_disk}"
    uuid = xfs.make(f"-m rmapbt=0,reflink=0 -r {realtime}", mounted_with=realtime)
    summary = int(xfs.db("sb 0", "print rsumino").split()[-1])
    xfs.scribble(f"inode {summary}", "dblock 0")
    before = xfs.problems("-r", watched_host.realtime_disk)
    assert before
    xfs.mount(realtime, exchange=False)

    see_scheduled_check(watched_host, collector, uuid)

    (repair,) = wait_for(
        lambda: collector.commands_of(uuid, "repair_xfs"), SECONDS, lambda: story(watched_host, collector, uuid)
    )
    view = collector.end_of(repair.command.id)
    assert "rt_summary" in reported(collector, uuid)
    assert ScrubType.RTSUM in {item.type for item in view.command.repair_xfs.items}
    assert view.last_update.result.verdict == pb.VERDICT_OFFLINE_NEEDED, view
    assert "rtsum" in view.last_update.message
    xfs.unmount()
    assert xfs.problems("-r", watched_host.realtime_disk) == before
