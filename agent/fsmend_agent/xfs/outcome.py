"""What became of one piece of metadata, and what follows from all of them. Pure."""

import errno
import os
from collections.abc import Sequence
from dataclasses import dataclass

from fsmend_agent.kernel.xfs_health import ScrubFlag
from fsmend_agent.kernel.xfs_scrub import Answer
from fsmend_agent.xfs.items import Item
from fsmend_proto.v1 import command_pb2 as pb

BAD = ScrubFlag.CORRUPT | ScrubFlag.XCORRUPT
NO_FLAGS = ScrubFlag(0)
_UNPROVEN = ScrubFlag.INCOMPLETE | ScrubFlag.XFAIL
_FEATURE_RMAPBT, _FEATURE_EXCHANGE = 1 << 19, 1 << 24  # XFS_FSOP_GEOM_FLAGS_*
_NO_SUCH = errno.ENOENT
ENDS_IT = frozenset({errno.EROFS, errno.ESHUTDOWN, errno.EIO, errno.ENODEV})
"""After these nothing else on the filesystem can be mended either."""


@dataclass(slots=True)
class Outcome:
    """One item's story.

    Attributes:
        item: which piece.
        flags: of the last call.
        errno: of the last call, positive; 0: it went through.
        corrupt: it was found corrupt at some time.
        mended: the kernel repaired it.
        proven: a check after the repair, or instead of it, went through and found nothing.
        refused: errno of a repair that the kernel cannot do here (EOPNOTSUPP); 0: none.
        calls: how often the kernel was asked.
    """

    item: Item
    flags: ScrubFlag = NO_FLAGS
    errno: int = 0
    corrupt: bool = False
    mended: bool = False
    proven: bool = False
    refused: int = 0
    calls: int = 0

    def take(self, answer: Answer, *, repair: bool) -> None:
        """Note what the kernel answered."""
        self.calls += 1
        self.flags, self.errno = NO_FLAGS if answer.errno else answer.flags, answer.errno
        bad = bool(answer.flags & BAD)
        if answer.errno:
            self.proven = answer.errno == _NO_SUCH and not self.corrupt
            if repair and answer.errno == errno.EOPNOTSUPP:
                self.refused = answer.errno
            return
        if repair and not bad and not answer.flags & ScrubFlag.NO_REPAIR_NEEDED:
            self.mended = self.corrupt = True
        self.corrupt = self.corrupt or bad
        self.proven = not bad and not answer.flags & _UNPROVEN and not (repair and self.mended)

    @property
    def absent(self) -> bool:
        """Say whether the filesystem has no such metadata."""
        return self.errno == _NO_SUCH and not self.corrupt

    def message(self) -> pb.XfsScrubOutcome:
        """Return it as a result has it."""
        return pb.XfsScrubOutcome(
            item=self.item.message(),
            name=self.item.name,
            flags=int(self.flags),
            flag_names=flag_names(self.flags),
            errno=self.errno or (0 if self.proven else self.refused),
            corrupt=self.corrupt,
            repaired=self.mended and self.proven,
            calls=self.calls,
        )


def flag_names(flags: int) -> list[str]:
    """Return the names of the outcome flags, lowest first."""
    return [(flag.name or "").lower() for flag in ScrubFlag if flag & flags]


def why_offline(outcomes: Sequence[Outcome], features: int) -> str:
    """Say why what is left cannot be mended while it is mounted; empty when nothing says so.

    Args:
        outcomes: of all items.
        features: XFS_FSOP_GEOM_FLAGS_* of the filesystem.
    """
    left = [one for one in outcomes if not one.proven]
    reasons: dict[str, None] = {}
    for one in left:
        number = one.refused or one.errno
        if number == errno.EOPNOTSUPP:
            reasons[_unsupported(one, features)] = None
        elif number in ENDS_IT:
            reasons[f"{one.item.name}: {os.strerror(number)}"] = None
    return "; ".join(reasons)


def _unsupported(one: Outcome, features: int) -> str:
    """Say what the filesystem lacks."""
    if not features & _FEATURE_RMAPBT:
        return f"{one.item.name} cannot be rebuilt: made without rmapbt (mkfs.xfs -m rmapbt=1)"
    if not features & _FEATURE_EXCHANGE:
        return f"{one.item.name} cannot be rebuilt: made without exchange-range (mkfs.xfs -i exchange=1)"
    return f"{one.item.name} cannot be rebuilt by this kernel"
