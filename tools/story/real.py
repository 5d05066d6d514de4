"""The story on real filesystems: damage, events, incidents, the ordered repair, and the proof that it healed."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from stage.loops import btrfs_mirror, ext4_with_damaged_directory, read_through
from stage.processes import Stage, StageError
from story.narrator import Narrator

INCIDENT_SECONDS = 30
REPAIR_SECONDS = 120


def tell_real(stage: Stage, narrator: Narrator, directory: Path) -> None:
    """Tell it.

    Raises:
        StageError: a step did not come, or the repair did not heal.
    """
    with ExitStack() as stack:
        narrator.step("Two filesystems on loop devices: a btrfs RAID1 and an ext4")
        images = directory / "images"
        images.mkdir()
        mirror, devices, mirror_uuid = stack.enter_context(btrfs_mirror(images, directory / "mirror"))
        narrator.say(f"btrfs {mirror_uuid} on {devices[0].name} and {devices[1].name}")
        plain, device, plain_uuid, ino = stack.enter_context(ext4_with_damaged_directory(images, directory / "plain"))
        narrator.say(f"ext4  {plain_uuid} on {device.name}")
        narrator.say(f"damaged while unmounted: 60 MiB of {devices[1].name} zeroed; a block of directory inode {ino}")

        narrator.step("An agent on this host, enrolled with a one-use token over mutual TLS")
        stage.start_agent()
        narrator.show("get", "agents")

        narrator.step("Somebody lists the ext4 directory: the kernel notices")
        _list(plain / "mail", narrator)
        incident = _incident(stage, plain_uuid)
        narrator.show("get", "events", "--fs", plain_uuid)
        narrator.show("describe", "incident", incident["id"], lines=34)
        narrator.say("ext4 has no online repair: fsmend collects evidence and says what a person has to do.")

        narrator.step("Somebody reads the file on the btrfs: checksums do not match")
        narrator.say(f"{read_through(mirror / 'archive') >> 20} MiB read, the damage served from the good copy")
        incident = _incident(stage, mirror_uuid)
        narrator.show("get", "incidents")

        narrator.step("The collector's policy orders a scrub of the device that shows errors; the agent reports")
        command = _scrub_of(stage, incident["id"])
        narrator.show("repair", "watch", command["command"]["id"])
        _prove(stage, narrator, incident["id"], command["command"]["id"])


def _list(directory: Path, narrator: Narrator) -> None:
    try:
        names = list(directory.iterdir())
        narrator.say(f"{len(names)} names")
    except OSError as error:
        narrator.say(f"ls: {error.strerror}")


def _incident(stage: Stage, uuid: str) -> dict[str, Any]:
    """Wait for the incident of a filesystem."""

    def look() -> Any:
        return stage.fsmend("get", "incidents", "--all", "--fs", uuid)

    incidents: list[dict[str, Any]] = _await(look, INCIDENT_SECONDS, f"no incident was opened for filesystem {uuid}")
    return incidents[0]


def _scrub_of(stage: Stage, incident_id: str) -> dict[str, Any]:
    """Wait until the policy has ordered the scrub for an incident."""

    def look() -> Any:
        commands = stage.fsmend("get", "commands", "--all")
        ours = [one for one in commands if one["command"].get("incident_id") == incident_id]
        return [one for one in ours if "scrub_btrfs" in one["command"]]

    commands: list[dict[str, Any]] = _await(look, INCIDENT_SECONDS, f"no scrub was ordered for incident {incident_id}")
    return commands[0]


def _prove(stage: Stage, narrator: Narrator, incident_id: str, command_id: str) -> None:
    """Check the result: found = corrected > 0, uncorrectable 0, health read again, incident resolved."""

    def finished() -> Any:
        command = stage.fsmend("describe", "command", command_id)
        return command if (command["last_update"] or {}).get("result") else None

    command = _await(finished, REPAIR_SECONDS, f"command {command_id} did not finish")
    result = command["last_update"]["result"]
    found, corrected, uncorrectable = (
        sum(scrub[f"errors_{what}"] for scrub in result["scrubs"]) for what in ("found", "corrected", "uncorrectable")
    )
    verdict = result["verdict"]
    narrator.say(f"found {found}, corrected {corrected}, uncorrectable {uncorrectable}: {verdict}")
    if not (found == corrected > 0 and uncorrectable == 0):
        raise StageError(f"the scrub did not heal: found {found}, corrected {corrected}, uncorrectable {uncorrectable}")
    if not result["after"]["counters"]:
        raise StageError("health was not read again after the scrub")

    def resolved() -> Any:
        return stage.fsmend("describe", "incident", incident_id)["state"] == "resolved"

    _await(resolved, INCIDENT_SECONDS, f"incident {incident_id} was not resolved")
    narrator.show("describe", "incident", incident_id, lines=60)
    narrator.show("health")


def _await(look: Callable[[], Any], seconds: float, otherwise: str) -> Any:
    """Poll until `look` returns something; raise StageError with `otherwise` when time is up."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        if time.monotonic() > deadline:
            raise StageError(otherwise)
        time.sleep(0.2)
    return found
