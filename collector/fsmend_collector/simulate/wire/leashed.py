"""Become the collector, and end with the process that started us, however it ends: nothing throw-away stays behind.

`python -m fsmend_collector.simulate.wire.leashed PARENT ARGUMENT…`; see prctl(2), PR_SET_PDEATHSIG, which outlives
execve(2).
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(parent: int, arguments: list[str]) -> None:
    """Ask for the signal, then turn into `fsmend-collector`."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
    if os.getppid() != parent:  # it ended before we could ask
        return
    os.execv(sys.executable, [sys.executable, "-m", "fsmend_collector.cli", *arguments])  # noqa: S606  fixed program


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
