"""The lines of the kernel log, as seen on 6.18 and written in the kernel's sources."""

import asyncio
import os
import time
from types import SimpleNamespace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fsmend_agent.devices import DeviceTable
from fsmend_agent.event import Clock
from fsmend_agent.filesystems import FilesystemTable, MountedFilesystem
from fsmend_agent.sources import Watch
from fsmend_agent.sources import kmsg as room
from fsmend_agent.sources._forms_block import BLOCK_STATUS
from fsmend_agent.sources.kmsg import KmsgSource
from fsmend_proto.v1 import event_pb2 as pb
from fsmend_proto.v1 import record_pb2

EXT4_UUID = "11111111-1111-1111-1111-111111111111"
BTRFS_UUID = "22222222-2222-2222-2222-222222222222"
KIND, SEVERITY = pb.EventKind, pb.Severity


def mounted(uuid, kind, *names):
    return MountedFilesystem(
        uuid=uuid,
        type=kind,
        fsid="00" * 8,
        major=0,
        minor=9,
        device_names=names,
        mount_points=(b"/mnt",),
        read_only=False,
        options="rw",
    )


@pytest.fixture
def seen():
    return SimpleNamespace(events=[], gaps=[])


@pytest.fixture
def source(seen, tmp_path):
    for number, name in enumerate(("loop0", "loop1", "vda")):
        folder = tmp_path / "class/block" / name
        folder.mkdir(parents=True)
        (folder / "dev").write_text(f"7:{number}\n")
        (folder / "diskseq").write_text(f"{number + 1}\n")
    table = FilesystemTable([mounted(EXT4_UUID, "ext4", "vda"), mounted(BTRFS_UUID, "btrfs", "loop0", "loop1")])
    return KmsgSource(Watch(None, Clock("boot"), table, DeviceTable(tmp_path), seen.events.append, seen.gaps.append))


def record(line, *, priority=3, facility=0, sequence=7, usec=1_000_000):
    return b"%d,%d,%d,-;%s\n" % (facility << 3 | priority, sequence, usec, line)


def read(source, line, **header):
    (event,) = source.replay(record(line, **header))
    return event


