"""The tables of diagnosis: classes of error, and the incident codes they lead to.

A *family* is what becomes one incident: all classes of one family about one unit join. The code of the incident is the
code of the highest-ranked class present, so that it sharpens (FS_IO_ERRORS to DEVICE_MEDIUM_ERRORS) while its id stays.
The page docs/incidents.md says the same for people; a test compares them.
"""

import enum
from dataclasses import dataclass

from fsmend_proto.v1 import event_pb2


class Family(enum.Enum):
    """What joins into one incident."""

    INTEGRITY = "integrity"  # of a filesystem: can what it says be trusted, does it serve
    DEVICE = "device"  # of a device, with its filesystems' I/O errors as consequence
    TELEMETRY = "telemetry"  # of an agent: what it lost
    SILENCE = "silence"  # of an agent: whether it is there
    SOURCE = "source"  # of one source of an agent


class Proof(enum.Enum):
    """What may close an incident. Silence is not among them."""

    FS_CHECK = "filesystem check"
    FS_HEALTHY = "filesystem reads healthy"
    COUNTERS_CLEARED = "error counters cleared by a check"
    MOUNTED = "mounted again"
    STANDSTILL = "counters stood still under watch"
    DEVICE_CHECK = "device check"
    DEVICE_PASSED = "device reports passed"
    DEVICE_RETURNED = "device returned"
    DEVICE_REPLACED = "device replaced"
    CONNECTED = "agent connected"
    SOURCE_STARTED = "source started"


@dataclass(frozen=True, slots=True)
class IncidentCode:
    """One row of the table of codes.

    Attributes:
        code: stable name.
        family: what joins into it.
        rank: the higher one names the incident when several classes of a family are present.
        severity: at least.
        summary: one line; fields: host, unit, device, counts.
        meaning: what it means.
        seen_by: which evidence leads to it.
        action: what a person should do.
        closes: which proof closes it.
    """

    code: str
    family: Family
    rank: int
    severity: event_pb2.Severity.ValueType
    summary: str
    meaning: str
    seen_by: str
    action: str
    closes: str


@dataclass(frozen=True, slots=True)
class ErrorClass:
    """One class of error.

    Attributes:
        name: key of the soft-error rates in the configuration.
        code: of the incident it leads to.
        severity: what it adds to the incident.
        closed_by: proofs that close it, when they are not older than its latest error.
        consequence: explained by an open device incident below the filesystem.
        holds: is a result, no fault, when a scrub that we ordered finds it.
    """

    name: str
    code: str
    severity: event_pb2.Severity.ValueType
    closed_by: frozenset[Proof]
    consequence: bool = False
    holds: bool = False


_WARNING, _ERROR, _CRITICAL = event_pb2.SEVERITY_WARNING, event_pb2.SEVERITY_ERROR, event_pb2.SEVERITY_CRITICAL
_CHECKED = frozenset({Proof.FS_CHECK, Proof.FS_HEALTHY})
_SERVES = frozenset({Proof.MOUNTED, Proof.FS_HEALTHY})

