"""Tell the story once; stay up afterwards unless `--once` is given.

Exit status 0: told to its end, and the repair was real. 1: not, with the reason. 130: interrupted.
"""

import argparse
import os
import shlex
import signal
import sys
import tempfile
from pathlib import Path
from types import FrameType

from stage.loops import missing_tools
from stage.processes import BIN, Stage, StageError, free_port
from story.narrator import Narrator
from story.real import tell_real
from story.replayed import tell_replayed

PORTS = (9443, 9444)


def main() -> int:
    """Set the stage, tell the story, clean up whatever happens."""
    parser = argparse.ArgumentParser(prog="make run", description=__doc__)
    parser.add_argument("--once", action="store_true", help="end after the story")
    once = parser.parse_args().once
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        with tempfile.TemporaryDirectory(prefix="fsmend-") as directory:
            return _run(Path(directory), once=once)
    except KeyboardInterrupt:
        return 0 if not once else 130
    except (StageError, RuntimeError) as error:
        sys.stderr.write(f"\nfsmend: the story failed: {error}\n")
        return 1


def _run(directory: Path, *, once: bool) -> int:
    agent = {"labels": {"rack": "r1", "role": "demo"}}
    with Stage(directory / "stage", agent=agent, ports=_ports()) as stage:
        narrator = Narrator(stage)
        narrator.step("A collector with an embedded store, and its own certificate authority")
        stage.start_collector()
        narrator.say(f"listens on 127.0.0.1:{stage.port} (agents, operators) and :{stage.enrol_port} (enrolment)")
        lacking = missing_tools() if os.geteuid() == 0 else ["root"]
        if lacking:
            tell_replayed(stage, narrator, lacking)
        else:
            tell_real(stage, narrator, directory)
        narrator.step(f"Done in {narrator.seconds():.0f} s.")
        if not once:
            _stay(stage, narrator)
    return 0


def _stay(stage: Stage, narrator: Narrator) -> None:
    narrator.say("Collector and agent stay up until Ctrl-C. In another terminal:")
    narrator.say(f"  export PATH={shlex.quote(str(BIN))}:$PATH FSMEND_CONTEXTS={shlex.quote(str(stage.contexts))}")
    narrator.say("  fsmend health detail; fsmend get incidents; fsmend events --follow; fsmend --help")
    signal.pause()


def _ports() -> tuple[int, int]:
    """Take the usual ports when they are free, so that a second try beside it works too."""
    taken = [port for port in PORTS if Stage.answers(port)]
    return PORTS if not taken else (free_port(), free_port())


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
