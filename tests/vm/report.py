"""What the tests saw, as tables and figures in docs/xfs.md; all samples go to build/vm-report.json."""

import fcntl
import json
import os
import re
import statistics
from dataclasses import dataclass, field
from pathlib import Path

from vm.faults import FAULTS

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/xfs.md"
SAMPLES = ROOT / "build/vm-report.json"
TABLE, TIMES, CUTS = "table", "times", "power cuts"
SAMPLES_LEAST = 30
SAMPLES_OF_A_PERCENTILE = 100  # of fewer, the 99th percentile is only the longest by another name
"""Fewer say little of the slowest."""
NOT_TRIED = ("not tried",) * 5


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def section(text, name):
    """Return the place of a section in a page: everything between its two marks."""
    return re.search(rf"(?<=<!-- {name}: written by make test-vm -->\n).*?(?=<!-- end of {name} -->)", text, re.DOTALL)


def rows_of(text):
    """Return what the page says of each fault: how found, pieces, outcome, without rmapbt, seconds."""
    names = {fault.name for fault in FAULTS}
    lines = ([cell.strip() for cell in line.strip("|").split("|")] for line in section(text, TABLE)[0].splitlines())
    return {name: cells for name, *cells in lines if name in names and len(cells) == 5}


@dataclass
class Report:
    """Rows by fault: with rmapbt, and without; the times of every healing; what power cuts led to.

    Each row of the page is of the last run of its test.
    """

    rows: dict = field(default_factory=dict)
    without: dict = field(default_factory=dict)
    seconds: dict = field(default_factory=dict)
    cuts: str = ""
    is_new: bool = False

    def add(self, fault, found, pieces, outcome, seconds):
        self.rows[fault.name] = (found, str(pieces), outcome, f"{seconds:.1f} s")
        self.add_time(fault, seconds)

    def add_time(self, fault, seconds):
        self.seconds.setdefault(fault.name, []).append(round(seconds, 3))
        self.is_new = True

    def add_without_rmapbt(self, fault, outcome):
        self.without[fault.name] = outcome
        self.is_new = True

    def add_power_cuts(self, rounds, clean):
        self.cuts = (
            f"Power cut in the middle of a repair, {rounds} of {rounds} rounds: the journal on disk said that it had "
            f"begun and not that it had ended; the command became `unknown` and did not run again; the filesystem "
            f"mounted; a new check found it clean {clean} times and still corrupt {rounds - clean} times, which the "
            "next repair healed; `xfs_repair -n` found nothing in the end.\n"
        )
        self.is_new = True

    def table(self, before):
        """Return the lines of the table: what this run saw, and for the rest what an earlier one did."""
        yield "| fault | found by | pieces ordered | outcome | without rmapbt | notice to healed |"
        yield "|---|---|---|---|---|---|"
        for fault in FAULTS:
            *earlier, without, earlier_seconds = before.get(fault.name, NOT_TRIED)
            *found, seconds = self.rows.get(fault.name, (*earlier, earlier_seconds))
            without = self.without.get(fault.name, without)
            yield f"| {' | '.join((fault.name, *found, without, seconds))} |"

    def times(self):
        """Return what all samples come to; empty while there are too few."""
        found = [one for of_fault in self.seconds.values() for one in of_fault]
        if len(found) < SAMPLES_LEAST:
            return ""
        high = f"p99 {percentile(found, 0.99):.1f} s, " if len(found) >= SAMPLES_OF_A_PERCENTILE else ""
        return (
            f"From the kernel's notice until the collector has it resolved and verified, {len(found)} healings of "
            f"{len(self.seconds)} kinds of fault under software emulation on {os.cpu_count()} cores: "
            f"p50 {statistics.median(found):.1f} s, {high}longest {max(found):.1f} s.\n"
        )

    def write(self):
        """Write what is whole; the power cuts of the same run are written by a process of their own."""
        if not self.is_new:
            return
        SAMPLES.parent.mkdir(exist_ok=True)
        with SAMPLES.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._write_samples()
            self._write_page()

    def _write_samples(self):
        before = json.loads(SAMPLES.read_text()) if SAMPLES.exists() else {}
        told = {
            "rows": self.rows,
            "without_rmapbt": self.without,
            "notice_to_healed_seconds": self.seconds,
            "power_cuts": self.cuts,
        }
        SAMPLES.write_text(json.dumps(before | {name: value for name, value in told.items() if value}, indent=1))

    def _write_page(self):
        text = PAGE.read_text()
        table = "\n".join(self.table(rows_of(text))) + "\n" if self.rows or self.without else ""
        for name, content in ((TABLE, table), (TIMES, self.times()), (CUTS, self.cuts)):
            if content:
                place = section(text, name)
                text = text[: place.start()] + content + text[place.end() :]
        PAGE.write_text(text)
