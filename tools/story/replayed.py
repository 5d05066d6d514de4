"""The story from captured kernel bytes, where this machine cannot be damaged for real."""

from pathlib import Path
from typing import Any

from stage.processes import Stage
from story.narrator import Narrator

CAPTURE = Path(__file__).with_name("capture.jsonl")
EVENT_SECONDS = 30
FILESYSTEMS = 2  # that the capture holds, each with one corruption


def tell_replayed(stage: Stage, narrator: Narrator, lacking: list[str]) -> None:
    """Tell it.

    Raises:
        StageError: no incident was opened.
    """
    narrator.step(f"Replayed, for this machine lacks: {', '.join(lacking)}")
    narrator.say("REPLAYED: what the kernel says comes from a capture of a real corruption (Linux 6.18).")
    narrator.say("REAL:     decoding, coalescing, spool, mutual TLS, ingest, diagnosis, and the CLI.")
    narrator.say("NOT DONE: the repair; the captured filesystems are not on this host, so none is ordered.")

    narrator.step("An agent, enrolled with a one-use token over mutual TLS, decodes the captured bytes")
    stage.start_agent("--replay", str(CAPTURE))
    narrator.show("get", "agents")

    def incidents() -> Any:
        return len(stage.fsmend("get", "incidents", "--all")) >= FILESYSTEMS

    stage.wait_for("agent", incidents, EVENT_SECONDS)
    narrator.step("Two filesystems are damaged: an ext4 directory, and a file on a btrfs RAID1")
    for question in (("get", "events"), ("get", "incidents"), ("health", "detail")):
        narrator.show(*question)
    narrator.show("describe", "incident", stage.fsmend("get", "incidents", "--all")[0]["id"], lines=40)
