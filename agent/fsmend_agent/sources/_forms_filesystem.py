r"""Lines that ext4, JBD2, XFS and btrfs log (fs/ext4/super.c, fs/jbd2, fs/xfs/xfs_message.c, fs/btrfs/messages.c).

A command's name (`comm`) is any 15 bytes that a user chose, so nothing is searched for behind it without an anchor.
"""

from fsmend_agent.sources._forms import (
    CORRECTED,
    DATA,
    FS_ERROR,
    FS_IO,
    FS_IO_RETRIED,
    FS_WARNING,
    LOG_NOTICE,
    METADATA,
    METADATA_CRITICAL,
    READ_ONLY,
    SCRUB,
    SHUTDOWN,
    SPACE,
    Form,
    form,
)
from fsmend_proto.v1 import event_pb2 as pb

_EXT4_IO = rb"(?i)I/O error|IO failure|unable to read|cannot read|can't read|reading directory lblock|error -?5\b"
_EXT4_CORRUPT = (
    rb"(?i)checksum|corrupt|bogus|\bbad\b|invalid|inconsistent|mismatch|deleted inode|already (free|clear|allocated)"
    rb"|overlap|wrong|out of range|structure needs|EA inode|iget:|in system zone|unattached inode"
)
_EXT4_PLACE = rb"(?P<function>[\w.]+):(?P<line>\d+): "

EXT4: tuple[Form, ...] = (
    form(
        "ext4_error",
        rb"EXT4-fs error \(device (?P<fs>[^)]+)\): " + _EXT4_PLACE + rb"(?:group (?P<group>\d+), )?"
        rb"(?:inode #?(?P<ino>\d+): )?(?:block (?P<block>\d+):? ?)?(?:comm (?P<comm>.{0,15}?): )?(?P<what>.*)",
        FS_ERROR,
        (rb"Detected aborted journal", READ_ONLY),
        (_EXT4_IO, FS_IO),
        (_EXT4_CORRUPT, METADATA),
    ),
    form(
        "ext4_std_error",
        rb"EXT4-fs error \(device (?P<fs>[^)]+)\) in (?P<function>[\w.]+):(?P<line>\d+): (?P<what>.*)",
        FS_ERROR,
        (rb"Journal has aborted|Readonly filesystem", READ_ONLY),
        (_EXT4_IO, FS_IO),
        (_EXT4_CORRUPT, METADATA),
    ),
    form(
        "ext4_end_bio",
        rb"EXT4-fs warning \(device (?P<fs>[^)]+)\): (?P<function>ext4_end_bio):(?P<line>\d+): "
        rb"I/O error (?P<status>\d+) writing to inode (?P<ino>\d+) starting block (?P<block>\d+)",
        FS_IO,
    ),
    form(
        "ext4_warning",
        rb"EXT4-fs warning \(device (?P<fs>[^)]+)\): " + _EXT4_PLACE + rb"(?:inode #(?P<ino>\d+): )?"
        rb"(?:comm (?P<comm>.{0,15}?): )?(?P<what>.*)",
        FS_WARNING,
        (_EXT4_IO, FS_IO_RETRIED),
    ),
    form(
        "ext4_data_loss",
        rb"EXT4-fs \((?P<fs>[^)]+)\): failed to convert unwritten extents .*data loss!"
        rb" +\(inode (?P<ino>\d+), error (?P<errno>-?\d+)\)",
        FS_IO,
    ),
    form(
        "ext4_delayed_allocation",
        rb"EXT4-fs \((?P<fs>[^)]+)\): Delayed block allocation failed for inode (?P<ino>\d+) at logical offset "
        rb"(?P<offset>\d+) with max blocks (?P<blocks>\d+) with error (?P<errno>-?\d+)",
        FS_IO,
    ),
    form("ext4_data_lost", rb"EXT4-fs \((?P<fs>[^)]+)\): This should not happen!! Data will be lost", FS_IO),
    form("ext4_read_only", rb"EXT4-fs \((?P<fs>[^)]+)\): Remounting filesystem read-only", READ_ONLY),
    form("ext4_shutdown", rb"EXT4-fs \((?P<fs>[^)]+)\): shut down requested \((?P<flags>\d+)\)", SHUTDOWN),
    form("ext4_superblock_write", rb"EXT4-fs \((?P<fs>[^)]+)\): I/O error while writing superblock", FS_IO),
    form(
        "ext4_old_errors",
        rb"EXT4-fs \((?P<fs>[^)]+)\): (?P<what>error count since last fsck: \d+|(?:initial|last) error at time .*"
        rb"|warning: mounting fs with errors.*)",
        LOG_NOTICE,
    ),
    form("jbd2_abort", rb"Aborting journal on device (?P<fs>\S+?)(?:-\d+)?\.$", READ_ONLY),
    form(
        "jbd2_error",
        rb"JBD2: (?P<what>(?=.*(?:[Ee]rror|[Ff]ailed)).*?)(?: (?:on|for) (?P<fs>[\w!-]+?)(?:-\d+)?\.?)?$",
        FS_IO,
    ),
)

