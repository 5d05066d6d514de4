"""Ask the kernel for one piece of metadata after the other: check or mend, look again, and say what came of each."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from errno import ENOTTY
from itertools import groupby
from threading import Event as Flag

from fsmend_agent.kernel import syscall, xfs_scrub
from fsmend_agent.kernel.xfs_health import HealthDomain
from fsmend_agent.xfs.items import SUMMARIES, Item
from fsmend_agent.xfs.outcome import ENDS_IT, NO_FLAGS, Outcome
from fsmend_agent.xfs.reading import inode_health
from fsmend_proto.v1 import command_pb2 as pb

PASSES = 3
"""What cannot be mended before something else is gets its chance after it; more than twice never helped."""

REST_LIMIT_SECONDS = 1.0
REST_LEAST_SECONDS = 0.02
REST_US = 1000


class Rest:
    """Rest as long as the kernel worked: others want the same locks and the disk. Short work is added up first."""

    def __init__(self, cancelled: Flag) -> None:
        self._cancelled = cancelled
        self._owed_seconds = 0.0

    def after(self, worked_seconds: float) -> None:
        """Rest now, or later."""
        self._owed_seconds += worked_seconds
        if self._owed_seconds >= REST_LEAST_SECONDS:
            self._cancelled.wait(min(REST_LIMIT_SECONDS, self._owed_seconds))
            self._owed_seconds = 0.0


def keep(fd: int) -> None:
    """Write what was mended to the disk before anybody is told: XFS does so some 30 s later, if the power is on."""
    with suppress(OSError):  # of a filesystem that has just shut down; its health is read next, and says so
        syscall.syncfs(fd)


def be_polite() -> None:
    """Make this thread, and what it starts, yield to everything else: CPU and disk at idle priority."""
    with suppress(OSError):
        syscall.ioprio_set(syscall.IOPRIO_CLASS_IDLE)
    with suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


class Targeted:
    """A run over the items of one command. Blocks; use a thread.

    Args:
        fd: on the filesystem.
        items: in their order.
        repair: mend what is corrupt; otherwise only check.
        cancelled: ends the run between two calls.
        report: takes progress.
        rest: of a run that this is a part of.
    """

    def __init__(
        self,
        fd: int,
        items: Sequence[Item],
        *,
        repair: bool,
        cancelled: Flag,
        report: Callable[[pb.Progress], None],
        rest: Rest | None = None,
    ) -> None:
        self.outcomes = [Outcome(item) for item in items]
        self._fd = fd
        self._repair = repair
        self._cancelled = cancelled
        self._report = report
        self._has_vectors = True
        self._rest = rest or Rest(cancelled)

    def run(self) -> list[Outcome]:
        """Go over the items until all are proven, nothing more can be done, or `cancelled` is set."""
        for _ in range(PASSES):
            left = [one for one in self.outcomes if self._wants_more(one)]
            solved = self._solved()
            for scope in self._scopes(left):
                if self._cancelled.is_set() or any(one.errno in ENDS_IT for one in self.outcomes):
                    return self.outcomes
                self._work(scope)
            if not left or (self._solved() == solved and not any(one.errno for one in left)):
                break
        return self.outcomes

    def _wants_more(self, one: Outcome) -> bool:
        """Say whether another call may change anything."""
        if one.proven or one.absent or one.errno in ENDS_IT:
            return False
        if not self._repair:
            return not one.calls or bool(one.errno)
        return not one.refused

    def _solved(self) -> int:
        return sum(one.proven for one in self.outcomes)

    @staticmethod
    def _scopes(outcomes: Sequence[Outcome]) -> Iterator[list[Outcome]]:
        """Yield what one vector takes: neighbours of the same group or inode."""
        for _, same in groupby(outcomes, key=lambda one: (one.item.domain, one.item.scope)):
            yield list(same)

    def _work(self, outcomes: list[Outcome]) -> None:
        """Mend or check one scope, and check what was mended or cannot be."""
        repair = self._repair and not self._counts_over_errors(outcomes[0].item)
        self._tell(f"{'repairing' if repair else 'checking'} {outcomes[0].item.name}")
        self._call(outcomes, repair=repair)
        again = [one for one in outcomes if repair and not one.proven and not one.absent]
        if again:
            self._call([one for one in again if not one.errno or one.refused], repair=False)
        self._tell(outcomes[-1].item.name)

    def _counts_over_errors(self, item: Item) -> bool:
        """Say whether a piece counts over others that are not right: made to agree with them, it would be wrong too."""
        others = (one for one in self.outcomes if one.item.scrub_type not in SUMMARIES)
        return item.scrub_type in SUMMARIES and any(not one.proven and not one.absent for one in others)

    def _call(self, outcomes: list[Outcome], *, repair: bool) -> None:
        """Ask the kernel about one scope, and rest."""
        if not outcomes:
            return
        self._learn_generation(outcomes)
        began = time.monotonic()
        for one, answer in zip(outcomes, self._ask(outcomes, repair=repair), strict=True):
            one.take(answer, repair=repair)
        self._rest.after(time.monotonic() - began)

    def _ask(self, outcomes: list[Outcome], *, repair: bool) -> list[xfs_scrub.Answer]:
        """Ask by one vector where the kernel has it, and one by one where it does not."""
        item = outcomes[0].item
        where = {"inode": item.inode, "generation": item.generation, "group": item.group}
        types = [one.item.scrub_type for one in outcomes]
        if self._has_vectors and len(types) > 1:
            try:
                return xfs_scrub.scrub_vector(self._fd, types, repair=repair, rest_us=REST_US, **where)
            except OSError as error:
                if error.errno != ENOTTY:
                    return [xfs_scrub.Answer(one, NO_FLAGS, error.errno or 0) for one in types]
                self._has_vectors = False
        return [xfs_scrub.scrub_one(self._fd, one, repair=repair, **where) for one in types]

    def _learn_generation(self, outcomes: list[Outcome]) -> None:
        """Ask for the generation that nobody knew; an inode that does not load has none until its core is mended."""
        item = outcomes[0].item
        if item.domain is HealthDomain.INODE and not item.generation:
            found = inode_health(self._fd, item.inode)
            if found is not None and found.generation:
                for one in outcomes:
                    one.item = replace(one.item, generation=found.generation)

    def _tell(self, stage: str) -> None:
        """Report how far it is."""
        done = sum(one.proven or one.absent for one in self.outcomes)
        self._report(
            pb.Progress(
                stage=stage,
                percent=100.0 * done / max(1, len(self.outcomes)),
                errors_found=sum(one.corrupt for one in self.outcomes),
                errors_corrected=sum(one.mended and one.proven for one in self.outcomes),
            )
        )
