"""FS_IOC_GETFSLABEL of a real kernel."""

import errno
import os

import pytest
from kernel.loopfs import MIB, run

from fsmend_agent.kernel.label import fs_label

pytestmark = pytest.mark.kernel


@pytest.mark.parametrize(
    ("make", "size_bytes"),
    [
        (("mkfs.ext4", "-q", "-F", "-L"), 64 * MIB),
        (("mkfs.xfs", "-q", "-f", "-L"), 400 * MIB),
        (("mkfs.btrfs", "-q", "-f", "-L"), 256 * MIB),
    ],
)
def test_the_label_is_what_mkfs_was_told(make_loop, mounted, make, size_bytes):
    loop = make_loop(size_bytes)
    run(*make, "archive\u00e4", loop.device)
    fd = os.open(mounted(loop.device), os.O_RDONLY)
    try:
        assert fs_label(fd) == "archive\u00e4".encode()
    finally:
        os.close(fd)


def test_a_filesystem_without_labels_says_so():
    fd = os.open("/proc", os.O_RDONLY)
    try:
        with pytest.raises(OSError, match="/proc") as caught:
            fs_label(fd, "/proc")
        assert caught.value.errno == errno.ENOTTY
    finally:
        os.close(fd)
