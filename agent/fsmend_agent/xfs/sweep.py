"""Check or mend a whole mounted XFS piece by piece, so that what was stopped can go on where it was.

Group by group and type by type, then inode by inode, then what counts over everything. xfs_scrub(8) looks at the same
but begins anew each time. Everything is checked first and mended only where it is corrupt: a repair prepares itself
before it looks, which costs. An inode that does not load is no bulkstat's; the inode btree (INUMBERS) names it.
"""

import errno
import os
import stat
import time
from collections.abc import Callable, Iterator
from threading import Event as Flag
from typing import NamedTuple

from fsmend_agent.errors import ActionFailed
from fsmend_agent.kernel import xfs
from fsmend_agent.kernel.xfs_health import MetaPath, ScrubType
from fsmend_agent.xfs.items import AG_TYPES, RTGROUP_TYPES, SUMMARIES, Item
from fsmend_agent.xfs.outcome import ENDS_IT, Outcome
from fsmend_agent.xfs.targeted import Rest, Targeted, keep
from fsmend_proto.v1 import command_pb2 as pb

FOUND_LIMIT = 1024
"""So many findings are named; the others are counted, and keep the verdict from being a good one."""

REPORT_SECONDS = 0.5
CHUNKS = 16
CHUNK_INODES = 64
_OVER = frozenset({errno.ESHUTDOWN, errno.ENODEV})

_T = ScrubType
_GROUP_TYPES = tuple(sorted(AG_TYPES))
_RTGROUP_TYPES = tuple(sorted({*RTGROUP_TYPES, _T.RTBITMAP, _T.RTSUM}))
_EVERY_INODE = (_T.INODE, _T.BMBTD, _T.BMBTA, _T.BMBTC)
_BY_MODE = {stat.S_IFDIR: (_T.DIR, _T.XATTR, _T.PARENT, _T.DIRTREE), stat.S_IFLNK: (_T.XATTR, _T.SYMLINK, _T.PARENT)}
_LAST = (
    *(Item(one) for one in (_T.RTBITMAP, _T.RTSUM, _T.UQUOTA, _T.GQUOTA, _T.PQUOTA)),
    *(Item(_T.METAPATH, inode=path) for path in MetaPath if path),
    *(Item(one) for one in SUMMARIES),
)
_GROUPS, _INODES = pb.XFS_SCRUB_STAGE_GROUPS, pb.XFS_SCRUB_STAGE_INODES
_WEIGHTS = {_GROUPS: (0.0, 20.0), _INODES: (20.0, 75.0), pb.XFS_SCRUB_STAGE_SUMMARIES: (95.0, 5.0)}


def words_of(position: pb.XfsScrubPosition) -> str:
    """Name a place for a person."""
    if position.stage == _INODES:
        return f"inode {position.ino}"
    if position.stage == _GROUPS:
        return f"group {position.group}"
    return "the summaries" if position.stage else "the beginning"


class Step(NamedTuple):
    """What is checked before anybody asks again whether to stop; a later run that begins at `position` repeats it."""

    position: pb.XfsScrubPosition
    items: list[Item]
    share: float


