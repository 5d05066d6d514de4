"""The road that a check and a repair of an XFS have in common: items, then the whole filesystem, then the verdict."""

from typing import TYPE_CHECKING

from fsmend_agent.actions import ActionStopped, Order
from fsmend_agent.errors import ActionFailed, ActionRefused
from fsmend_agent.kernel import xfs, xfs_scrub
from fsmend_agent.kernel.xfs_health import ScrubType
from fsmend_agent.xfs import whole
from fsmend_agent.xfs.items import SUMMARIES, Item, read_items
from fsmend_agent.xfs.outcome import ENDS_IT, Outcome, why_offline
from fsmend_agent.xfs.preconditions import check_target, root_mount
from fsmend_agent.xfs.reading import read_parts
from fsmend_agent.xfs.sweep import FOUND_LIMIT, Sweep, words_of
from fsmend_agent.xfs.targeted import Targeted, be_polite, keep
from fsmend_proto.v1 import command_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

BEYOND_XFS_SCRUB = (Item(ScrubType.QUOTACHECK), Item(ScrubType.NLINKS))
"""Pieces that the kernel checks since Linux 6.9 and an xfs_scrub before 6.8 does not ask for."""


class XfsWork:
    """One command's work on one filesystem.

    Args:
        order: the command and its target.
        messages: the items that it names; none: the whole filesystem.
        repair: mend, or only check.
        targeted_only: leave it at the items.
        resume: of the whole, piece by piece from there on, where an earlier one stopped; None: by xfs_scrub(8).
    """

    def __init__(
        self,
        order: Order,
        messages: "Iterable[pb.XfsScrubItem]",
        *,
        repair: bool,
        targeted_only: bool = False,
        resume: pb.XfsScrubPosition | None = None,
    ) -> None:
        self.items: list[Item] = []
        self._order = order
        self._messages = list(messages)
        self._repair = repair
        self._targeted_only = targeted_only
        self._by_piece = resume is not None
        self._resume = resume or pb.XfsScrubPosition()
        self._whole: whole.WholeResult | None = None
        self._unnamed = 0

    def check(self) -> None:
        """Test the preconditions, and understand the items.

        Raises:
            ActionRefused: nothing was touched.
        """
        if self._order.target.type == "xfs":
            geometry = xfs.geometry(self._order.fd)
            self.items = read_items(self._messages, geometry.ag_count, geometry.rtgroup_count)
        if self.items and self._resume.stage:
            raise ActionRefused(pb.REFUSAL_CODE_MALFORMED, "only work on the whole filesystem can be resumed")
        check_target(self._order, repair=self._repair)

    def intention(self) -> str:
        """Say what would be done."""
        what = ", ".join(item.name for item in self.items) or whole.NAME
        return f"{'repair' if self._repair else 'check'} {what} of xfs {self._order.target.uuid}"

    def read(self) -> pb.HealthReading:
        """Read the health of everything that the command is about."""
        everything = not self.items or self._whole is not None
        return read_parts(self._order.fd, self.items, self._order.clock, all_groups=everything)

    def run(self) -> pb.CommandResult:
        """Do it.

        Raises:
            ActionStopped: `cancelled` was set.
            ActionFailed: xfs_scrub(8) cannot be started.
        """
        be_polite()
        if not self.items and self._by_piece:
            return self._sweep()
        order = self._order
        targeted = self._targeted(self.items)
        outcomes = targeted.run()
        if not order.cancelled.is_set() and self._goes_on(outcomes):
            self._run_whole()
            # What was wrong elsewhere may have kept an item from being mended.
            outcomes = targeted.run() if self.items else self._targeted(BEYOND_XFS_SCRUB).run()
        return self._ended(self._conclude(outcomes, len(outcomes), sum(one.corrupt for one in outcomes)))

    def _sweep(self) -> pb.CommandResult:
        """Check or mend the whole filesystem piece by piece, from where an earlier run stopped."""
        order = self._order
        sweep = Sweep(
            order.fd,
            xfs.geometry(order.fd),
            self._resume,
            cancelled=order.cancelled,
            report=order.report,
            repair=self._repair,
        )
        try:
            sweep.run()
        except ActionFailed as failure:
            raise ActionFailed(str(failure), failure.errno, self._swept(sweep)) from failure
        result = self._swept(sweep)
        return result if sweep.position is None else self._ended(result)

    def _swept(self, sweep: Sweep) -> pb.CommandResult:
        """Return the result of a run over the whole, as far as it came."""
        named = [*sweep.found, *sweep.mended][:FOUND_LIMIT]
        self._unnamed = sweep.unnamed
        try:
            result = self._conclude(named, sweep.pieces, sweep.corrupt)
        except OSError:  # a filesystem that shut down does not tell its health
            result = pb.CommandResult(xfs_scrubs=[one.message() for one in named])
            result.verdict = pb.VERDICT_NOT_HEALED if sweep.found else pb.VERDICT_NOT_APPLICABLE
        if sweep.position is not None:
            result.stopped_at.CopyFrom(sweep.position)
            result.summary += f"; to resume: {words_of(sweep.position)}"
        elif not self._resume.stage and result.verdict in {pb.VERDICT_CLEAN, pb.VERDICT_HEALED}:
            # Everything was looked at: the kernel may forget what only hinted at errors that are gone.
            xfs_scrub.scrub_one(self._order.fd, ScrubType.HEALTHY, repair=self._repair)
        return result

    def _ended(self, result: pb.CommandResult) -> pb.CommandResult:
        """Return the result, or raise it when the work was cut short.

        Raises:
            ActionStopped: `cancelled` was set.
        """
        if self._order.cancelled.is_set():
            raise ActionStopped(f"stopped: {result.summary}", result)
        return result

    def _targeted(self, items: "Sequence[Item]") -> Targeted:
        """Return a run over some pieces."""
        order = self._order
        return Targeted(order.fd, items, repair=self._repair, cancelled=order.cancelled, report=order.report)

    def _goes_on(self, outcomes: list[Outcome]) -> bool:
        """Say whether the whole filesystem comes next: it was asked for, or the items did not suffice."""
        if not self.items:
            return True
        left = [one for one in outcomes if not one.proven and not one.absent]
        if not self._repair or self._targeted_only:
            return False
        if not left:
            return bool(self.read().sick)
        # Where no other program can do anything about it either, reading everything is for nothing.
        causes = [one for one in left if one.item.scrub_type not in SUMMARIES] or left
        return not all(one.refused for one in causes) and not any(one.errno in ENDS_IT for one in left)

    def _run_whole(self) -> None:
        """Run xfs_scrub, and let the kernel forget what only hinted at errors that are gone."""
        mount_point = root_mount(self._order)
        if mount_point is None:
            self._whole = whole.WholeResult(4, b"the root of the filesystem is not mounted anywhere")
            return
        self._whole = whole.run_whole(
            mount_point, repair=self._repair, cancelled=self._order.cancelled, report=self._order.report
        )
        if self._whole.is_clean:
            xfs_scrub.scrub_one(self._order.fd, ScrubType.HEALTHY, repair=self._repair)

    def _conclude(self, outcomes: list[Outcome], pieces: int, corrupt: int) -> pb.CommandResult:
        """Return the result: what came of each that is named, the verdict over all, and one line.

        Args:
            outcomes: that are named.
            pieces: how many were looked at.
            corrupt: how many of these were corrupt.
        """
        result = pb.CommandResult(xfs_scrubs=[one.message() for one in outcomes])
        if self._whole is not None:
            self._add_whole(result, self._whole)
        if any(one.repaired for one in result.xfs_scrubs):
            keep(self._order.fd)
        sick = list(self.read().sick)
        offline = why_offline(outcomes, xfs.geometry(self._order.fd).flags) if self._repair else ""
        result.verdict = self._verdict(result, outcomes, sick, offline)
        counts = f"{corrupt} of {pieces} pieces were corrupt"
        result.summary = self._summary(result, outcomes, sick, offline, counts)
        return result

    @staticmethod
    def _add_whole(result: pb.CommandResult, ended: whole.WholeResult) -> None:
        """Add xfs_scrub's end as an outcome, and what it printed as evidence."""
        result.xfs_scrubs.add(
            name=whole.NAME,
            flag_names=[] if ended.is_clean else ["corrupt"],
            corrupt=bool(ended.repairs or ended.corruptions or not ended.is_clean),
            repaired=bool(ended.repairs) and ended.is_clean,
            calls=1,
        )
        result.evidence.add(name="xfs_scrub", content=ended.output, truncated=ended.truncated)

    def _verdict(
        self, result: pb.CommandResult, outcomes: list[Outcome], sick: list[str], offline: str
    ) -> "pb.Verdict.ValueType":
        """Judge by the last look at every item, by xfs_scrub's status, and by the health that the kernel tells now."""
        left = [one for one in outcomes if not one.proven and not one.absent]
        unclean = self._whole is not None and not self._whole.is_clean
        if left or unclean or sick or self._unnamed:
            return pb.VERDICT_OFFLINE_NEEDED if offline else pb.VERDICT_NOT_HEALED
        corrupt = any(one.corrupt for one in result.xfs_scrubs)
        return pb.VERDICT_HEALED if corrupt else pb.VERDICT_CLEAN

    def _summary(
        self, result: pb.CommandResult, outcomes: list[Outcome], sick: list[str], offline: str, counts: str
    ) -> str:
        """Say it in one line."""
        verdict = pb.Verdict.Name(result.verdict).removeprefix("VERDICT_").lower().replace("_", " ")
        words = [f"{verdict}: {counts}"]
        mended = [one.item.name for one in outcomes if one.mended and one.proven]
        left = [one.item.name for one in outcomes if not one.proven and not one.absent]
        words += [f"repaired {', '.join(mended[:8])}"] if mended else []
        words += [f"left {', '.join(left[:8])}"] if left else []
        words += [f"left {self._unnamed} more that are not named"] if self._unnamed else []
        words += [f"sick {', '.join(sick[:8])}"] if sick else []
        words += [self._whole.meaning] if self._whole is not None else []
        words += [f"offline needed: {offline}"] if offline else []
        return "; ".join(words)
