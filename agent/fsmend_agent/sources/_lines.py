"""Turn a record of the kernel log into an event or a gap; pure, apart from the tables that it asks for names."""

import re
from typing import TYPE_CHECKING

from fsmend_agent.event import text
from fsmend_agent.kernel.kmsg import KmsgRecord
from fsmend_agent.sources._forms import GAP_GROUPS, LOG_WARNING, RESERVED, Form, Meaning
from fsmend_agent.sources._forms_block import ATA, BLOCK, LOST, MD, NVME, SCSI
from fsmend_agent.sources._forms_filesystem import BTRFS, EXT4, XFS
from fsmend_agent.sources._units import Unit, Units
from fsmend_proto.v1 import event_pb2 as pb
from fsmend_proto.v1 import record_pb2

if TYPE_CHECKING:
    from fsmend_agent.event import Clock

_FORMS: dict[str, tuple[Form, ...]] = {
    "ext4": EXT4,
    "xfs": XFS,
    "btrfs": BTRFS,
    "block": BLOCK,
    "scsi": SCSI,
    "ata": ATA,
    "nvme": NVME,
    "md": MD,
    "other": (),
}
_FILESYSTEMS = frozenset({"ext4", "xfs", "btrfs"})
# One look at how a line begins decides: most lines of a kernel log are not about storage.
_PREFIX = re.compile(
    rb"(?P<ext4>EXT4-fs|Aborting journal|JBD2:)|(?P<xfs>XFS \()|(?P<btrfs>BTRFS)"
    rb"|(?P<block>blk_|I/O error|Buffer I/O|critical |operation not|timeout error|recoverable |device (?:off|res)"
    rb"|protection error|reservation |kernel resource|duration |open zones|active zones|invalid error)"
    rb"|(?P<scsi>sd |scsi )|(?P<ata>ata\d)|(?P<nvme>nvme)|(?P<md>md[:/])"
    rb"|(?P<other>device-mapper:|F2FS-fs|mpt\dsas|megaraid|hpsa |aacraid|loop\d|dm-\d)"
)
# These begin with a name that may be anything.
_WRITEBACK, _LOST, _SUPPRESSED = b": writeback error on inode ", b": lost fi", b" callbacks suppressed"
_NUMBERS = re.compile(rb"0x[0-9a-f]+|\d+")
_U64_MAX = 2**64 - 1
_ERRNO_MAX = 4095
_TEMPLATE_BYTES = 160


def family_of(raw: bytes, start: int) -> str | None:
    """Return the family of forms to try on the line at `start`, empty for any; None when it is not about storage."""
    prefix = _PREFIX.match(raw, start)
    if prefix is not None:
        return prefix.lastgroup
    return "" if _SUPPRESSED in raw or _LOST in raw or _WRITEBACK in raw else None


def convert(record: KmsgRecord, family: str, units: Units, clock: "Clock") -> pb.Event | record_pb2.Gap | None:
    """Return what a record of a family of lines (`ext4`, `block` …; empty: unknown) means."""
    if _SUPPRESSED in record.text or _LOST in record.text:
        for form in LOST:
            if (match := form.pattern.match(record.text)) is not None:
                return _gap(record, match, units, clock)
    for form in _FORMS.get(family, BLOCK):
        match = form.pattern.match(record.text)
        if match is not None:
            return _event(record, form, match, family, units, clock)
    if not family or record.priority > 4 or record.continuation:
        return None
    return _unknown(record, clock)


def _event(
    record: KmsgRecord, form: Form, match: re.Match[bytes], family: str, units: Units, clock: "Clock"
) -> pb.Event:
    groups = {name: value for name, value in match.groupdict().items() if value is not None}
    meaning = _meaning(form, groups.get("what", b""))
    error = _number(groups.get("errno", b""), _ERRNO_MAX) or meaning.errno
    function = text(groups.get("function", b""))
    line = _number(groups.get("line", b""), 2**32 - 1)
    message = text(record.text)
    event = pb.Event(
        source="kmsg",
        kind=meaning.kind,
        severity=meaning.severity,
        clocks=clock.from_monotonic(min(record.usec * 1000, _U64_MAX >> 2)),
        count=1,
        errno=error,
        message=message,
        signature=_signature(form, groups, function, line, error),
    )
    log = event.kernel_log
    _fill_log(log, record)
    log.form, log.function, log.line = form.name, function, line
    for name, value in groups.items():
        if name not in RESERVED:
            log.fields[name] = text(value)
    if "ino" in groups:
        event.inode.ino = _number(groups["ino"], _U64_MAX)
        if "root" in groups:
            event.inode.subvolume = _number(groups["root"], _U64_MAX)
    _name_units(event, groups, family, units)
    if form.scrub:
        log_fields = {"devid": _number(groups.get("devid", b""), _U64_MAX), "status": 0}
        status = groups.get("status", b"0")
        log_fields["status"] = _number(status, 2**31 - 1) * (-1 if status.startswith(b"-") else 1)
        event.scrub.CopyFrom(pb.ScrubDetail(state=form.scrub, **log_fields))
    return event