class Sweep:
    """One run over a filesystem. Blocks; use a thread.

    Args:
        fd: on the filesystem.
        geometry: of it.
        start: where an earlier run stopped; unset: from the beginning.
        cancelled: ends it between two steps.
        report: takes progress.
        repair: mend what is corrupt.

    Attributes:
        found: what is corrupt or could not be checked, at most FOUND_LIMIT.
        unnamed: how many more there were; nobody asked for these once more.
        mended: what was corrupt and is not any more, at most FOUND_LIMIT.
        corrected: how many of them there are.
        pieces: how many were checked.
        corrupt: how many of them are, or were.
        position: of the step that comes next; None at the end.
    """

    def __init__(
        self,
        fd: int,
        geometry: xfs.Geometry,
        start: pb.XfsScrubPosition,
        *,
        cancelled: Flag,
        report: Callable[[pb.Progress], None],
        repair: bool = False,
    ) -> None:
        self.found: list[Outcome] = []
        self.mended: list[Outcome] = []
        self.pieces = self.corrupt = self.corrected = self.unnamed = 0
        self.position: pb.XfsScrubPosition | None = start
        self._fd = fd
        self._geometry = geometry
        self._start = start
        self._cancelled = cancelled
        self._report = report
        self._repair = repair
        self._rest = Rest(cancelled)
        self._reported = 0.0
        self._unlisted: list[Outcome] = []

    def run(self) -> None:
        """Check what comes from the start on, until the end or `cancelled`.

        Raises:
            ActionFailed: the filesystem shut down, or its device is gone.
        """
        for step in self._steps():
            self.position = step.position
            if self._cancelled.is_set():
                return
            self._tell(step)
            outcomes = self._mend(self._ask(step.items))
            if self._cancelled.is_set() and any(self._is_cut_short(one) for one in outcomes):
                return
            self._note(outcomes)
        self.position = None
        self._look_again()

    def _ask(self, items: list[Item], *, repair: bool = False) -> list[Outcome]:
        """Check or mend some pieces that belong together."""
        outcomes = Targeted(
            self._fd, items, repair=repair, cancelled=self._cancelled, report=lambda _progress: None, rest=self._rest
        ).run()
        over = next((one for one in outcomes if one.errno in _OVER), None)
        if over is not None:
            raise ActionFailed(f"stopped at {over.item.name}: {os.strerror(over.errno)}", over.errno)
        return outcomes

    def _mend(self, outcomes: list[Outcome]) -> list[Outcome]:
        """Mend what is corrupt among these; what counts over everything only where everything else is right."""
        bad = [one for one in outcomes if one.corrupt]
        if not self._repair or not bad or (self.found and bad[0].item.scrub_type in SUMMARIES):
            return outcomes
        tried = dict(zip((one.item for one in bad), self._ask([one.item for one in bad], repair=True), strict=True))
        if any(one.mended for one in tried.values()):
            keep(self._fd)
        return [_later(one, tried.get(one.item)) for one in outcomes]

    def _is_cut_short(self, one: Outcome) -> bool:
        """Say whether a piece waits for what a stop kept from being done."""
        return not one.calls or (self._repair and one.corrupt and not one.proven and not one.refused)

    def _note(self, outcomes: list[Outcome]) -> None:
        """Count, and keep what is or was not right."""
        present = [one for one in outcomes if not one.absent]
        self.pieces += len(present)
        self.corrupt += sum(one.corrupt for one in present)
        self._keep(present)

    def _keep(self, outcomes: list[Outcome]) -> None:
        found = [one for one in outcomes if not one.proven]
        mended = [one for one in outcomes if one.proven and one.corrupt]
        room = FOUND_LIMIT - len(self.found)
        self.unnamed += len(found[room:])
        self.corrected += len(mended)
        self.found += found[:room]
        self.mended += mended[: FOUND_LIMIT - len(self.mended)]

    def _look_again(self) -> None:
        """Ask once more for what could not be checked, while others changed it, or not be mended before others were."""
        before, self.found = self.found, []
        unsure = [one for one in before if one not in self._unlisted and (self._repair or not one.corrupt)]
        # What does not read comes last: after it nothing else is asked for.
        unsure.sort(key=lambda one: one.errno in ENDS_IT)
        # By what was asked: a check may learn an inode's generation, and its item is another one then.
        asked = [one.item for one in unsure]
        again = dict(zip(asked, self._ask(asked, repair=self._repair), strict=True))
        self.corrupt += sum(again[one.item].corrupt and not one.corrupt for one in unsure)
        self._keep([one for one in (_later(one, again.get(one.item)) for one in before) if not one.absent])

    def _steps(self) -> Iterator[Step]:
        """Yield everything from the start on."""
        stage = self._start.stage or _GROUPS
        if stage <= _GROUPS:
            yield from self._groups()
        if stage <= _INODES:
            yield from self._inodes(self._start.ino if stage == _INODES else 0)
        for number, item in enumerate(_LAST):
            if stage == pb.XFS_SCRUB_STAGE_SUMMARIES and number < self._start.group:
                continue
            if item.scrub_type in {_T.RTBITMAP, _T.RTSUM} and self._geometry.rtgroup_count:
                continue  # a group's own
            position = pb.XfsScrubPosition(stage=pb.XFS_SCRUB_STAGE_SUMMARIES, group=number, type=item.scrub_type)
            yield Step(position, [item], number / len(_LAST))

    def _groups(self) -> Iterator[Step]:
        """Yield the pieces of every allocation group, then of every realtime group."""
        count, total = self._geometry.ag_count, self._geometry.ag_count + self._geometry.rtgroup_count
        for group in range(self._start.group, total):
            types, number = (_GROUP_TYPES, group) if group < count else (_RTGROUP_TYPES, group - count)
            for scrub_type in types:
                if group > self._start.group or scrub_type >= self._start.type:
                    position = pb.XfsScrubPosition(stage=_GROUPS, group=group, type=scrub_type)
                    yield Step(position, [Item(scrub_type, group=number)], group / total)

    def _inodes(self, start: int) -> Iterator[Step]:
        """Yield every inode in use, group by group: what is made meanwhile may be left out, what goes is absent."""
        for group in range(start >> self._group_bits, self._geometry.ag_count):
            # A call that begins in the middle of a chunk may leave that chunk out.
            following = max(group << self._group_bits, start - CHUNK_INODES + 1)
            chunks = self._chunks(group, following)
            while chunks:
                known = self._known(chunks)
                for inode in (one for chunk in chunks for one in chunk.inodes if one >= start):
                    yield self._inode(inode, known.get(inode))
                chunks = self._chunks(group, chunks[-1].first + CHUNK_INODES)

    def _chunks(self, group: int, start: int) -> list[xfs.InodeChunk]:
        """Return a group's next chunks; of a group whose inode btree does not read none, and a finding."""
        try:
            chunks, _following = xfs.inumbers_batch(self._fd, group, start, CHUNKS)
        except OSError as error:
            outcome = Outcome(Item(_T.INOBT, group=group), errno=error.errno or errno.EIO, calls=1)
            self._unlisted.append(outcome)
            self._note([outcome])
            return []
        return chunks

    def _known(self, chunks: list[xfs.InodeChunk]) -> dict[int, xfs.InodeHealth]:
        """Return generation and mode of the chunks' inodes that load.

        The kernel ends a call before an inode that does not load, and refuses one that begins there (Linux 6.18).
        """
        known: dict[int, xfs.InodeHealth] = {}
        listed = [inode for chunk in chunks for inode in chunk.inodes]
        position, end = chunks[0].first, chunks[-1].first + CHUNK_INODES
        while position < end and not self._cancelled.is_set():
            try:
                inodes, position = xfs.bulkstat_batch(self._fd, position, CHUNKS * CHUNK_INODES)
            except OSError:
                position = next((one for one in listed if one > position), end)
                continue
            known |= {one.inode: one for one in inodes}
            if not inodes:
                break
        return known

    def _inode(self, inode: int, known: xfs.InodeHealth | None) -> Step:
        """Return what there is to check about an inode; of one that does not load only itself."""
        types: tuple[ScrubType, ...] = (_T.INODE,)
        if known is not None:
            types = (*_EVERY_INODE, *_BY_MODE.get(stat.S_IFMT(known.mode), (_T.XATTR, _T.PARENT)))
        generation = known.generation if known is not None else 0
        share = inode / (self._geometry.ag_count << self._group_bits)
        position = pb.XfsScrubPosition(stage=_INODES, ino=inode)
        return Step(position, [Item(one, inode=inode, generation=generation) for one in types], min(1.0, share))

    @property
    def _group_bits(self) -> int:
        """Return how many low bits of an inode's number are within its group."""
        geometry = self._geometry
        blocks = (geometry.ag_blocks - 1).bit_length()
        return blocks + (geometry.block_bytes // geometry.inode_bytes).bit_length() - 1

    def _tell(self, step: Step) -> None:
        """Report how far it is, now and then."""
        now = time.monotonic()
        if now - self._reported < REPORT_SECONDS and self._reported:
            return
        self._reported = now
        begin, weight = _WEIGHTS[step.position.stage]
        self._report(
            pb.Progress(
                stage=f"{'repairing' if self._repair else 'checking'} {step.items[0].name}",
                percent=begin + weight * step.share,
                errors_found=self.corrupt,
                errors_corrected=self.corrected,
                xfs_position=step.position,
            )
        )


def _later(before: Outcome, after: Outcome | None) -> Outcome:
    """Return what became of a piece that was asked for again, unless it was not; what was corrupt stays told."""
    if after is None or not after.calls:
        return before
    after.corrupt = after.corrupt or before.corrupt
    return after
