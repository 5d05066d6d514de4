r"""Lines that the block layer, its drivers and md log (block/blk-core.c, fs/buffer.c, drivers/{scsi,ata,nvme,md})."""

import errno

from fsmend_agent.sources._forms import (
    CORRECTED,
    DEVICE_IO,
    FS_ERROR,
    FS_IO,
    GONE,
    LINK,
    LINK_DOWN,
    LOG_NOTICE,
    LOG_WARNING,
    MEDIUM,
    MEDIUM_CORRECTED,
    Form,
    Meaning,
    form,
)
from fsmend_proto.v1 import event_pb2 as pb

# Names and errno of blk_errors[] in block/blk-core.c; what is not the device's fault is a warning or less.
BLOCK_STATUS: dict[bytes, Meaning] = {
    b"I/O": Meaning(pb.EVENT_KIND_DEVICE_IO_ERROR, pb.SEVERITY_ERROR, errno.EIO),
    b"critical medium": Meaning(pb.EVENT_KIND_DEVICE_MEDIUM_ERROR, pb.SEVERITY_ERROR, errno.ENODATA),
    b"critical target": Meaning(pb.EVENT_KIND_DEVICE_IO_ERROR, pb.SEVERITY_ERROR, errno.EREMOTEIO),
    b"critical nexus": Meaning(pb.EVENT_KIND_DEVICE_LINK_ERROR, pb.SEVERITY_ERROR, errno.EBADE),
    b"critical space allocation": Meaning(pb.EVENT_KIND_DEVICE_IO_ERROR, pb.SEVERITY_ERROR, errno.ENOSPC),
    b"protection": Meaning(pb.EVENT_KIND_DEVICE_MEDIUM_ERROR, pb.SEVERITY_ERROR, errno.EILSEQ),
    b"timeout": Meaning(pb.EVENT_KIND_DEVICE_LINK_ERROR, pb.SEVERITY_ERROR, errno.ETIMEDOUT),
    b"recoverable transport": Meaning(pb.EVENT_KIND_DEVICE_LINK_ERROR, pb.SEVERITY_WARNING, errno.ENOLINK),
    b"device offline": Meaning(pb.EVENT_KIND_DEVICE_GONE, pb.SEVERITY_CRITICAL, errno.ENODEV),
    b"duration limit exceeded": Meaning(pb.EVENT_KIND_DEVICE_IO_ERROR, pb.SEVERITY_WARNING, errno.ETIME),
    b"reservation conflict": Meaning(pb.EVENT_KIND_KERNEL_LOG, pb.SEVERITY_WARNING, errno.EBADE),
    b"kernel resource": Meaning(pb.EVENT_KIND_KERNEL_LOG, pb.SEVERITY_WARNING, errno.ENOMEM),
    b"device resource": Meaning(pb.EVENT_KIND_KERNEL_LOG, pb.SEVERITY_WARNING, errno.EBUSY),
    b"open zones exceeded": Meaning(pb.EVENT_KIND_KERNEL_LOG, pb.SEVERITY_WARNING, errno.ETOOMANYREFS),
    b"active zones exceeded": Meaning(pb.EVENT_KIND_KERNEL_LOG, pb.SEVERITY_WARNING, errno.EOVERFLOW),
    b"operation not supported": Meaning(pb.EVENT_KIND_KERNEL_LOG, pb.SEVERITY_NOTICE, errno.EOPNOTSUPP),
    b"invalid": Meaning(pb.EVENT_KIND_KERNEL_LOG, pb.SEVERITY_WARNING, errno.EINVAL),
}

