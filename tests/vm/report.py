"""What the tests saw, as the table in docs/xfs.md, and the times from notice to healed."""

import os
import statistics
from dataclasses import dataclass, field
from pathlib import Path

from vm.faults import FAULTS

PAGE = Path(__file__).resolve().parents[2] / "docs/xfs.md"
BEGIN, END = "<!-- table: written by make test-vm -->\n", "<!-- end of table -->\n"


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


@dataclass
class Report:
    """Rows by fault: with rmapbt, and without."""

    rows: dict = field(default_factory=dict)
    without: dict = field(default_factory=dict)
    seconds: list = field(default_factory=list)

    def add(self, fault, outcome, pieces, seconds):
        self.rows[fault.name] = (outcome, pieces, seconds)
        self.seconds.append(seconds)

    def add_without_rmapbt(self, fault, outcome):
        self.without[fault.name] = outcome

    def lines(self):
        yield "| fault | found by | pieces ordered | outcome | without rmapbt | notice to healed |"
        yield "|---|---|---|---|---|---|"
        for fault in FAULTS:
            outcome, pieces, seconds = self.rows[fault.name]
            yield (
                f"| {fault.name} | {fault.found_by} | {pieces} | {outcome} | "
                f"{self.without.get(fault.name, 'not tried')} | {seconds:.1f} s |"
            )
        yield ""
        yield (
            f"From the kernel's notice to resolved in the collector, {len(self.seconds)} faults under software emulation "
            f"on {os.cpu_count()} cores: median {statistics.median(self.seconds):.1f} s, "
            f"p99 {percentile(self.seconds, 0.99):.1f} s."
        )

    def write(self):
        """Write the table when it is whole; part of it would look like less than there is."""
        if set(self.rows) < {fault.name for fault in FAULTS} or not PAGE.exists():
            return
        head, _, rest = PAGE.read_text().partition(BEGIN)
        _, _, tail = rest.partition(END)
        PAGE.write_text(head + BEGIN + "\n".join(self.lines()) + "\n" + END + tail)