CLASSES: dict[str, ErrorClass] = {
    row.name: row
    for row in (
        ErrorClass("fs_data", "FS_DATA_CORRUPTION", _ERROR, _CHECKED, holds=True),
        ErrorClass("fs_corrected", "FS_DATA_CORRUPTION", _WARNING, _CHECKED, holds=True),
        ErrorClass("fs_metadata", "FS_CORRUPTION", _ERROR, _CHECKED | {Proof.COUNTERS_CLEARED}, holds=True),
        ErrorClass("fs_shutdown", "FS_SHUTDOWN", _CRITICAL, _SERVES, consequence=True),
        ErrorClass("fs_read_only", "FS_READ_ONLY", _CRITICAL, _SERVES, consequence=True),
        ErrorClass(
            "fs_error",
            "FS_ERROR",
            _ERROR,
            _CHECKED | {Proof.COUNTERS_CLEARED, Proof.STANDSTILL},
            consequence=True,
            holds=True,
        ),
        ErrorClass("device_gone", "DEVICE_GONE", _CRITICAL, frozenset({Proof.DEVICE_RETURNED, Proof.DEVICE_REPLACED})),
        ErrorClass(
            "device_medium",
            "DEVICE_MEDIUM_ERRORS",
            _ERROR,
            frozenset({Proof.DEVICE_CHECK, Proof.DEVICE_REPLACED}),
        ),
        ErrorClass(
            "device_health",
            "DEVICE_HEALTH",
            _ERROR,
            frozenset({Proof.DEVICE_CHECK, Proof.DEVICE_PASSED, Proof.DEVICE_REPLACED}),
        ),
        ErrorClass(
            "device_io",
            "DEVICE_IO_ERRORS",
            _ERROR,
            frozenset({Proof.DEVICE_CHECK, Proof.DEVICE_REPLACED, Proof.STANDSTILL, Proof.FS_CHECK}),
        ),
        ErrorClass(
            "device_link",
            "DEVICE_LINK_ERRORS",
            _WARNING,
            frozenset({Proof.DEVICE_REPLACED, Proof.STANDSTILL}),
        ),
        ErrorClass(
            "fs_io",
            "FS_IO_ERRORS",
            _ERROR,
            _CHECKED | {Proof.DEVICE_CHECK, Proof.DEVICE_REPLACED, Proof.STANDSTILL},
        ),
        ErrorClass("telemetry_loss", "TELEMETRY_LOSS", _WARNING, frozenset({Proof.STANDSTILL})),
        ErrorClass("not_watched", "TELEMETRY_LOSS", _WARNING, frozenset({Proof.STANDSTILL})),
        ErrorClass("agent_silent", "AGENT_SILENT", _ERROR, frozenset({Proof.CONNECTED})),
        ErrorClass("source_broken", "SOURCE_BROKEN", _ERROR, frozenset({Proof.SOURCE_STARTED})),
    )
}