LINES = [
    (b"EXT4-fs error (device vda): ext4_lookup:1787: inode #13: comm ls: iget: bogus i_mode (377)", "ext4_error", "FS_METADATA_CORRUPTION", "ERROR"),
    (b"EXT4-fs error (device vda): __ext4_find_entry:1624: inode #12: comm cat: checksumming directory block 0", "ext4_error", "FS_METADATA_CORRUPTION", "ERROR"),
    (b"EXT4-fs error (device vda): ext4_mb_generate_buddy:1220: group 0, block bitmap and bg descriptor inconsistent: 1 vs 2 free clusters", "ext4_error", "FS_METADATA_CORRUPTION", "ERROR"),
    (b"EXT4-fs error (device vda): trigger_test_error:129: comm bash: hi", "ext4_error", "FS_ERROR", "ERROR"),
    (b"EXT4-fs error (device vda): ext4_journal_check_start:84: comm bash: Detected aborted journal", "ext4_error", "FS_READ_ONLY", "CRITICAL"),
    (b"EXT4-fs error (device vda): ext4_find_entry:1455: inode #2: comm ls: reading directory lblock 0", "ext4_error", "FS_IO_ERROR", "ERROR"),
    (b"EXT4-fs error (device vda) in ext4_reserve_inode_write:5334: Journal has aborted", "ext4_std_error", "FS_READ_ONLY", "CRITICAL"),
    (b"EXT4-fs error (device vda) in ext4_do_update_inode:5118: IO failure", "ext4_std_error", "FS_IO_ERROR", "ERROR"),
    (b"EXT4-fs warning (device vda): ext4_end_bio:368: I/O error 3 writing to inode 12 starting block 44289)", "ext4_end_bio", "FS_IO_ERROR", "ERROR"),
    (b"EXT4-fs warning (device vda): dx_probe:822: inode #2: comm ls: Unrecognised inode hash code 20", "ext4_warning", "FS_ERROR", "WARNING"),
    (b"EXT4-fs (vda): failed to convert unwritten extents to written extents -- potential data loss!  (inode 12, error -5)", "ext4_data_loss", "FS_IO_ERROR", "ERROR"),
    (b"EXT4-fs (vda): Delayed block allocation failed for inode 14 at logical offset 0 with max blocks 8 with error 28", "ext4_delayed_allocation", "FS_IO_ERROR", "ERROR"),
    (b"EXT4-fs (vda): Remounting filesystem read-only", "ext4_read_only", "FS_READ_ONLY", "CRITICAL"),
    (b"EXT4-fs (vda): shut down requested (1)", "ext4_shutdown", "FS_SHUTDOWN", "CRITICAL"),
    (b"EXT4-fs (vda): I/O error while writing superblock", "ext4_superblock_write", "FS_IO_ERROR", "ERROR"),
    (b"EXT4-fs (vda): error count since last fsck: 3", "ext4_old_errors", "KERNEL_LOG", "NOTICE"),
    (b"Aborting journal on device vda-8.", "jbd2_abort", "FS_READ_ONLY", "CRITICAL"),
    (b"JBD2: I/O error when updating journal superblock for vda-8.", "jbd2_error", "FS_IO_ERROR", "ERROR"),
    (b"JBD2: Detected IO errors 5 when flushing file data on vda-8", "jbd2_error", "FS_IO_ERROR", "ERROR"),
    (b"XFS (vda): Metadata CRC error detected at xfs_dir3_data_read_verify+0x71/0x100, xfs_dir3_data block 0x78", "xfs_crc", "FS_METADATA_CORRUPTION", "ERROR"),
    (b"XFS (vda): Metadata CRC error detected at xfs_cntbt_read_verify+0x15/0xb0 [xfs], xfs_cntbt block 0x10", "xfs_crc", "FS_METADATA_CORRUPTION", "ERROR"),
    (b"XFS (vda): Metadata corruption detected at xfs_dinode_verify.part.0+0x434/0xcb0 [xfs], inode 0x40d422 dinode", "xfs_corruption_inode", "FS_METADATA_CORRUPTION", "ERROR"),
    (b"XFS (vda): Metadata corruption detected at xfs_agf_verify+0x10/0x20, xfs_agf block 0x1", "xfs_corruption", "FS_METADATA_CORRUPTION", "ERROR"),
    (b'XFS (vda): metadata I/O error in "xfs_da_read_buf+0xea/0x180" at daddr 0x78 len 8 error 74', "xfs_metadata_io", "FS_METADATA_CORRUPTION", "ERROR"),
    (b'XFS (vda): metadata I/O error in "xfs_da_read_buf+0xea/0x180" at daddr 0x78 len 8 error 5', "xfs_metadata_io", "FS_IO_ERROR", "ERROR"),
    (b"XFS (vda): Uncorrected metadata errors detected; please run xfs_repair.", "xfs_uncorrected", "FS_METADATA_CORRUPTION", "ERROR"),
    (b"XFS (vda): log I/O error -5", "xfs_log_io", "FS_IO_ERROR", "ERROR"),
    (b"XFS (vda): Corruption of in-memory data (0x8) detected at xfs_defer_finish_noroll+0x130/0x280 [xfs] (fs/xfs/libxfs/xfs_defer.c:573).  Shutting down filesystem.", "xfs_shutdown", "FS_SHUTDOWN", "CRITICAL"),
    (b"XFS (vda): Log I/O Error (0x2) detected at xlog_ioend_work+0x60/0xb0 [xfs] (fs/xfs/xfs_log.c:1377).  Shutting down filesystem. ", "xfs_shutdown", "FS_SHUTDOWN", "CRITICAL"),
    (b"XFS (vda): User initiated shutdown received.", "xfs_user_shutdown", "FS_SHUTDOWN", "CRITICAL"),
    (b"XFS (vda): Filesystem has been shut down due to log error (0x2).", "xfs_has_shut_down", "FS_SHUTDOWN", "CRITICAL"),
    (b"XFS (vda): Internal error ltrec.rm_startblock > bno at line 575 of file fs/xfs/libxfs/xfs_rmap.c.  Caller xfs_rmap_unmap+0x5a5/0x900", "xfs_internal", "FS_METADATA_CORRUPTION", "ERROR"),
    (b"XFS (vda): Failing async write on buffer block 0x3480. Retrying async write.", "xfs_write_retried", "FS_IO_ERROR", "WARNING"),
    (b"BTRFS warning (device loop0): csum failed root 5 ino 257 off 0 csum 0x8941f998 expected csum 0xb8da0512 mirror 2", "btrfs_csum", "FS_DATA_CORRUPTION", "ERROR"),
    (b"BTRFS warning (device loop0): csum failed root -9 ino 257 off 3436544 csum 0xa1 expected csum 0xdb mirror 1", "btrfs_csum", "FS_DATA_CORRUPTION", "ERROR"),
    (b"BTRFS error (device loop0): bdev /dev/loop1 errs: wr 0, rd 0, flush 0, corrupt 1, gen 0", "btrfs_bdev_errors", "FS_ERROR", "ERROR"),
    (b"BTRFS info (device loop0): read error corrected: ino 257 off 0 (dev /dev/loop1 sector 131200)", "btrfs_corrected", "FS_CORRECTED", "NOTICE"),
    (b"BTRFS info (device loop0): scrub: started on devid 2", "", "FS_SCRUB", "INFO"),
    (b"BTRFS info (device loop0): scrub: finished on devid 2 with status: 0", "", "FS_SCRUB", "INFO"),
    (b"BTRFS info (device loop0): scrub: not finished on devid 2 with status: -125", "", "FS_SCRUB", "INFO"),
    (b"BTRFS error (device loop0): parent transid verify failed on logical 15136 mirror 2 wanted 74627 found 73734", "btrfs_transid", "FS_METADATA_CORRUPTION", "ERROR"),
    (b"BTRFS error (device loop0): unable to fixup (regular) error at logical 20971520 on dev /dev/loop1 physical 1048576", "btrfs_unable_to_fix", "FS_DATA_CORRUPTION", "ERROR"),
    (b"BTRFS error (device loop0): scrub: unable to fixup (regular) error at logical 20971520 on dev /dev/loop1 physical 1048576", "btrfs_unable_to_fix", "FS_DATA_CORRUPTION", "ERROR"),
    (b"BTRFS warning (device loop0): checksum error at logical 298844160 on dev /dev/loop1, physical 277872640, root 5, inode 257, offset 0, length 4096, links 1 (path: x)", "btrfs_scrub_checksum", "FS_DATA_CORRUPTION", "ERROR"),
    (b"BTRFS error (device loop0): fixed up error at logical 298844160 on dev /dev/loop1", "btrfs_fixed_up", "FS_CORRECTED", "NOTICE"),
    (b"BTRFS critical (device loop0): corrupt leaf: root=2 block=30457856 slot=3, bad key order", "btrfs_corrupt", "FS_METADATA_CORRUPTION", "CRITICAL"),
    (b"BTRFS info (device loop0 state EA): forced readonly", "btrfs_forced_read_only", "FS_READ_ONLY", "CRITICAL"),
    (b"BTRFS error (device loop0 state A): Transaction aborted (error -5)", "btrfs_transaction_aborted", "FS_READ_ONLY", "CRITICAL"),
    (b"BTRFS: error (device loop0 state A) in btrfs_commit_transaction:2534: errno=-5 IO failure (Error while writing out transaction)", "btrfs_error_in", "FS_IO_ERROR", "ERROR"),
    (b"I/O error, dev loop1, sector 122880 op 0x0:(READ) flags 0x84700 phys_seg 9 prio class 2", "block_error", "DEVICE_IO_ERROR", "ERROR"),
    (b"blk_update_request: critical medium error, dev loop1, sector 5 op 0x0:(READ) flags 0x0 phys_seg 1 prio class 0", "block_error", "DEVICE_MEDIUM_ERROR", "ERROR"),
    (b"critical space allocation error, dev loop1, sector 86018 op 0x1:(WRITE) flags 0x4000 phys_seg 20 prio class 2", "block_error", "DEVICE_IO_ERROR", "ERROR"),
    (b"Buffer I/O error on device loop1, logical block 43009", "buffer_error", "DEVICE_IO_ERROR", "ERROR"),
    (b"Buffer I/O error on dev loop1, logical block 0, lost sync page write", "buffer_error", "DEVICE_IO_ERROR", "ERROR"),
    (b"vda: writeback error on inode 71, offset 239466496, sector 668620", "iomap_writeback", "FS_IO_ERROR", "ERROR"),
    (b"sd 2:0:0:0: [sda] tag#18 Sense Key : Medium Error [current] ", "scsi_sense", "DEVICE_MEDIUM_ERROR", "ERROR"),
    (b"sd 2:0:0:0: [sda] tag#18 Sense Key : Unit Attention [current] ", "scsi_sense", "KERNEL_LOG", "NOTICE"),
    (b"sd 2:0:0:0: [sda] tag#18 Add. Sense: Unrecovered read error - auto reallocate failed", "scsi_add_sense", "DEVICE_MEDIUM_ERROR", "ERROR"),
    (b"sd 2:0:0:0: [sda] tag#0 FAILED Result: hostbyte=DID_BAD_TARGET driverbyte=DRIVER_OK cmd_age=0s", "scsi_failed", "KERNEL_LOG", "WARNING"),
    (b"sd 2:0:0:0: rejecting I/O to offline device", "scsi_offline", "DEVICE_GONE", "CRITICAL"),
    (b"ata1.00: error: { UNC }", "ata_media", "DEVICE_MEDIUM_ERROR", "ERROR"),
    (b"ata1.00: error: { ICRC ABRT }", "ata_bus", "DEVICE_LINK_ERROR", "WARNING"),
    (b"ata1: hard resetting link", "ata_reset", "DEVICE_LINK_ERROR", "WARNING"),
    (b"ata1: COMRESET failed (errno=-16)", "ata_link_down", "DEVICE_LINK_ERROR", "ERROR"),
    (b"ata1.00: exception Emask 0x0 SAct 0x800 SErr 0x0 action 0x0", "ata_exception", "DEVICE_LINK_ERROR", "WARNING"),
    (b"nvme0n1: Read(0x2) @ LBA 1234, 8 blocks, Unrecovered Read Error (sct 0x2 / sc 0x81) DNR ", "nvme_status", "DEVICE_MEDIUM_ERROR", "ERROR"),
    (b"nvme nvme0: I/O tag 24 (1018) opcode 0x2 (I/O Cmd) QID 1 timeout, aborting req_op:READ(0) size:4096", "nvme_timeout", "DEVICE_LINK_ERROR", "WARNING"),
    (b"nvme nvme0: controller is down; will reset: CSTS=0xffffffff, PCI_STATUS=0xffff", "nvme_down", "DEVICE_LINK_ERROR", "ERROR"),
    (b"md/raid1:md0: Disk failure on loop1, disabling device.", "md_disk_failure", "DEVICE_GONE", "CRITICAL"),
    (b"md/raid1:md0: read error corrected (8 sectors at 264 on loop1)", "md_corrected", "FS_CORRECTED", "NOTICE"),
    (b"md/raid:md0: read error not correctable (sector 264 on loop1).", "md_uncorrectable", "DEVICE_MEDIUM_ERROR", "ERROR"),
    (b"device-mapper: multipath: 253:0: Failing path 8:16.", "", "KERNEL_LOG", "ERROR"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "form", "kind", "severity"), LINES)