BLOCK: tuple[Form, ...] = (
    form(
        "block_error",
        rb"(?:blk_update_request: )?(?P<what>[\w/ ]{3,30}?) error, dev (?P<device>[^\s,]+), sector (?P<sector>\d+)"
        rb"(?: op 0x[0-9a-f]+:\((?P<operation>\w+)\))?",
        DEVICE_IO,
        *((rb"\A" + name + rb"\Z", meaning) for name, meaning in BLOCK_STATUS.items()),
        key=("what", "operation"),
    ),
    form(
        "buffer_error",
        rb"Buffer I/O error on dev(?:ice)? (?P<device>[^\s,]+), logical block (?P<block>\d+)(?:, (?P<what>.*))?",
        DEVICE_IO,
        key=("what",),
    ),
    form(
        "iomap_writeback",
        rb"(?P<fs>[\w!-]+): writeback error on inode (?P<ino>\d+), offset (?P<offset>\d+), sector (?P<sector>\d+)",
        FS_IO,
    ),
)

_SD = rb"sd \S+ \[(?P<device>\w+)\] "

SCSI: tuple[Form, ...] = (
    form(
        "scsi_sense",
        _SD + rb"(?:tag#\d+ )?Sense Key : (?P<what>[\w /]+?) \[\w+\]",
        LOG_WARNING,
        (rb"Medium Error", MEDIUM),
        (rb"Hardware Error", DEVICE_IO),
        (rb"Recovered Error", MEDIUM_CORRECTED),
        (rb"Aborted Command", LINK),
        (rb"Not Ready", LINK_DOWN),
        (rb"Illegal Request|Unit Attention|No Sense|Data Protect", LOG_NOTICE),
        key=("what",),
    ),
    form(
        "scsi_add_sense",
        _SD + rb"(?:tag#\d+ )?Add\. Sense: (?P<what>.*)",
        LOG_WARNING,
        (rb"(?i)unrecovered read|read error|write error|record not found|no index", MEDIUM),
        (rb"(?i)failure prediction|defect list", MEDIUM_CORRECTED),
        key=("what",),
    ),
    form(
        "scsi_failed",
        _SD + rb"(?:tag#\d+ )?(?:UNKNOWN\(0x\w+\)|FAILED) Result: hostbyte=(?P<hostbyte>\w+) "
        rb"driverbyte=(?P<driverbyte>\w+)",
        LOG_WARNING,
        key=("hostbyte", "driverbyte"),
    ),
    form(
        "scsi_offline",
        rb"sd \S+ (?:\[(?P<device>\w+)\] )?(?:rejecting I/O to (?:offline|dead) device|Device offlined|"
        rb"Device not ready.*offlin)",
        GONE,
    ),
    form("scsi_offlined", rb"scsi \S+ Device offlined", GONE),
)

ATA: tuple[Form, ...] = (
    form(
        "ata_media",
        rb"(?P<port>ata\d+(?:\.\d+)?): error: \{[^}]*\b(?P<what>UNC|IDNF|AMNF)\b[^}]*\}",
        MEDIUM,
        key=("port",),
    ),
    form("ata_bus", rb"(?P<port>ata\d+(?:\.\d+)?): error: \{[^}]*\b(?P<what>ICRC|ABRT)\b[^}]*\}", LINK, key=("port",)),
    form("ata_disabled", rb"(?P<port>ata\d+(?:\.\d+)?): disable(?:d|\sdevice)", GONE, key=("port",)),
    form(
        "ata_reset",
        rb"(?P<port>ata\d+(?:\.\d+)?): (?P<what>hard resetting link|soft resetting (?:link|port))",
        LINK,
        key=("port",),
    ),
    form(
        "ata_link_down",
        rb"(?P<port>ata\d+(?:\.\d+)?): (?P<what>COMRESET failed|link is slow to respond|SRST failed|"
        rb"softreset failed|hardreset failed|reset failed|limiting SATA link speed|SATA link down)",
        LINK_DOWN,
        key=("port", "what"),
    ),
    form(
        "ata_exception",
        rb"(?P<port>ata\d+(?:\.\d+)?): exception Emask (?P<emask>0x[0-9a-f]+) .*?SErr (?P<serror>0x[0-9a-f]+)",
        LINK,
        key=("port", "emask"),
    ),
    form("ata_failed", rb"(?P<port>ata\d+(?:\.\d+)?): failed command: (?P<what>.*)", LOG_WARNING, key=("port", "what")),
)

