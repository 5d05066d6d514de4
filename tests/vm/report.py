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
    is_new: bool = False

    def __post_init__(self):
        """Begin with what the page says: each row is of the last run of its test."""
        _, _, rest = PAGE.read_text().partition(BEGIN)
        names = {fault.name for fault in FAULTS}
        for line in rest.partition(END)[0].splitlines():
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            if len(cells) == 6 and cells[0] in names:
                self.rows[cells[0]] = (cells[3], int(cells[2]), float(cells[5].removesuffix(" s")))
                self.without[cells[0]] = cells[4]

    def add(self, fault, outcome, pieces, seconds):
        self.rows[fault.name] = (outcome, pieces, seconds)
        self.is_new = True

    def add_without_rmapbt(self, fault, outcome):
        self.without[fault.name] = outcome
        self.is_new = True

    def lines(self):
        yield "| fault | found by | pieces ordered | outcome | without rmapbt | notice to healed |"
        yield "|---|---|---|---|---|---|"
        for fault in FAULTS:
            outcome, pieces, seconds = self.rows[fault.name]
            yield (
                f"| {fault.name} | {fault.found_by} | {pieces} | {outcome} | "
                f"{self.without.get(fault.name, 'not tried')} | {seconds:.1f} s |"
            )
        seconds = [row[2] for row in self.rows.values()]
        yield ""
        yield (
            f"From the kernel's notice until the collector has it resolved and verified, {len(seconds)} faults under "
            f"software emulation on {os.cpu_count()} cores: median {statistics.median(seconds):.1f} s, "
            f"p99 {percentile(seconds, 0.99):.1f} s."
        )

    def write(self):
        """Write the table when it is whole; part of it would look like less than there is."""
        if not self.is_new or set(self.rows) < {fault.name for fault in FAULTS}:
            return
        head, _, rest = PAGE.read_text().partition(BEGIN)
        _, _, tail = rest.partition(END)
        PAGE.write_text(head + BEGIN + "\n".join(self.lines()) + "\n" + END + tail)