def test_a_known_line_becomes_an_event_of_its_kind(source, line, form, kind, severity):
    event = read(source, line)
    assert event.kernel_log.form == form
    assert KIND.Name(event.kind) == f"EVENT_KIND_{kind}"
    assert SEVERITY.Name(event.severity) == f"SEVERITY_{severity}"
    assert event.message == line.decode()
    assert event.count == 1
    if b"vda" in line:
        assert event.filesystem.uuid == EXT4_UUID
        assert event.device.name == "vda"
    if b"loop0" in line:
        assert event.filesystem.uuid == BTRFS_UUID
    if b"loop1" in line:
        assert event.device.name == "loop1"
        assert event.device.id


def test_the_place_in_an_ext4_error_is_kept(source):
    event = read(
        source, b"EXT4-fs error (device vda): ext4_lookup:1787: inode #13: comm a: b: iget: bogus i_mode (377)"
    )
    assert (event.kernel_log.function, event.kernel_log.line, event.inode.ino) == ("ext4_lookup", 1787, 13)
    assert event.signature == "ext4_error ext4_lookup:1787"


def test_the_signature_names_neither_inode_nor_sector(source):
    first, second = (
        read(source, b"I/O error, dev loop1, sector %d op 0x0:(READ) flags 0x0" % sector) for sector in (8, 16)
    )
    assert first.signature == second.signature
    assert (first.sectors.start, second.sectors.start) == (8, 16)