NVME: tuple[Form, ...] = (
    form(
        "nvme_status",
        rb"(?P<device>nvme\d+(?:c\d+)?n\d+): (?P<operation>[\w ]+)\(0x[0-9a-f]+\) @ LBA (?P<lba>\d+), "
        rb"(?P<blocks>\d+) blocks, "
        rb"(?P<what>.*?) \(sct 0x(?P<sct>[0-9a-f]+) / sc 0x(?P<sc>[0-9a-f]+)\)",
        DEVICE_IO,
        (rb"(?i)unrecovered read|write fault|end-to-end|guard check|media", MEDIUM),
        (rb"(?i)path|transport|abort", LINK),
        key=("sct", "sc"),
    ),
    form(
        "nvme_timeout",
        rb"nvme (?P<controller>nvme\d+): I/O .*?QID \d+.* timeout(?P<what>.*)",
        LINK,
        key=("controller",),
    ),
    form("nvme_down", rb"nvme (?P<controller>nvme\d+): controller is down; will reset", LINK_DOWN, key=("controller",)),
    form(
        "nvme_reset",
        rb"nvme (?P<controller>nvme\d+): (?P<what>resetting controller|Abort status)",
        LINK,
        key=("controller",),
    ),
    form(
        "nvme_removed",
        rb"nvme (?P<controller>nvme\d+): (?P<what>Remov\w+ after probe failure|Disabling device after reset failure|"
        rb"Device not ready; aborting|failed to mark controller|frozen state error detected)",
        GONE,
        key=("controller",),
    ),
)

_MD = rb"md(?:/[\w]+)?:(?P<array>[\w-]+): "

MD: tuple[Form, ...] = (
    form("md_disk_failure", _MD + rb"Disk failure on (?P<device>[^\s,]+), disabling device", GONE),
    form(
        "md_corrected",
        _MD + rb"read error corrected \((?P<sectors>\d+) sectors at (?P<sector>\d+) on (?P<device>[^\s)]+)\)",
        CORRECTED,
    ),
    form(
        "md_uncorrectable",
        _MD + rb"read error (?:not correctable|NOT corrected!!) \(sector (?P<sector>\d+) on (?P<device>[^\s)]+)\)",
        MEDIUM,
    ),
    form("md_unrecoverable", _MD + rb"unrecoverable I/O (?:read )?error for block (?P<block>\d+)", DEVICE_IO),
    form(
        "md_redirected",
        _MD + rb"(?:redirecting sector|(?P<device>\w+): rescheduling sector) (?P<array_sector>\d+)",
        MEDIUM_CORRECTED,
    ),
    form("md_too_many", _MD + rb"(?P<what>too many read errors|Too many read errors).*", MEDIUM),
)

# Reports that the kernel itself could not deliver, or left out of the log: counted, and turned into a Gap.
LOST: tuple[Form, ...] = (
    form(
        "suppressed",
        rb"(?P<what>EXT4-fs[\w -]*|\w*(?:ext4|jbd2|xfs|btrfs|iomap|repair_io_failure|buffer_io_error|"
        rb"blk_|print_req_error|nvme|scsi|sd_)\w*): (?P<suppressed>\d+) callbacks suppressed",
        LOG_WARNING,
    ),
    form(
        "lost_report",
        rb"(?P<fs>[^\s:]{1,32}): lost (?P<lost>file I/O|filesystem) error report for (?:ino (?P<ino>\d+) )?"
        rb"type (?P<type>\d+)(?: pos (?P<pos>0x[0-9a-f]+) len (?P<len>0x[0-9a-f]+))? error (?P<errno>-?\d+)",
        FS_ERROR,
    ),
)
