"""Clocks, and the few ways to begin an Event.

A source converts a decoded record into an Event with `new_event` and fills in what it knows; nothing between source and
store changes the shape again.
"""

import time
from dataclasses import dataclass, field
from pathlib import Path

from fsmend_proto.v1 import event_pb2 as pb

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
RAW_LIMIT_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Clock:
    """The host's clocks: wall time for people, boot time for order and distance.

    `boot_ns` is CLOCK_BOOTTIME: monotonic, and it goes on while the machine sleeps. See clock_gettime(2).
    """

    boot_id: str = field(default_factory=lambda: BOOT_ID.read_text().strip())

    def now(self) -> pb.Clocks:
        """Read both clocks."""
        return self.at(time.clock_gettime_ns(time.CLOCK_BOOTTIME))

    def at(self, boot_ns: int) -> pb.Clocks:
        """Give the wall time that belongs to `boot_ns`, as the clocks stand to each other now."""
        offset_ns = time.time_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        return pb.Clocks(wall_ns=max(0, boot_ns + offset_ns), boot_ns=boot_ns, boot_id=self.boot_id)

    def from_monotonic(self, monotonic_ns: int) -> pb.Clocks:
        """Convert a CLOCK_MONOTONIC stamp, which stands still while the machine sleeps (the kernel log uses it)."""
        ahead_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        return self.at(monotonic_ns + ahead_ns)


def new_event(
    source: str,
    kind: "pb.EventKind.ValueType",
    severity: "pb.Severity.ValueType",
    clocks: pb.Clocks,
    *,
    message: str,
    signature: str,
) -> pb.Event:
    """Begin an event with what every event has.

    Args:
        source: the source's name.
        kind: what was found.
        severity: how bad it is for the unit.
        clocks: when it happened.
        message: one line for a person. Surrogates from undecodable bytes are replaced: protobuf strings are UTF-8.
        signature: what makes two occurrences the same finding; storms are coalesced by it.
    """
    return pb.Event(
        source=source,
        kind=kind,
        severity=severity,
        clocks=clocks,
        count=1,
        message=text(message),
        signature=text(signature),
    )


def undecoded(source: str, clocks: pb.Clocks, interface: str, raw: bytes, reason: str) -> pb.Event:
    """Keep what could not be decoded: the first 4,096 raw bytes, the size, and why."""
    event = new_event(
        source,
        pb.EVENT_KIND_UNDECODED,
        pb.SEVERITY_WARNING,
        clocks,
        message=f"{interface}: {reason}",
        signature=f"undecoded {interface} {reason}",
    )
    event.undecoded.interface = interface
    event.undecoded.raw = raw[:RAW_LIMIT_BYTES]
    event.undecoded.raw_size = len(raw)
    event.undecoded.reason = text(reason)
    return event


def text(value: str | bytes) -> str:
    """Make a string that protobuf accepts from anything the kernel may print."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return value.encode("utf-8", "backslashreplace").decode("utf-8")
