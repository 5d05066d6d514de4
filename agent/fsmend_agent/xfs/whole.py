"""Run xfs_scrub(8) over a whole mounted filesystem: a fixed program, fixed options, its progress and its end parsed."""

import os
import re
import select
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Event as Flag

from fsmend_agent.errors import ActionFailed
from fsmend_proto.v1 import command_pb2 as pb

PROGRAM = Path("/usr/sbin/xfs_scrub")
PHASES = 7
POLL_SECONDS = 0.25
STOP_SECONDS = 10.0
OUTPUT_LIMIT_BYTES = 65_536
NAME = "the whole filesystem"

_UNCORRECTED, _OPTIMIZABLE, _OPERATIONAL, _USAGE = 1, 2, 4, 8
_LINE = re.compile(rb"(\d+) (\d+) (\d+) ?(.*)")


@dataclass(frozen=True, slots=True)
class WholeResult:
    """How a run ended.

    Attributes:
        status: xfs_scrub's exit status, a sum of bits; negative: ended by that signal.
        output: the end of what it printed.
        truncated: whether there was more.
        cancelled: it was stopped.
    """

    status: int
    output: bytes
    truncated: bool = False
    cancelled: bool = False

    @property
    def is_clean(self) -> bool:
        """Say whether nothing is left to correct; what could merely be optimized is."""
        return self.status >= 0 and not self.status & (_UNCORRECTED | _OPERATIONAL | _USAGE)

    @property
    def meaning(self) -> str:
        """Say what the status means."""
        if self.status < 0:
            return f"xfs_scrub was ended by signal {-self.status}"
        words = {
            _UNCORRECTED: "errors are left uncorrected",
            _OPTIMIZABLE: "some metadata could be optimized",
            _OPERATIONAL: "operational errors",
            _USAGE: "usage error",
        }
        found = [word for bit, word in words.items() if self.status & bit]
        return f"xfs_scrub: {', '.join(found) or 'no errors'}"

    @property
    def repairs(self) -> int:
        """Count the repairs that it tells of, as far as its output was kept."""
        return len(re.findall(rb"^Repaired:", self.output, re.MULTILINE))

    @property
    def corruptions(self) -> int:
        """Count the corruptions that it tells of, likewise."""
        return len(re.findall(rb"^(?:Corruption|Error):", self.output, re.MULTILINE))


def run_whole(
    mount_point: bytes,
    *,
    repair: bool,
    cancelled: Flag,
    report: Callable[[pb.Progress], None],
    program: Path = PROGRAM,
) -> WholeResult:
    """Run it to its end; the caller's CPU and I/O priority are inherited. Blocks.

    Args:
        mount_point: a mount of the filesystem's root.
        repair: mend what is corrupt; otherwise only check (-n).
        cancelled: ends it.
        report: takes progress.
        program: its path.

    Raises:
        ActionFailed: it cannot be started.
    """
    progress_in, progress_out = os.pipe()
    output = os.memfd_create("xfs_scrub", os.MFD_CLOEXEC)
    # One thread (-b), no trimming (-k), and every repair named (-v).
    options = ["-b", "-k", "-v", "-C", str(progress_out), *(() if repair else ("-n",))]
    try:
        process = subprocess.Popen(
            [str(program), *options, os.fsdecode(mount_point)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=(progress_out,),
            env={"LC_ALL": "C", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
            cwd="/",
        )
    except OSError as error:
        os.close(progress_in)
        os.close(output)
        raise ActionFailed(f"{program} cannot be started: {error.strerror}", error.errno or 0) from error
    finally:
        os.close(progress_out)
    try:
        stopped = _watch(process, progress_in, cancelled, report)
        size = os.fstat(output).st_size
        text = os.pread(output, OUTPUT_LIMIT_BYTES, max(0, size - OUTPUT_LIMIT_BYTES))
        return WholeResult(process.returncode, text, size > OUTPUT_LIMIT_BYTES, stopped)
    finally:
        os.close(progress_in)
        os.close(output)


def _watch(
    process: "subprocess.Popen[bytes]", progress: int, cancelled: Flag, report: Callable[[pb.Progress], None]
) -> bool:
    """Report until it has ended; return whether it was stopped."""
    os.set_blocking(progress, False)
    rest, stopped, is_open = b"", False, True
    while process.poll() is None:
        if cancelled.is_set() and not stopped:
            stopped = True
            _stop(process)
        if not is_open:
            cancelled.wait(POLL_SECONDS)
        elif select.select([progress], [], [], POLL_SECONDS)[0]:
            chunk = os.read(progress, 4096)
            is_open = bool(chunk)
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines[-1:]:
                if (found := parse_progress(line)) is not None:
                    report(found)
            rest = rest[-4096:]
    return stopped


def _stop(process: "subprocess.Popen[bytes]") -> None:
    """End it; what the kernel does for it at this moment is finished first."""
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()


def parse_progress(line: bytes) -> pb.Progress | None:
    """Return what a line of -C tells (phase, done, of how many, label); None when it is none."""
    found = _LINE.fullmatch(line.strip())
    if found is None:
        return None
    phase, done, total = (int(found[number][:18]) for number in (1, 2, 3))
    if not 1 <= phase <= PHASES:
        return None
    share = min(1.0, done / total) if total else 0.0
    label = found[4].decode("utf-8", "backslashreplace").strip()
    stage = f"xfs_scrub phase {phase}" + (f": {label}" if label else "")
    return pb.Progress(stage=stage, percent=100.0 * (phase - 1 + share) / PHASES)
