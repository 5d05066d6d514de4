"""Show what this kernel and these tools make visible and repairable on this host, what stays blind, and why."""

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any, Literal, TextIO

from fsmend_agent.event import Clock, text
from fsmend_agent.filesystems import read_mounted
from fsmend_agent.inventory.collect import collect
from fsmend_agent.survey import capabilities, filesystem_capabilities
from fsmend_proto.v1 import inventory_pb2

__all__ = ["capabilities", "filesystem_capabilities", "print_probe"]

FORMAT = "fsmend-probe/1"
"""Of the JSON: changes when a reader of the old one would be misled."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")

_SECTIONS = (
    ("sees", ("source.",)),
    ("repairs", ("action.", "target.", "xfs.")),
    ("stays blind", ("blind.",)),
)


def print_probe(stream: TextIO, output: Literal["table", "json"] = "table") -> None:
    """Write what can be seen and repaired on this host; works without root and says what that leaves unchecked."""
    found = collect(read_mounted(), Clock().now())
    if output == "json":
        json.dump(as_dict(found), stream, indent=2)
        stream.write("\n")
    else:
        stream.writelines(f"{line}\n" for line in as_lines(found))


def as_dict(found: inventory_pb2.Inventory) -> dict[str, Any]:
    """Return the probe as JSON takes it; bytes that are no UTF-8 become escapes."""
    return {
        "format": FORMAT,
        "host": found.host.name,
        "kernel_release": found.host.kernel_release,
        "operating_system": found.host.operating_system,
        "agent_version": found.host.agent_version,
        "capabilities": [_capability(one) for one in found.host.capabilities],
        "filesystems": [
            {
                "uuid": one.ref.uuid,
                "type": one.ref.type,
                "device_names": [device.name for device in one.devices],
                "mount_points": [text(mount_point) for mount_point in one.mount_points],
                "read_only": one.read_only,
                "features": list(one.features),
                "capabilities": [_capability(capability) for capability in one.capabilities],
            }
            for one in found.filesystems
        ],
    }


def _capability(one: inventory_pb2.Capability) -> dict[str, str | bool]:
    """Return one capability as JSON takes it."""
    return {"name": one.name, "available": one.available, "reason": one.reason}


def as_lines(found: inventory_pb2.Inventory) -> Iterator[str]:
    """Yield the lines of the table, safe for a terminal."""
    host = found.host
    yield _shown(f"{host.name}: Linux {host.kernel_release}, {host.operating_system}")
    missing = [one for one in host.capabilities if one.name.startswith("privilege.") and not one.available]
    if missing:
        names = ", ".join("CAP_" + one.name.removeprefix("privilege.").upper() for one in missing)
        yield f"Without {names} some of this could not be tried; run it as root to be sure."
    yield from _rows(one for one in host.capabilities if not one.name.startswith("privilege."))
    for filesystem in found.filesystems:
        yield ""
        where = text(filesystem.mount_points[0]) if filesystem.mount_points else "?"
        devices = " ".join(device.name for device in filesystem.devices)
        yield _shown(f"{where}: {filesystem.ref.type} on {devices}, {filesystem.ref.uuid or 'UUID unknown'}")
        for title, prefixes in _SECTIONS:
            rows = [one for one in filesystem.capabilities if one.name.startswith(prefixes)]
            if rows:
                yield f"  {title}"
                yield from _rows(rows)


def _rows(rows: Iterable[inventory_pb2.Capability]) -> Iterator[str]:
    """Yield one line for each capability."""
    for one in rows:
        # What is blind is no question of yes or no.
        answer = "" if one.name.startswith("blind.") else "yes" if one.available else "no"
        yield _shown(f"    {answer:4}{one.name:28}{one.reason}").rstrip()


def _shown(line: str) -> str:
    """Escape control characters: a mount point may hold anything, and a terminal obeys."""
    return _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", line)
