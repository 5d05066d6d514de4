"""The story from captured kernel bytes, where this machine cannot be damaged for real."""

from pathlib import Path
from typing import Any

from stage.processes import Stage

from story.narrator import Narrator

CAPTURE = Path(__file__).with_name("capture.jsonl")
EVENT_SECONDS = 30


def tell_replayed(stage: Stage, narrator: Narrator, lacking: list[str]) -> None:
    """Tell it.

    Raises:
        StageError: no incident was opened.
    """
    narrator.step(f"Replayed, for this machine lacks: {', '.join(lacking)}")
    narrator.say("REPLAYED: what the kernel says comes from a capture of a real corruption (Linux 6.18).")
    narrator.say("REAL:     decoding, spool, mutual TLS, ingest, diagnosis, the ordered repair, and the CLI.")
    narrator.say("NOT DONE: the repair itself; the agent refuses it, for the filesystem is not on this host.")

    narrator.step("An agent, enrolled with a one-use token over mutual TLS, decodes the captured bytes")
    stage.start_agent("--replay", str(CAPTURE))

    def incidents() -> Any:
        return len(stage.fsmend("get", "incidents", "--all")) >= 2

    def answered() -> Any:
        final = ("refused", "succeeded", "failed")
        return any(one["state"] in final for one in stage.fsmend("get", "commands", "--all"))

    stage.wait_for("agent", incidents, EVENT_SECONDS)
    stage.wait_for("agent", answered, EVENT_SECONDS)
    for question in (("get", "events"), ("get", "incidents"), ("get", "commands", "--all"), ("health", "detail")):
        narrator.show(*question)