def test_a_btrfs_of_two_devices_names_only_the_device_at_fault(source):
    csum = read(
        source, b"BTRFS warning (device loop0): csum failed root 5 ino 257 off 0 csum 0x1 expected csum 0x2 mirror 2"
    )
    assert not csum.HasField("device")
    assert (csum.inode.ino, csum.inode.subvolume, csum.kernel_log.fields["mirror"]) == (257, 5, "2")
    fixed = read(
        source, b"BTRFS info (device loop0): read error corrected: ino 257 off 0 (dev /dev/loop1 sector 131200)"
    )
    assert (fixed.device.name, fixed.sectors.start, fixed.filesystem.device_name) == ("loop1", 131200, "loop0")


@pytest.mark.parametrize("module", [b"", b" [xfs]"])
def test_both_kinds_of_xfs_corruption_name_the_block(source, module):
    for kind in (b"corruption", b"CRC error"):
        line = b"XFS (vda): Metadata %s detected at xfs_dir3_data_reada_verify+0x25/0x70%s, xfs_dir3_data_reada block 0x78 "
        event = read(source, line % (kind, module))
        assert (event.sectors.start, event.kernel_log.fields["structure"]) == (0x78, "xfs_dir3_data_reada")


def test_a_scrub_that_was_cancelled_says_so(source):
    event = read(source, b"BTRFS info (device loop0): scrub: not finished on devid 2 with status: -125", priority=6)
    assert (event.scrub.state, event.scrub.devid, event.scrub.status) == (pb.SCRUB_STATE_ABORTED, 2, -125)


