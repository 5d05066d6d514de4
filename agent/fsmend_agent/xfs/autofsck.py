"""The filesystem's own word on automatic repair: the property `autofsck` of its root directory (xfs_property(8)).

It is the extended attribute `trusted.xfs:autofsck`; reading it needs CAP_SYS_ADMIN.
"""

import errno
import os
from enum import Enum

from fsmend_agent.kernel import xfs_scrub

ATTRIBUTE = "trusted.xfs:autofsck"
_UNSET = frozenset({errno.ENODATA, errno.EOPNOTSUPP, errno.ENOTSUP})


class Autofsck(Enum):
    """What may be done to it without asking."""

    NONE = "none"
    CHECK = "check"
    OPTIMIZE = "optimize"
    REPAIR = "repair"
    UNSET = "unset"

    @property
    def allows_check(self) -> bool:
        """Say whether its metadata may be read and checked."""
        return self is not Autofsck.NONE

    @property
    def allows_repair(self) -> bool:
        """Say whether it may be repaired; unset leaves that to the host's policy."""
        return self in {Autofsck.REPAIR, Autofsck.UNSET}


def read_autofsck(fd: int) -> Autofsck:
    """Return the property of the filesystem that `fd` lies on. A word that is not known counts as `none`. Blocks.

    Raises:
        OSError: the root directory does not open.
    """
    root = xfs_scrub.open_root(fd)
    try:
        return parse(os.getxattr(root, ATTRIBUTE))
    except OSError as error:
        if error.errno in _UNSET:
            return Autofsck.UNSET
        raise
    finally:
        os.close(root)


def parse(value: bytes) -> Autofsck:
    """Return what a value means."""
    words = {one.value.encode(): one for one in Autofsck if one is not Autofsck.UNSET}
    return words.get(value.strip(b"\0 \n"), Autofsck.NONE)