def _name_units(event: pb.Event, groups: dict[str, bytes], family: str, units: Units) -> None:
    """Fill in filesystem, device and sectors."""
    sector = None
    if "sector" in groups:
        sector = _number(groups["sector"], _U64_MAX)
    elif "physical" in groups:
        sector = _number(groups["physical"], _U64_MAX) // 512
    if sector is not None:
        event.sectors.start = sector
        event.sectors.count = 1
    if "fs" in groups:
        name = text(groups["fs"])
        unit = units.by_filesystem(name)
        if unit.filesystem is None:
            kind = family if family in _FILESYSTEMS else ""
            unit = Unit(pb.FilesystemRef(type=kind, device_name=name), unit.device)
        if "device" in groups:
            unit = Unit(unit.filesystem, units.by_name(text(groups["device"])).device)
        unit.put_into(event)
    elif "device" in groups:
        unit = units.by_name(text(groups["device"]))
        (unit if sector is None else units.at_sector(unit, sector)).put_into(event)


def _meaning(form: Form, what: bytes) -> Meaning:
    return next((meaning for pattern, meaning in form.refinements if pattern.search(what)), form.meaning)


def _signature(form: Form, groups: dict[str, bytes], function: str, line: int, error: int) -> str:
    """Name form, place in the code and errno, and neither inode nor sector: those the coalescer looks at itself."""
    parts = [form.name]
    if function:
        parts.append(f"{function}:{line}" if line else function)
    parts += [text(groups[name]) for name in form.key if name in groups]
    if error:
        parts.append(f"errno {error}")
    return " ".join(parts)


def _unknown(record: KmsgRecord, clock: "Clock") -> pb.Event:
    """Keep a warning about storage that has no form; numbers are left out of its signature."""
    event = pb.Event(
        source="kmsg",
        kind=LOG_WARNING.kind,
        severity=pb.SEVERITY_WARNING if record.priority == 4 else pb.SEVERITY_ERROR,
        clocks=clock.from_monotonic(min(record.usec * 1000, _U64_MAX >> 2)),
        count=1,
        message=text(record.text),
        signature=f"log {text(_NUMBERS.sub(b'#', record.text[:_TEMPLATE_BYTES]))}",
    )
    _fill_log(event.kernel_log, record)
    return event


def _fill_log(log: pb.KernelLogDetail, record: KmsgRecord) -> None:
    log.priority, log.facility = record.priority, min(record.facility, 2**32 - 1)
    log.sequence, log.text = min(record.sequence, _U64_MAX), record.text


def _gap(record: KmsgRecord, match: re.Match[bytes], units: Units, clock: "Clock") -> record_pb2.Gap:
    """Turn what the kernel says to have lost or left out into a Gap."""
    groups = match.groupdict()
    if groups.keys() & GAP_GROUPS == {"suppressed"}:
        lost = _number(groups["suppressed"], _U64_MAX)
        return log_lost(clock, lost, text(record.text), record_pb2.GAP_REASON_LOG_SUPPRESSED)
    gap = record_pb2.Gap(
        reason=record_pb2.GAP_REASON_KERNEL_OVERFLOW,
        clocks=clock.from_monotonic(min(record.usec * 1000, _U64_MAX >> 2)),
        lost=1,
        lost_is_exact=True,
        source="kmsg",
        message=text(record.text),
    )
    unit = units.by_filesystem(text(groups["fs"]))
    gap.filesystem.CopyFrom(unit.filesystem or pb.FilesystemRef(device_name=text(groups["fs"])))
    return gap


def log_lost(
    clock: "Clock",
    lost: int,
    message: str,
    reason: "record_pb2.GapReason.ValueType" = record_pb2.GAP_REASON_LOG_LOST,
) -> record_pb2.Gap:
    """Make the Gap for `lost` lines of the log."""
    return record_pb2.Gap(
        reason=reason,
        clocks=clock.now(),
        lost=lost,
        lost_is_exact=True,
        source="kmsg",
        message=message,
    )


def _number(digits: bytes, limit: int) -> int:
    """Return the magnitude of a number of a line, at most `limit`; 0 for none."""
    digits = digits.lstrip(b"-")
    if not digits or len(digits) > 40:
        return limit if digits else 0
    return min(int(digits, 16) if digits.startswith(b"0x") else int(digits), limit)