CODES: dict[str, IncidentCode] = {
    row.code: row
    for row in (
        IncidentCode(
            code="FS_DATA_CORRUPTION",
            family=Family.INTEGRITY,
            rank=60,
            severity=_WARNING,
            summary="{host}: {unit} holds data that fails its checksum: {counts}",
            meaning="Blocks of a filesystem with checksums no longer read as they were written. "
            "Where a second copy is good, readers still get the right data and a scrub restores the bad copy.",
            seen_by="btrfs device statistics (corruption and generation errors), the kernel log's checksum lines, the "
            "uncorrectable errors of a scrub. Errors that btrfs corrected by itself count by their rate.",
            action="Let the scrub run that the policy orders. When errors stay uncorrectable, restore the files that "
            "the evidence names from a backup; when they come back on the same device, replace it.",
            closes="A scrub that ends healed or clean and is newer than the latest error, or a health reading that is.",
        ),
        IncidentCode(
            code="FS_CORRUPTION",
            family=Family.INTEGRITY,
            rank=50,
            severity=_ERROR,
            summary="{host}: {unit} has corrupt metadata: {counts}",
            meaning="Metadata on disk failed the filesystem's own checks. Without an error of the device below it is "
            "silent corruption: memory, controller, firmware or a kernel bug are as likely as the medium.",
            seen_by="fanotify (inode, path, errno), the trace event and the kernel log (function and line), ext4's "
            "counters in the superblock, XFS health. All of them about one filesystem are one incident.",
            action="ext4: save the evidence, take a backup of what still reads, plan an unmount and run e2fsck. XFS: "
            "repair online where the kernel can, otherwise unmount and run xfs_repair. btrfs: scrub.",
            closes="A check that ends healed or clean, every sick part healthy again, or ext4's error counters cleared "
            "by e2fsck; each newer than the latest error.",
        ),
        IncidentCode(
            code="FS_SHUTDOWN",
            family=Family.INTEGRITY,
            rank=40,
            severity=_CRITICAL,
            summary="{host}: {unit} has shut down and serves nothing",
            meaning="The filesystem stopped serving to protect what is on disk.",
            seen_by="The kernel log, fanotify, XFS's health monitor.",
            action="Find the reason in the evidence (log I/O, corruption, a device that went away), then unmount, "
            "check and mount again.",
            closes="Mounted again after the shutdown, or a health reading that is newer.",
        ),
        IncidentCode(
            code="FS_READ_ONLY",
            family=Family.INTEGRITY,
            rank=30,
            severity=_CRITICAL,
            summary="{host}: {unit} was turned read-only by errors",
            meaning="Errors made the kernel refuse further writes; reads still work.",
            seen_by="The kernel log and the mount table.",
            action="Move the service away, check the filesystem offline, mount it again.",
            closes="Mounted again after it turned read-only, or a health reading that is newer.",
        ),
        IncidentCode(
            code="FS_ERROR",
            family=Family.INTEGRITY,
            rank=20,
            severity=_WARNING,
            summary="{host}: {unit} reported errors of unstated nature: {counts}",
            meaning="The filesystem counted an error and did not say which.",
            seen_by="ext4's counters in the superblock, also from before the agent watched; fanotify; the kernel log.",
            action="Read the places and the kernel log in the evidence; check the filesystem at the next chance.",
            closes="A clean check, cleared counters, or counters that stood still for the configured time while the "
            "agent was connected and lost nothing.",
        ),
        IncidentCode(
            code="DEVICE_GONE",
            family=Family.DEVICE,
            rank=60,
            severity=_CRITICAL,
            summary="{host}: device {device} is gone",
            meaning="The device no longer answers or left the bus. Its filesystems' errors are the consequence.",
            seen_by="Kernel events of removal, the kernel log, missing btrfs devices.",
            action="Look at power, cable and slot; replace the device when it does not return.",
            closes="The device returned, or the inventory shows its filesystems on other devices.",
        ),
        IncidentCode(
            code="DEVICE_MEDIUM_ERRORS",
            family=Family.DEVICE,
            rank=50,
            severity=_ERROR,
            summary="{host}: device {device} cannot read or write its medium: {counts}",
            meaning="Sectors are unreadable or unwritable; more usually follow.",
            seen_by="Block layer errors of the medium, the kernel log, SMART; I/O errors of its filesystems join.",
            action="Replace the device soon. Until then a scrub or a rewrite moves what is still readable.",
            closes="A passed self-test that is newer than the latest error, or the device replaced.",
        ),
        IncidentCode(
            code="DEVICE_HEALTH",
            family=Family.DEVICE,
            rank=40,
            severity=_WARNING,
            summary="{host}: device {device} predicts its own failure",
            meaning="SMART or the NVMe health log crossed a threshold of the device.",
            seen_by="The health log.",
            action="Plan the replacement.",
            closes="The device reports passed again, a passed self-test, or the device replaced.",
        ),
        IncidentCode(
            code="DEVICE_IO_ERRORS",
            family=Family.DEVICE,
            rank=30,
            severity=_ERROR,
            summary="{host}: device {device} fails requests: {counts}",
            meaning="The block layer failed requests without naming the medium as reason.",
            seen_by="The block layer's trace event and the kernel log, by their rate at distinct sectors; I/O errors "
            "of its filesystems join.",
            action="Look at the device's health, its path and its neighbours on the same path.",
            closes="Counters that stood still for the configured time while the agent was connected and lost nothing, "
            "a clean check of the device or of the filesystem on it, or the device replaced.",
        ),
        IncidentCode(
            code="DEVICE_LINK_ERRORS",
            family=Family.DEVICE,
            rank=20,
            severity=_WARNING,
            summary="{host}: the path to device {device} is unreliable: {counts}",
            meaning="Resets, timeouts or checksum errors on the cable or bus; the medium may be well.",
            seen_by="The kernel log and the health log's interface counters, by their rate.",
            action="Reseat or replace the cable; look at what else hangs on the same path.",
            closes="Counters that stood still for the configured time while the agent was connected and lost nothing, "
            "or the device replaced.",
        ),
        IncidentCode(
            code="FS_IO_ERRORS",
            family=Family.DEVICE,
            rank=10,
            severity=_ERROR,
            summary="{host}: {unit} meets I/O errors: {counts}",
            meaning="The filesystem could not read or write; the device below has not said why yet. When it does, "
            "this incident takes the device's code and keeps its id.",
            seen_by="btrfs device statistics (read, write and flush errors), the kernel log, fanotify with EIO.",
            action="Look for errors of the device or its path on the same host.",
            closes="A clean check, a newer health reading, counters that stood still for the configured time, or the "
            "device replaced.",
        ),
        IncidentCode(
            code="TELEMETRY_LOSS",
            family=Family.TELEMETRY,
            rank=10,
            severity=_WARNING,
            summary="{host}: telemetry was lost: {counts}",
            meaning="The agent or the kernel lost reports. What was not seen is not healthy.",
            seen_by="Gap records, with their reason and count.",
            action="Read the reason: a full spool wants space, an overrun a larger buffer, a rejected record a report.",
            closes="No further loss for the configured time while the agent was connected.",
        ),
        IncidentCode(
            code="AGENT_SILENT",
            family=Family.SILENCE,
            rank=10,
            severity=_ERROR,
            summary="{host}: the agent is silent",
            meaning="The collector hears nothing from the host: it is down, cut off, or its agent is.",
            seen_by="The collector's own record of connections.",
            action="Look whether the host is up; start the agent; look at the network between.",
            closes="The agent is connected again; what happened meanwhile comes from its spool.",
        ),
        IncidentCode(
            code="SOURCE_BROKEN",
            family=Family.SOURCE,
            rank=10,
            severity=_ERROR,
            summary="{host}: a source of the agent broke: {unit}",
            meaning="One interface of the kernel is no longer read; what it alone would show is unseen.",
            seen_by="The agent's report on its sources.",
            action="Read the reason; restart the agent when it does not recover.",
            closes="The source started again.",
        ),
    )
}

