"""What must not be repaired is refused with its code, and nothing of it is touched."""

import hashlib

import pytest
from vm.filesystem import MOUNT, Xfs
from vm.fleet import wait_for

from fsmend_proto.v1 import command_pb2 as pb

pytestmark = [pytest.mark.vm, pytest.mark.timeout(3600)]


@pytest.fixture
def xfs(host, collector):
    """A healthy filesystem, mounted, that the collector knows as repairable."""
    made = Xfs(host)
    made.make()
    made.mount()
    wait_for(lambda: can_repair(collector, made.uuid), 60)
    yield made
    made.release()


def can_repair(collector, uuid):
    known = collector.filesystem(uuid)
    return known and any(one.available for one in known.capabilities if one.name == "action.repair_xfs")


def contents(host):
    """Return a digest of the disk, read outside: an emulated machine takes minutes to compute it."""
    host.sh("sync")
    with host.image.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def refused(collector, command_id, code):
    view = collector.end_of(command_id)
    assert view.state == pb.COMMAND_STATE_REFUSED, view
    assert view.last_update.refusal == code, view
    return view


def test_a_filesystem_that_shut_down(host, collector, xfs):
    host.sh(f"xfs_io -x -c shutdown {MOUNT}")
    before = contents(host)
    refused(collector, collector.order(xfs.uuid, repair_xfs=pb.RepairXfs()), pb.REFUSAL_CODE_SHUT_DOWN)
    assert contents(host) == before


def test_a_filesystem_that_became_read_only(host, collector, xfs):
    host.sh(f"mount -o remount,ro {MOUNT}")
    command_id = collector.order(xfs.uuid, repair_xfs=pb.RepairXfs())
    before = contents(host)
    refused(collector, command_id, pb.REFUSAL_CODE_READ_ONLY)
    assert contents(host) == before


def test_a_filesystem_that_was_unmounted_meanwhile(host, collector, xfs):
    host.sh(f"umount {MOUNT}")
    command_id = collector.order(xfs.uuid, repair_xfs=pb.RepairXfs())
    before = contents(host)
    refused(collector, command_id, pb.REFUSAL_CODE_NOT_MOUNTED)
    assert contents(host) == before


def test_another_filesystem_on_the_same_device_and_mount_point(host, collector, xfs):
    former = xfs.uuid
    host.sh(f"umount {MOUNT}; mkfs.xfs -q -f -m rmapbt=1 {host.disk}; mount {host.disk} {MOUNT}; sync")
    command_id = collector.order(former, repair_xfs=pb.RepairXfs())
    before = contents(host)
    refused(collector, command_id, pb.REFUSAL_CODE_NOT_MOUNTED)
    assert contents(host) == before


def test_the_filesystems_own_property_forbids_it(host, collector, xfs):
    host.sh(f"python3 -c \"import os; os.setxattr('{MOUNT}', 'trusted.xfs:autofsck', b'none')\"")
    command_id = collector.order(xfs.uuid, repair_xfs=pb.RepairXfs())
    view = refused(collector, command_id, pb.REFUSAL_CODE_POLICY_DENIES)
    assert "autofsck=none" in view.last_update.message


def test_another_scrub_is_waited_for(host, collector, xfs):
    host.sh(f"cp /bin/sleep /run/xfs_scrub; /run/xfs_scrub 8 <{MOUNT} >/dev/null 2>&1 &")
    view = collector.end_of(collector.order(xfs.uuid, scrub_xfs=pb.ScrubXfs()))
    assert view.state == pb.COMMAND_STATE_SUCCEEDED, view
    assert view.last_update.result.verdict == pb.VERDICT_CLEAN, view
    assert host.machine.run("pgrep", "-x", "xfs_scrub").status == 1