_XFS = rb"XFS \((?P<fs>[^)]+)\): "
_XFS_PLACE = rb"(?P<function>[^\s+]+)\+[^\s,]+(?: \[\w+\])?"

XFS: tuple[Form, ...] = (
    form(
        "xfs_crc",
        _XFS
        + rb"Metadata CRC error detected at "
        + _XFS_PLACE
        + rb", (?P<structure>\S+) block (?P<sector>0x[0-9a-f]+)",
        METADATA,
        key=("structure",),
    ),
    form(
        "xfs_corruption_inode",
        _XFS + rb"Metadata corruption detected at " + _XFS_PLACE + rb", inode (?P<ino>0x[0-9a-f]+) (?P<structure>\S+)",
        METADATA,
        key=("structure",),
    ),
    form(
        "xfs_corruption",
        _XFS
        + rb"Metadata corruption detected at "
        + _XFS_PLACE
        + rb"(?:, (?P<structure>\S+) block (?P<sector>0x[0-9a-f]+))?",
        METADATA,
        key=("structure",),
    ),
    form(
        "xfs_metadata_io",
        _XFS + rb'metadata I/O error in "(?P<function>[^"+]+)[^"]*" at daddr (?P<sector>0x[0-9a-f]+) '
        rb"len (?P<length>\d+) (?P<what>error (?P<errno>-?\d+))",
        FS_IO,
        (rb"error -?(?:74|117)$", METADATA),  # EFSBADCRC, EFSCORRUPTED: it was read, and is wrong
    ),
    form("xfs_log_io", _XFS + rb"log I/O error (?P<errno>-?\d+)", FS_IO),
    form("xfs_uncorrected", _XFS + rb"Uncorrected metadata errors detected; please run xfs_repair", METADATA),
    form("xfs_corruption_repair", _XFS + rb"Corruption detected\. Unmount and run xfs_repair", METADATA),
    form(
        "xfs_shutdown",
        _XFS
        + rb"(?P<what>[^(]{1,80}?) \((?P<flags>0x[0-9a-f]+)\) detected at "
        + _XFS_PLACE
        + rb" \((?P<file>[^:)]+):(?P<line>\d+)\)\. +Shutting down filesystem",
        SHUTDOWN,
        key=("flags",),
    ),
    form("xfs_user_shutdown", _XFS + rb"User initiated shutdown received", SHUTDOWN),
    form("xfs_has_shut_down", _XFS + rb"Filesystem has been shut down due to (?P<what>.*)", SHUTDOWN),
    form(
        "xfs_internal",
        _XFS + rb"Internal error (?P<what>.{1,200}?) at line (?P<line>\d+) of file (?P<file>[^\s]+)\. +"
        rb"Caller (?P<function>[^\s+]+)",
        METADATA,
        key=("file",),
    ),
    form("xfs_write_retried", _XFS + rb"Failing async write on buffer block (?P<sector>0x[0-9a-f]+)", FS_IO_RETRIED),
    form("xfs_discard", _XFS + rb"page discard on page .*inode (?P<ino>0x[0-9a-f]+), pos (?P<pos>\d+)", FS_IO),
    form("xfs_log_recovery", _XFS + rb"log mount/recovery failed: error (?P<errno>-?\d+)", FS_ERROR),
)

_BTRFS = rb"BTRFS (?P<level>emerg|alert|critical|error|warning|notice|info) \(device (?P<fs>[^\s):]+)[^)]*\): "

