"""What a known line of the kernel log looks like, and what it means; the tables are in the `_forms_…` modules.

Groups of a form's pattern mean the same in every form:

- `fs`: device that a filesystem goes by; `device`: device at fault (in btrfs's lines those differ)
- `ino` (decimal, or hexadecimal with 0x), `root` (btrfs subvolume)
- `sector` (512-byte units), `physical` (bytes from the start of the device)
- `errno` (any sign), `function` and `line` (place in the kernel's code)
- `suppressed`: how many lines were left out; `lost`: a report of an error was lost. Both make a Gap and no event.

Every other group is kept by its name in the event's fields.
"""

import re
from dataclasses import dataclass

from fsmend_proto.v1 import event_pb2 as pb

RESERVED = frozenset({"fs", "device", "ino", "root", "sector", "physical", "errno", "function", "line"})
GAP_GROUPS = frozenset({"suppressed", "lost"})


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a finding is, and how bad."""

    kind: "pb.EventKind.ValueType"
    severity: "pb.Severity.ValueType"
    errno: int = 0


@dataclass(frozen=True, slots=True)
class Form:
    """One form of line.

    Attributes:
        name: of the form, part of the signature.
        pattern: matched from the line's first byte.
        meaning: what the line says.
        refinements: first match of a pattern in the group `what` gives another meaning.
        key: groups whose text belongs to the signature, because it tells findings apart that are not the same.
        scrub: state of a scrub that the line tells of; 0 for every other line.
    """

    name: str
    pattern: re.Pattern[bytes]
    meaning: Meaning
    refinements: tuple[tuple[re.Pattern[bytes], Meaning], ...] = ()
    key: tuple[str, ...] = ()
    scrub: pb.ScrubState.ValueType = pb.SCRUB_STATE_UNSPECIFIED


def form(
    name: str,
    pattern: bytes,
    meaning: Meaning,
    *refinements: tuple[bytes, Meaning],
    key: tuple[str, ...] = (),
    scrub: pb.ScrubState.ValueType = pb.SCRUB_STATE_UNSPECIFIED,
) -> Form:
    """Compile a form; the line's text may hold any byte, so `.` matches all of them."""
    compiled = tuple((re.compile(refinement, re.DOTALL), other) for refinement, other in refinements)
    return Form(name, re.compile(pattern, re.DOTALL), meaning, compiled, key, scrub)


FS_ERROR = Meaning(pb.EVENT_KIND_FS_ERROR, pb.SEVERITY_ERROR)
FS_WARNING = Meaning(pb.EVENT_KIND_FS_ERROR, pb.SEVERITY_WARNING)
FS_IO = Meaning(pb.EVENT_KIND_FS_IO_ERROR, pb.SEVERITY_ERROR)
FS_IO_RETRIED = Meaning(pb.EVENT_KIND_FS_IO_ERROR, pb.SEVERITY_WARNING)
METADATA = Meaning(pb.EVENT_KIND_FS_METADATA_CORRUPTION, pb.SEVERITY_ERROR)
METADATA_CRITICAL = Meaning(pb.EVENT_KIND_FS_METADATA_CORRUPTION, pb.SEVERITY_CRITICAL)
DATA = Meaning(pb.EVENT_KIND_FS_DATA_CORRUPTION, pb.SEVERITY_ERROR)
SHUTDOWN = Meaning(pb.EVENT_KIND_FS_SHUTDOWN, pb.SEVERITY_CRITICAL)
READ_ONLY = Meaning(pb.EVENT_KIND_FS_READ_ONLY, pb.SEVERITY_CRITICAL)
CORRECTED = Meaning(pb.EVENT_KIND_FS_CORRECTED, pb.SEVERITY_NOTICE)
SPACE = Meaning(pb.EVENT_KIND_FS_SPACE, pb.SEVERITY_WARNING)
SCRUB = Meaning(pb.EVENT_KIND_FS_SCRUB, pb.SEVERITY_INFO)
DEVICE_IO = Meaning(pb.EVENT_KIND_DEVICE_IO_ERROR, pb.SEVERITY_ERROR)
MEDIUM = Meaning(pb.EVENT_KIND_DEVICE_MEDIUM_ERROR, pb.SEVERITY_ERROR)
MEDIUM_CORRECTED = Meaning(pb.EVENT_KIND_DEVICE_MEDIUM_ERROR, pb.SEVERITY_WARNING)
LINK = Meaning(pb.EVENT_KIND_DEVICE_LINK_ERROR, pb.SEVERITY_WARNING)
LINK_DOWN = Meaning(pb.EVENT_KIND_DEVICE_LINK_ERROR, pb.SEVERITY_ERROR)
GONE = Meaning(pb.EVENT_KIND_DEVICE_GONE, pb.SEVERITY_CRITICAL)
LOG_WARNING = Meaning(pb.EVENT_KIND_KERNEL_LOG, pb.SEVERITY_WARNING)
LOG_NOTICE = Meaning(pb.EVENT_KIND_KERNEL_LOG, pb.SEVERITY_NOTICE)
