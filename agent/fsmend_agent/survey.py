"""Find out what this kernel and these tools make visible and repairable: the capabilities of host and filesystems."""

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from fsmend_agent import actions, coverage, sources
from fsmend_agent.errors import AgentError
from fsmend_agent.event import text
from fsmend_agent.filesystems import MountedFilesystem
from fsmend_agent.sysfs import read_text
from fsmend_agent.xfs.capability import facts
from fsmend_proto.v1 import inventory_pb2

TOOLS = {
    "btrfs": "btrfs-progs: evidence about a btrfs",
    "xfs_scrub": "xfsprogs: check and repair a whole mounted XFS",
    "xfs_healer": "xfsprogs: the kernel's own companion that repairs XFS as errors are reported",
    "e2fsck": "e2fsprogs: check an unmounted ext4",
    "smartctl": "smartmontools: health logs of disks",
}
"""Programs that a source or an action makes use of, and what each is good for."""

# xfsprogs keeps xfs_healer (7.0) in a folder of its own.
_TOOL_FOLDERS = (
    *("/usr/sbin", "/usr/bin", "/sbin", "/bin", "/usr/local/sbin", "/usr/local/bin"),
    *("/usr/libexec/xfsprogs", "/usr/lib/xfsprogs"),
)

# linux/capability.h
_CAPABILITIES = {
    21: ("sys_admin", "fanotify, tracefs, mounts and scrubs"),
    2: ("dac_read_search", "paths of files in reports"),
    34: ("syslog", "the kernel log"),
}


def capabilities(kernel_release: str = "") -> list[inventory_pb2.Capability]:
    """Return what the host as a whole has: sources, tools, kernel facts and this process's privileges.

    Args:
        kernel_release: as `uname -r`; the running kernel's when empty.
    """
    found = [_probe_source(name, source) for name, source in sources.discover().items()]
    for name, use in TOOLS.items():
        path = _find_tool(name)
        found.append(_capability(f"tool.{name}", bool(path), path or f"not installed ({use})"))
    found += _kernel_facts(coverage.kernel_version(kernel_release or os.uname().release))
    return found + _privileges()


def filesystem_capabilities(
    filesystem: MountedFilesystem,
    general: Sequence[inventory_pb2.Capability],
    kernel_release: str,
    *,
    features: Iterable[str] = (),
    clone: bool = False,
) -> list[inventory_pb2.Capability]:
    """Return what can be seen and repaired of one filesystem. Blocks.

    Args:
        filesystem: the one in question.
        general: what `capabilities` returned: an interface that the host lacks shows nothing of any filesystem.
        kernel_release: as `uname -r`.
        features: of the filesystem, as in the inventory.
        clone: its UUID is also another's, so that no command can name it.
    """
    lacking = {one.name: one.reason for one in general if not one.available}
    known = {one.name for one in general}
    found = []
    for fact in coverage.facts(filesystem.type, coverage.kernel_version(kernel_release), frozenset(features)):
        if fact.name in lacking:
            found.append(_capability(fact.name, False, lacking[fact.name]))
        elif fact.name in known or not fact.name.startswith("source."):
            found.append(_capability(fact.name, fact.available, fact.reason))
    found += [_probe_action(name, action, filesystem) for name, action in actions.discover().items()]
    if filesystem.type == "xfs":
        found += _xfs_facts(filesystem)
    if clone:
        found.append(_capability("target.uuid", False, "a clone with the same UUID is mounted: no command can name it"))
    elif not filesystem.uuid:
        found.append(_capability("target.uuid", False, "its UUID is unknown: no command can name it"))
    for capability in found:
        capability.filesystem_uuid = filesystem.uuid
    return found


def _find_tool(name: str) -> str:
    """Return where a program is installed, whatever the caller's PATH says; empty when it is not."""
    return next((path for folder in _TOOL_FOLDERS if os.access(path := f"{folder}/{name}", os.X_OK)), "")


def _capability(name: str, available: bool, reason: str) -> inventory_pb2.Capability:
    """Return a Capability with a reason that protobuf takes."""
    return inventory_pb2.Capability(name=name, available=available, reason=text(reason))


def _probe_source(name: str, source: type[sources.Source]) -> inventory_pb2.Capability:
    """Return what a source says of itself; a probe that fails is an answer too."""
    try:
        capability = source.probe()
    except (OSError, AgentError, sources.SourceUnavailableError) as error:
        return _capability(f"source.{name}", False, str(error))
    return capability if capability.reason else _capability(f"source.{name}", capability.available, source.covers)


def _probe_action(name: str, action: type[actions.Action], filesystem: MountedFilesystem) -> inventory_pb2.Capability:
    """Return whether an action could run there; a probe that fails is an answer too."""
    try:
        return action.probe(filesystem)
    except (OSError, AgentError) as error:
        return _capability(f"action.{name}", False, str(error))


def _xfs_facts(filesystem: MountedFilesystem) -> list[inventory_pb2.Capability]:
    """Return what an XFS has for repair; one that does not answer has nothing to tell."""
    try:
        return [_capability(*fact) for fact in facts(filesystem)]
    except (OSError, AgentError) as error:
        return [_capability("xfs.scrub", False, str(error))]


def _kernel_facts(version: coverage.Version) -> list[inventory_pb2.Capability]:
    """Return what the kernel is too old for."""
    release = ".".join(str(number) for number in version)
    since = (
        ("kernel.diskseq", (5, 15, 0), "tells a reused device name from the same disk"),
        ("kernel.fs_uuid", (6, 9, 0), "tells a mounted filesystem's UUID without reading its device"),
        ("kernel.xfs_health_monitor", coverage.HEALTH_MONITOR, "XFS reports its health by itself"),
    )
    return [
        _capability(
            name, version >= first, use if version >= first else f"Linux {release} is older than {_dots(first)}: {use}"
        )
        for name, first, use in since
    ]


def _dots(version: coverage.Version) -> str:
    """Return a version as people write it."""
    return f"{version[0]}.{version[1]}"


def _privileges(status: Path = Path("/proc/self/status")) -> list[inventory_pb2.Capability]:
    """Return which of the needed capabilities(7) this process has in effect."""
    found = re.search(r"^CapEff:\s*([0-9a-f]+)$", read_text(status), re.MULTILINE)
    effective = int(found[1], 16) if found else 0
    return [
        _capability(f"privilege.{name}", bool(effective >> bit & 1), f"for {use}")
        for bit, (name, use) in _CAPABILITIES.items()
    ]