BTRFS: tuple[Form, ...] = (
    form(
        "btrfs_csum",
        _BTRFS + rb"csum failed root (?P<root>-?\d+) ino (?P<ino>\d+) off (?P<offset>\d+)"
        rb"(?:.*? mirror (?P<mirror>\d+))?",
        DATA,
    ),
    form(
        "btrfs_bdev_errors",
        _BTRFS + rb"bdev (?P<device>\S+) errs: wr (?P<write>\d+), rd (?P<read>\d+), flush (?P<flush>\d+), "
        rb"corrupt (?P<corrupt>\d+), gen (?P<generation>\d+)",
        FS_ERROR,
    ),
    form(
        "btrfs_corrected",
        _BTRFS + rb"read error corrected: ino (?P<ino>\d+) off (?P<offset>\d+)"
        rb"(?: \(dev (?P<device>\S+) sector (?P<sector>\d+)\))?",
        CORRECTED,
    ),
    form(
        "btrfs_fixed_up",
        _BTRFS + rb"(?:scrub: )?fixed up error at logical (?P<logical>\d+)(?: on dev (?P<device>\S+)"
        rb"(?: physical (?P<physical>\d+))?)?",
        CORRECTED,
    ),
    form(
        "btrfs_unable_to_fix",
        _BTRFS + rb"(?:scrub: )?unable to fix ?up (?:\(\w+\) )?error at logical (?P<logical>\d+)"
        rb"(?: on dev (?P<device>\S+)(?: physical (?P<physical>\d+))?)?",
        DATA,
    ),
    form(
        "btrfs_scrub_checksum",
        _BTRFS + rb"(?:scrub: )?checksum error at logical (?P<logical>\d+) on dev (?P<device>[^\s,]+), "
        rb"physical (?P<physical>\d+), root (?P<root>\d+), inode (?P<ino>\d+), offset (?P<offset>\d+)",
        DATA,
    ),
    form(
        "btrfs_scrub_metadata",
        _BTRFS + rb"(?:scrub: )?(?:checksum|header|super block|tree first key|generation) error at logical "
        rb"(?P<logical>\d+) on dev (?P<device>[^\s,]+)(?:, physical (?P<physical>\d+))?",
        METADATA,
    ),
    form(
        "btrfs_scrub_io",
        _BTRFS + rb"(?:scrub: )?i/o error at logical (?P<logical>\d+) on dev (?P<device>[^\s,]+)"
        rb"(?:, physical (?P<physical>\d+))?(?:, root (?P<root>\d+), inode (?P<ino>\d+))?",
        FS_IO,
    ),
    form(
        "btrfs_scrub_started",
        _BTRFS + rb"scrub: started on devid (?P<devid>\d+)",
        SCRUB,
        scrub=pb.SCRUB_STATE_STARTED,
        key=("devid",),
    ),
    form(
        "btrfs_scrub_finished",
        _BTRFS + rb"scrub: finished on devid (?P<devid>\d+) with status: (?P<status>-?\d+)",
        SCRUB,
        scrub=pb.SCRUB_STATE_FINISHED,
        key=("devid",),
    ),
    form(
        "btrfs_scrub_aborted",
        _BTRFS + rb"scrub: (?:not finished|cancel\w+) on devid (?P<devid>\d+)(?: with status: (?P<status>-?\d+))?",
        SCRUB,
        scrub=pb.SCRUB_STATE_ABORTED,
        key=("devid",),
    ),
    form("btrfs_transid", _BTRFS + rb"parent transid verify failed on (?:logical )?(?P<logical>\d+)", METADATA),
    form(
        "btrfs_tree_checksum",
        _BTRFS + rb"(?:checksum verify failed on|tree block|bad tree block start,?|level verify failed on|"
        rb"bad fsid on|bad (?:eb|tree block))(?P<what>.*)",
        METADATA,
    ),
    form("btrfs_corrupt", _BTRFS + rb"corrupt (?P<structure>leaf|node): (?P<what>.*)", METADATA_CRITICAL),
    form("btrfs_no_space", _BTRFS + rb".*(?:ENOSPC|[Nn]o space left).*", SPACE),
    form("btrfs_forced_read_only", rb"BTRFS(?: \w+)?:? \(device (?P<fs>[^\s):]+)[^)]*\): forced readonly", READ_ONLY),
    form(
        "btrfs_transaction_aborted",
        rb"BTRFS:? (?:\w+ \(device (?P<fs>[^\s):]+)[^)]*\):? )?Transaction aborted \(error (?P<errno>-?\d+)\)",
        READ_ONLY,
    ),
    form(
        "btrfs_error_in",
        rb"BTRFS:? (?:\w+ )?\(device (?P<fs>[^\s):]+)[^)]*\)(?::)? in (?P<function>\w+):(?P<line>\d+): "
        rb"errno=(?P<errno>-?\d+)(?P<what>.*)",
        FS_ERROR,
        (rb"IO failure", FS_IO),
        (rb"(?i)corrupt", METADATA),
        (rb"No space", SPACE),
    ),
    form(
        "btrfs_superblock_write",
        _BTRFS + rb"(?:lost super block write due to IO error on|error writing primary super block to device) "
        rb"(?P<device>\S+)",
        FS_IO,
    ),
    form("btrfs_device_missing", _BTRFS + rb"devid (?P<devid>\d+) uuid \S+ is missing", FS_ERROR, key=("devid",)),
    form(
        "btrfs_direct_io",
        _BTRFS + rb"direct IO failed ino (?P<ino>\d+) .*err no (?P<status>-?\d+)",
        FS_IO,
    ),
)
