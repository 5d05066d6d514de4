"""What must hold before the metadata of an XFS is checked or repaired; every test refuses with its code."""

import errno
import os
from typing import TYPE_CHECKING

from fsmend_agent.errors import ActionRefused
from fsmend_agent.kernel import xfs
from fsmend_agent.kernel.xfs import ScrubSupport
from fsmend_agent.target import is_read_only, mounts_of
from fsmend_agent.xfs import neighbours
from fsmend_agent.xfs.autofsck import read_autofsck
from fsmend_proto.v1 import command_pb2 as pb

if TYPE_CHECKING:
    from fsmend_agent.actions import Order

NOT_BUILT_IN = "scrub is not built into this kernel (CONFIG_XFS_ONLINE_SCRUB)"
REPAIR_NOT_BUILT_IN = "repair is not built into this kernel (CONFIG_XFS_ONLINE_REPAIR)"
WAIT_SECONDS = 60.0
POLL_SECONDS = 0.5


def check_target(order: "Order", *, repair: bool) -> None:
    """Test type, kernel, state, the filesystem's own word, and who else works on it; waits a while for another scrub.

    Raises:
        ActionRefused: nothing was touched.
    """
    if order.target.type != "xfs":
        raise ActionRefused(pb.REFUSAL_CODE_NOT_SUPPORTED, f"{order.target.type} is not xfs")
    _check_kernel(order.fd, repair=repair)
    if repair and is_read_only(order.fd):
        raise ActionRefused(pb.REFUSAL_CODE_READ_ONLY, "mounted read-only: nothing could be repaired")
    _check_property(order.fd, repair=repair)
    _wait_for_others(order)


def _check_kernel(fd: int, *, repair: bool) -> None:
    """Ask the kernel whether it can, which also tells whether the filesystem still serves."""
    try:
        support = xfs.scrub_support(fd)
    except OSError as error:
        if error.errno in {errno.ESHUTDOWN, errno.EIO}:
            raise ActionRefused(pb.REFUSAL_CODE_SHUT_DOWN, "the filesystem has shut down") from error
        raise ActionRefused(pb.REFUSAL_CODE_NOT_SUPPORTED, f"the kernel does not scrub it: {error.strerror}") from error
    if support is ScrubSupport.NONE:
        raise ActionRefused(pb.REFUSAL_CODE_NOT_SUPPORTED, NOT_BUILT_IN)
    # On a read-only mount the kernel denies repair too; that has a code of its own.
    if repair and support is not ScrubSupport.REPAIR and not is_read_only(fd):
        raise ActionRefused(pb.REFUSAL_CODE_NOT_SUPPORTED, REPAIR_NOT_BUILT_IN)


def _check_property(fd: int, *, repair: bool) -> None:
    """Obey the property `autofsck` of the root directory."""
    try:
        word = read_autofsck(fd)
    except OSError:
        return  # a root directory that does not open is what is to be repaired
    if not (word.allows_repair if repair else word.allows_check):
        reason = f"the filesystem's property autofsck={word.value} does not allow {'repair' if repair else 'a check'}"
        raise ActionRefused(pb.REFUSAL_CODE_POLICY_DENIES, reason)


def _wait_for_others(order: "Order") -> None:
    """Wait until no other scrub runs, unless that takes too long; leave to xfs_healer what it has.

    Raises:
        ActionRefused: HEALER_ACTIVE, BUSY.
    """
    device = os.fstat(order.fd).st_dev
    waited = 0.0
    while True:
        found = set(neighbours.working_on(device, order.target.mount_points))
        if neighbours.HEALER in found:
            raise ActionRefused(pb.REFUSAL_CODE_HEALER_ACTIVE, "xfs_healer has this filesystem")
        if not found:
            return
        if waited >= WAIT_SECONDS:
            raise ActionRefused(pb.REFUSAL_CODE_BUSY, f"another xfs_scrub runs, for {WAIT_SECONDS:.0f} s already")
        if order.cancelled.wait(POLL_SECONDS):
            return  # the executor sees it too, before anything begins
        waited += POLL_SECONDS


def root_mount(order: "Order") -> bytes | None:
    """Return a mount point of the filesystem's root on which nothing else is mounted; None when there is none."""
    device = os.fstat(order.fd).st_dev
    for mount in mounts_of(order.target):
        try:
            if mount.root == b"/" and os.stat(mount.mount_point).st_dev == device:  # noqa: PTH116  bytes
                return mount.mount_point
        except OSError:
            continue
    return None
