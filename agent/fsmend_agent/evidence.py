"""Gather what a person needs to judge a filesystem from afar. Bounded, and nothing here makes a disk do anything."""

import json
import os
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from fsmend_agent import sysfs
from fsmend_agent.errors import DecodeError
from fsmend_agent.kernel import ext4, kmsg, mounts
from fsmend_proto.v1 import command_pb2 as pb

if TYPE_CHECKING:
    from fsmend_agent.filesystems import MountedFilesystem

FILE_LIMIT_BYTES = 128 * 1024
LINES_UNSAID = 200
LINES_LIMIT = 2000
# The log of a machine with a large ring; more than one pass over it would chase new lines for ever.
RECORDS_READ = 200_000
DEVICES_LIMIT = 64
DISKSTATS = Path("/proc/diskstats")

_ATTRIBUTES = (
    *("dev", "size", "ro", "stat", "inflight", "diskseq", "wwid", "serial", "loop/backing_file", "md/array_state"),
    *("md/degraded", "md/mismatch_cnt", "md/sync_action", "dm/name", "dm/suspended", "queue/rotational"),
    *("queue/scheduler", "device/state", "device/model", "device/vendor", "device/rev", "device/serial"),
    *("device/firmware_rev", "device/ioerr_cnt", "device/iotmo_cnt", "device/timeout"),
)
"""What is read of a device: plain attributes that the kernel answers from memory."""


def evidence_file(name: str, content: bytes, *, keep_end: bool = False) -> pb.EvidenceFile:
    """Make a file of at most FILE_LIMIT_BYTES, cut at its end, or with `keep_end` at its beginning."""
    cut = content[-FILE_LIMIT_BYTES:] if keep_end else content[:FILE_LIMIT_BYTES]
    return pb.EvidenceFile(name=name, content=cut, truncated=len(cut) < len(content))


def kernel_log(lines: int, path: str = kmsg.KMSG) -> pb.EvidenceFile:
    """Return the last lines of the kernel log, as `priority,sequence,usec text`.

    Args:
        lines: how many; 0 for LINES_UNSAID, never more than LINES_LIMIT.
        path: the log's device.

    Raises:
        OSError: EPERM without CAP_SYSLOG where dmesg is restricted.
    """
    tail: deque[bytes] = deque(maxlen=min(lines or LINES_UNSAID, LINES_LIMIT))
    fd = kmsg.open_log(from_start=True, path=path)
    try:
        for _ in range(RECORDS_READ):
            record = kmsg.read_record(fd)
            if record is None:
                break
            tail.append(b"(records were overwritten here)" if isinstance(record, kmsg.Lost) else _line(record))
    finally:
        os.close(fd)
    return evidence_file("kernel_log", b"\n".join(tail), keep_end=True)


def _line(record: bytes) -> bytes:
    """Return one record as a line; one that cannot be decoded as it is."""
    try:
        decoded = kmsg.decode(record)
    except DecodeError:
        return record
    level = decoded.facility << 3 | decoded.priority
    # Control characters stay escaped, so that one record is one line.
    text = record.partition(b";")[2].split(b"\n", 1)[0]
    return b"%d,%d,%d %s" % (level, decoded.sequence, decoded.usec, text)


def mount_table() -> pb.EvidenceFile:
    """Return mountinfo as the kernel writes it."""
    return evidence_file("mountinfo", mounts.MOUNTINFO.read_bytes())


def counters(filesystem: "MountedFilesystem", reading: pb.HealthReading) -> pb.EvidenceFile:
    """Return the filesystem's counters and, for ext4, its first and last error."""
    found: dict[str, object] = {
        "uuid": filesystem.uuid,
        "type": filesystem.type,
        "read_only": reading.read_only,
        "options": filesystem.options,
        "counters": dict(reading.counters),
        "sick": list(reading.sick),
    }
    if filesystem.type == "ext4" and filesystem.device_names:
        with suppress(OSError):
            told = ext4.error_counters(filesystem.device_names[0])
            found["first_error"] = told.first_error and asdict(told.first_error)
            found["last_error"] = told.last_error and asdict(told.last_error)
    return evidence_file(f"{filesystem.type}_health", _json(found))


def devices(filesystem: "MountedFilesystem", root: Path = sysfs.SYSFS) -> pb.EvidenceFile:
    """Return what sysfs tells of the filesystem's devices and of those below them."""
    block = root / "class/block"
    found = {name: _attributes(block / name) for name in below(filesystem.device_names, root)}
    return evidence_file("devices", _json(found))


def diskstats(filesystem: "MountedFilesystem", root: Path = sysfs.SYSFS, path: Path = DISKSTATS) -> pb.EvidenceFile:
    """Return the lines of /proc/diskstats for the filesystem's devices and those below them."""
    wanted = {name.encode() for name in below(filesystem.device_names, root)}
    lines = [line for line in path.read_bytes().splitlines() if line.split()[2:3] and line.split()[2] in wanted]
    return evidence_file("diskstats", b"\n".join(lines))


def below(names: Iterable[str], root: Path = sysfs.SYSFS) -> list[str]:
    """Return the devices and all that they are built from (partition, dm, md), at most DEVICES_LIMIT."""
    found: dict[str, None] = {}
    waiting = deque(names)
    while waiting and len(found) < DEVICES_LIMIT:
        name = waiting.popleft()
        if name not in found:
            found[name] = None
            waiting.extend(_next_below(root / "class/block" / name))
    return list(found)


def _next_below(folder: Path) -> Iterator[str]:
    """Yield what a device directly lies on."""
    yield from sysfs.names(folder / "slaves")
    if (folder / "partition").exists():
        yield folder.resolve().parent.name


def _attributes(folder: Path) -> dict[str, str]:
    """Return the attributes that this device has."""
    found = {name: sysfs.read_text(folder / name) for name in _ATTRIBUTES}
    return {name: text for name, text in found.items() if text}


def _json(value: object) -> bytes:
    """Return readable JSON; undecodable bytes were escaped when they were read."""
    return json.dumps(value, indent=1, sort_keys=True, default=str).encode("utf-8", "backslashreplace")
