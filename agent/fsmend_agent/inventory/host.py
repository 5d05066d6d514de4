"""The host: its name, its machine id (hashed), kernel, system and memory."""

import hashlib
import hmac
import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fsmend_agent import __version__
from fsmend_agent.event import text
from fsmend_agent.sysfs import read_text
from fsmend_proto.v1 import inventory_pb2

# machine-id(5) asks not to show the id: applications derive their own from it. Another constant would make every host
# a new one, so it stays as it is.
_APPLICATION = bytes.fromhex("7c1d3ff05e0b4f5e9a9c1f3b6f4c2a68")


@dataclass(frozen=True, slots=True)
class Roots:
    """Where the host is read from."""

    sys: Path = Path("/sys")
    proc: Path = Path("/proc")
    etc: Path = Path("/etc")


HERE = Roots()
"""This host."""


def machine_id(roots: Roots) -> str:
    """Return 32 hex digits that tell this installation from every other; empty when it has no machine id.

    The same computation in spirit as sd_id128_get_machine_app_specific(3): an HMAC-SHA256 keyed with the machine id.
    """
    raw = read_text(roots.etc / "machine-id")
    if len(raw) != 32 or not set(raw.lower()) <= set("0123456789abcdef"):  # as in a first boot: "uninitialized"
        return ""
    return hmac.new(bytes.fromhex(raw), _APPLICATION, hashlib.sha256).hexdigest()[:32]


def describe(roots: Roots, labels: Mapping[str, str]) -> inventory_pb2.Host:
    """Return the host without its capabilities."""
    kernel = roots.proc / "sys/kernel"
    return inventory_pb2.Host(
        name=name(roots),
        machine_id=machine_id(roots),
        kernel_release=read_text(kernel / "osrelease"),
        architecture=os.uname().machine,
        operating_system=operating_system(roots),
        agent_version=__version__,
        labels={text(key): text(value) for key, value in labels.items()},
        memory_bytes=memory_bytes(roots),
        boot_id=read_text(kernel / "random/boot_id"),
    )


def name(roots: Roots) -> str:
    """Return the host's name as the kernel has it."""
    return read_text(roots.proc / "sys/kernel/hostname")


def operating_system(roots: Roots) -> str:
    """Return the system's name for people; see os-release(5)."""
    fields = {}
    for line in read_text(roots.etc / "os-release").splitlines():
        key, _, value = line.partition("=")
        try:
            fields[key.strip()] = " ".join(shlex.split(value))
        except ValueError:  # an unclosed quote
            continue
    return fields.get("PRETTY_NAME") or " ".join(filter(None, (fields.get("NAME"), fields.get("VERSION_ID"))))


def memory_bytes(roots: Roots) -> int:
    """Return the memory that the kernel has."""
    for line in read_text(roots.proc / "meminfo").splitlines():
        words = line.split()
        if words[:1] == ["MemTotal:"] and len(words) > 1 and words[1].isdecimal():
            return int(words[1]) * 1024
    return 0
