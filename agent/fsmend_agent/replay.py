"""Walk the road of an event from captured kernel bytes, where the real interfaces cannot be used (no root, no kernel).

A capture is a file of JSON lines, in the order in which things happened:

    {"filesystem": {"uuid": …, "type": "ext4", "fsid": …, "major": 7, "minor": 0, "device_names": ["loop0"],
                    "mount_points": ["/srv"], "read_only": false}}
    {"source": "fanotify", "raw": "4000…", "after_seconds": 0.2}

`raw` is in hexadecimal exactly what one read of the interface returned. Everything behind the decoders is the real
thing: events, coalescing, spool, link.
"""

import asyncio
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fsmend_agent import sources
from fsmend_agent.errors import ConfigError
from fsmend_agent.filesystems import MountedFilesystem
from fsmend_agent.inventory import HERE, host
from fsmend_proto.v1 import inventory_pb2

MAX_WAIT_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Capture:
    """What one read of an interface returned, `after_seconds` after the one before."""

    source: str
    raw: bytes
    after_seconds: float


def load(path: Path) -> tuple[list[MountedFilesystem], list[Capture]]:
    """Read a capture file.

    Raises:
        ConfigError: a line is not what this module's docstring says, or names a source that there is not; the message
            names the line.
        OSError: the file cannot be read.
    """
    known = sources.discover()
    filesystems: list[MountedFilesystem] = []
    captures: list[Capture] = []
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        try:
            record = json.loads(line)
            if "filesystem" in record:
                filesystems.append(_filesystem(record["filesystem"]))
            else:
                captures.append(_capture(record))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConfigError(f"{path}:{number}: {type(error).__name__}: {error}") from error
        if captures and captures[-1].source not in known:
            raise ConfigError(
                f"{path}:{number}: there is no source {captures[-1].source!r}; there are: {', '.join(known)}"
            )
    return filesystems, captures


async def replay(
    captured: tuple[list[MountedFilesystem], list[Capture]],
    watch: sources.Watch,
    send: Callable[[inventory_pb2.Inventory], None],
    labels: Mapping[str, str],
) -> None:
    """Report the captured filesystems as this host's, then emit the captured findings at their pace.

    Args:
        captured: as `load` returned it.
        watch: takes the findings.
        send: takes the inventory.
        labels: of the host.
    """
    filesystems, captures = captured
    watch.filesystems.update(filesystems)
    described = host.describe(HERE, labels)
    mounted = [inventory_pb2.Filesystem(ref=one.ref(), mount_points=one.mount_points) for one in filesystems]
    send(inventory_pb2.Inventory(clocks=watch.clock.now(), host=described, filesystems=mounted))
    known = {name: source(watch) for name, source in sources.discover().items()}
    for capture in captures:
        await asyncio.sleep(capture.after_seconds)
        for event in known[capture.source].replay(capture.raw):
            watch.emit(event)


def _filesystem(fields: dict[str, Any]) -> MountedFilesystem:
    names = tuple(str(name) for name in fields["device_names"])
    return MountedFilesystem(
        uuid=str(fields["uuid"]),
        type=str(fields["type"]),
        fsid=str(fields["fsid"]),
        major=int(fields["major"]),
        minor=int(fields["minor"]),
        device_names=names,
        mount_points=tuple(os.fsencode(point) for point in fields["mount_points"]),
        read_only=bool(fields["read_only"]),
        options=str(fields.get("options", "")),
        device_numbers=tuple((int(major), int(minor)) for major, minor in fields.get("device_numbers", ())),
        fsids=(str(fields["fsid"]),),
    )


def _capture(fields: dict[str, Any]) -> Capture:
    after_seconds = min(max(float(fields.get("after_seconds", 0.0)), 0.0), MAX_WAIT_SECONDS)
    return Capture(str(fields["source"]), bytes.fromhex(fields["raw"]), after_seconds)
