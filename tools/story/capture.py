"""Capture what the kernel says of the story's two corruptions, for the replayed story: `python -m story.capture FILE`.

Needs root. fanotify and the kernel log are read as the agent reads them; each read becomes one line of the capture.
"""

import dataclasses
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from fsmend_agent.filesystems import MountedFilesystem, read_mounted
from fsmend_agent.kernel import fanotify, kmsg
from stage.loops import btrfs_mirror, ext4_with_damaged_directory, read_through

LISTEN_SECONDS = 2.0
MOST_LINES = 60  # the kernel's rate limit lets through as many as tell the story
PAUSE_SECONDS = 0.02


def main() -> None:
    """Damage, touch, listen, write."""
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        log = kmsg.open_log()
        with (
            ext4_with_damaged_directory(directory, directory / "plain") as (plain, device, plain_uuid, _),
            btrfs_mirror(directory, directory / "mirror") as (mirror, devices, mirror_uuid),
        ):
            group = fanotify.init()
            fanotify.mark_filesystem(group, str(plain))
            mounted = [one for one in read_mounted() if one.uuid in {plain_uuid, mirror_uuid}]
            _touch(plain / "mail")
            read_through(mirror / "archive")
            time.sleep(LISTEN_SECONDS)
            captured = [("fanotify", os.read(group, 4096))]
            names = [device.name, devices[0].name]
            captured += [("kmsg", line) for line in _lines(log) if _concerns(line, names)][:MOST_LINES]
            os.close(group)
        os.close(log)
    _write(Path(sys.argv[1]), mounted, captured)


def _touch(directory: Path) -> None:
    try:
        list(directory.iterdir())
    except OSError:
        return
    raise RuntimeError("the damage was not noticed")


def _lines(log: int) -> list[bytes]:
    lines = []
    while (record := kmsg.read_record(log)) is not None:
        if isinstance(record, bytes):
            lines.append(record)
    return lines


def _concerns(line: bytes, names: list[str]) -> bool:
    return b" error" in line.lower() or b"csum" in line if any(name.encode() in line for name in names) else False


def _write(path: Path, mounted: list[MountedFilesystem], captured: list[tuple[str, bytes]]) -> None:
    with path.open("w") as file:
        for number, one in enumerate(mounted, 1):
            fields: dict[str, Any] = dataclasses.asdict(one)
            fields["mount_points"] = [f"/srv/{one.type}-{number}"]
            file.write(json.dumps({"filesystem": fields}) + "\n")
        for source, raw in captured:
            file.write(json.dumps({"source": source, "raw": raw.hex(), "after_seconds": PAUSE_SECONDS}) + "\n")


if __name__ == "__main__":
    main()