CLASS_OF_KIND: dict[int, str] = {
    event_pb2.EVENT_KIND_FS_ERROR: "fs_error",
    event_pb2.EVENT_KIND_FS_METADATA_CORRUPTION: "fs_metadata",
    event_pb2.EVENT_KIND_FS_DATA_CORRUPTION: "fs_data",
    event_pb2.EVENT_KIND_FS_CORRECTED: "fs_corrected",
    event_pb2.EVENT_KIND_FS_IO_ERROR: "fs_io",
    event_pb2.EVENT_KIND_FS_SHUTDOWN: "fs_shutdown",
    event_pb2.EVENT_KIND_FS_READ_ONLY: "fs_read_only",
    event_pb2.EVENT_KIND_DEVICE_IO_ERROR: "device_io",
    event_pb2.EVENT_KIND_DEVICE_MEDIUM_ERROR: "device_medium",
    event_pb2.EVENT_KIND_DEVICE_LINK_ERROR: "device_link",
    event_pb2.EVENT_KIND_DEVICE_GONE: "device_gone",
    event_pb2.EVENT_KIND_DEVICE_HEALTH: "device_health",
    event_pb2.EVENT_KIND_SOURCE_STATE: "source_broken",
}
"""Which class an event's kind belongs to; kinds that are no errors are missing."""

CODE_OF_CLASS: dict[str, IncidentCode] = {name: CODES[row.code] for name, row in CLASSES.items()}
FAMILY_OF_CLASS: dict[str, str] = {name: row.family.value for name, row in CODE_OF_CLASS.items()}