@pytest.mark.parametrize(("name", "meaning"), BLOCK_STATUS.items())
def test_every_block_status_has_its_errno(source, name, meaning):
    event = read(source, name + b" error, dev loop1, sector 8 op 0x1:(WRITE) flags 0x0 phys_seg 1 prio class 2")
    assert (event.errno, event.kind, event.sectors.start) == (meaning.errno, meaning.kind, 8)


def test_a_hexadecimal_block_of_xfs_is_a_sector(source):
    event = read(
        source,
        b"XFS (vda): Metadata CRC error detected at xfs_dir3_data_read_verify+0x71/0x100, xfs_dir3_data block 0x78",
    )
    assert (event.sectors.start, event.kernel_log.function) == (0x78, "xfs_dir3_data_read_verify")


def test_the_time_is_the_records_own(source):
    monotonic_ns = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    event = read(source, b"EXT4-fs (vda): Remounting filesystem read-only", usec=monotonic_ns // 1000 - 5_000_000)
    ago_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - event.clocks.boot_ns
    assert 5_000_000_000 <= ago_ns < 6_000_000_000


@pytest.mark.parametrize(
    "line",
    [
        b"usb 1-1: new high-speed USB device",
        b"EXT4-fs (vda): mounted filesystem r/w",
        b"loop0: detected capacity change from 0 to 8",
    ],
)
def test_what_is_no_error_of_storage_is_ignored(source, line):
    assert list(source.replay(record(line, priority=6))) == []


def test_a_line_that_a_process_wrote_is_ignored(source):
    assert list(source.replay(record(b"EXT4-fs (vda): Remounting filesystem read-only", facility=1))) == []


def test_a_storage_warning_without_a_form_is_kept_with_a_signature_without_numbers(source):
    first = read(source, b"BTRFS warning (device loop0): something 12 new 0xff", priority=4)
    second = read(source, b"BTRFS warning (device loop0): something 13 new 0xfe", priority=4)
    assert KIND.Name(first.kind) == "EVENT_KIND_KERNEL_LOG"
    assert first.signature == second.signature


def test_a_jump_of_the_sequence_is_a_gap_with_the_exact_count(source, seen):
    from fsmend_agent.sources._units import Units  # noqa: PLC0415

    units = Units(source.watch)
    for sequence in (5, 6, 10):
        source._take(record(b"usb", sequence=sequence), units)
    (gap,) = seen.gaps
    assert (gap.reason, gap.lost, gap.lost_is_exact) == (record_pb2.GAP_REASON_LOG_LOST, 3, True)
    source._take(record(b"usb", sequence=8), units)
    source._take(record(b"usb", sequence=11), units)
    assert len(seen.gaps) == 1


def test_lines_that_the_kernel_left_out_are_a_gap(source, seen):
    from fsmend_agent.sources._units import Units  # noqa: PLC0415

    units = Units(source.watch)
    source._take(record(b"EXT4-fs error: 12 callbacks suppressed", sequence=1), units)
    source._take(record(b"blk_print_req_error: 9 callbacks suppressed", sequence=2), units)
    source._take(
        record(b"vda: lost file I/O error report for ino 12 type 1 pos 0x0 len 0x1000 error -5", sequence=3), units
    )
    source._take(record(b"vda: lost filesystem error report for type 5 error -117", sequence=4), units)
    assert [gap.lost for gap in seen.gaps] == [12, 9, 1, 1]
    suppressed, overflow = record_pb2.GAP_REASON_LOG_SUPPRESSED, record_pb2.GAP_REASON_KERNEL_OVERFLOW
    assert [gap.reason for gap in seen.gaps] == [suppressed, suppressed, overflow, overflow]
    assert [gap.filesystem.uuid for gap in seen.gaps] == ["", "", EXT4_UUID, EXT4_UUID]
    assert seen.events == []


@given(st.binary(max_size=300))
@example(b"3,1,1,-;EXT4-fs error (device x): f:99999999999999999999: inode #99999999999999999999999: comm x: y\n")
@example(b"3,1,99999999999999999999,-;XFS (x): log I/O error -99999999999999999999\n")
def test_no_bytes_make_it_raise(raw):
    replay_anything(raw)


@given(st.sampled_from([line for line, *_ in LINES]), st.integers(0, 160), st.binary(max_size=8))
def test_no_damage_to_a_line_makes_it_raise(line, at, damage):
    events = replay_anything(record(line[:at] + damage + line[at + len(damage) :]))
    assert all(event.SerializeToString() for event in events)


@given(st.binary(max_size=60).filter(lambda raw: b";" not in raw))
def test_what_has_no_header_is_kept_raw(raw):
    (event,) = replay_anything(raw)
    assert event.undecoded.raw == raw


def replay_anything(raw):
    empty = Watch(None, Clock("boot"), FilesystemTable(), DeviceTable(), [].append, [].append)
    return list(KmsgSource(empty).replay(raw))


async def test_a_fault_of_its_own_ends_the_source(make_stage, monkeypatch):
    read_end, write_end = os.pipe2(os.O_NONBLOCK)
    os.write(write_end, b"x")
    monkeypatch.setattr(room.kmsg, "open_log", lambda **_: read_end)
    monkeypatch.setattr(room.kmsg, "read_record", lambda _fd: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        await asyncio.wait_for(KmsgSource(make_stage().watch).run(), 5)
    os.close(write_end)
