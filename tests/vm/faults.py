"""The faults: how each is made, how it comes to light, where it must be reported, what must mend it."""

from collections.abc import Callable
from dataclasses import dataclass

from vm.filesystem import MOUNT

from fsmend_agent.kernel.xfs_health import ScrubType
from fsmend_proto.v1 import event_pb2

FS, AG, INODE = event_pb2.XFS_SCOPE_FS, event_pb2.XFS_SCOPE_AG, event_pb2.XFS_SCOPE_INODE
GROUP = 1


@dataclass(frozen=True)
class Fault:
    """One row of the table in docs/xfs.md.

    Attributes:
        name: for people.
        damage: makes it in an unmounted filesystem; returns the inode that is broken, or None.
        scrub_type: what must be among the pieces that the collector orders to be mended.
        scope: where it must be reported.
        touch: a shell script that meets it; empty: the kernel cannot notice, so the scheduled check must find it.
        without_rmapbt: it can be mended even on a filesystem without reverse mapping.
        unseen_without_rmapbt: without it the kernel has nothing to compare with.
    """

    name: str
    damage: Callable
    scrub_type: ScrubType
    scope: int
    touch: str = ""
    without_rmapbt: bool = False
    unseen_without_rmapbt: bool = False


def field(*commands):
    """Damage one field, with a good checksum."""

    def damage(xfs):
        xfs.set(*commands)

    return damage


def block(*commands):
    """Damage a whole block, so that its checksum is bad."""

    def damage(xfs):
        xfs.scribble(*commands)

    return damage


def inode_field(path, command):
    def damage(xfs):
        number = xfs.inode(path)
        xfs.set(f"inode {number}", command)
        return number

    return damage


def inode_block(path, walk):
    def damage(xfs):
        number = xfs.inode(path)
        xfs.scribble(f"inode {number}", walk)
        return number

    return damage


def free_counter(xfs):
    blocks = int(xfs.db("sb 0", "print fdblocks").split()[-1])
    xfs.set("sb 0", f"write -d fdblocks {blocks - 1000}")


def group_counter(xfs):
    """Be wrong by one: less than the longest extent would be refused at the mount."""
    blocks = int(xfs.db(f"agf {GROUP}", "print freeblks").split()[-1])
    xfs.set(f"agf {GROUP}", f"write -d freeblks {blocks - 1}")


_ALLOCATE = f"head -c 262144 /dev/zero >{MOUNT}/d{GROUP}/new; sync {MOUNT}/d{GROUP}/new"
_S = ScrubType

FAULTS = (
    Fault(
        "free space by block (bnobt), a record",
        field(f"agf {GROUP}", "addr bnoroot", "write -d recs[1].blockcount 2"),
        _S.BNOBT,
        AG,
    ),
    Fault("free space by block (bnobt), checksum", block(f"agf {GROUP}", "addr bnoroot"), _S.BNOBT, AG, _ALLOCATE),
    Fault(
        "free space by size (cntbt), a record",
        field(f"agf {GROUP}", "addr cntroot", "write -d recs[1].startblock 14"),
        _S.CNTBT,
        AG,
    ),
    Fault("free space by size (cntbt), checksum", block(f"agf {GROUP}", "addr cntroot"), _S.CNTBT, AG, _ALLOCATE),
    Fault(
        "inodes (inobt), a record",
        field(f"agi {GROUP}", "addr root", "write -d recs[1].freecount 9"),
        _S.INOBT,
        AG,
    ),
    Fault(
        "inodes (inobt), checksum",
        block(f"agi {GROUP}", "addr root"),
        _S.INOBT,
        AG,
        f"xfs_io -r -c bulkstat {MOUNT}",
    ),
    Fault(
        "reverse mapping (rmapbt), a record",
        field(f"agf {GROUP}", "addr rmaproot", "write -d recs[12].owner 99"),
        _S.RMAPBT,
        AG,
    ),
    Fault(
        "reference counts (refcountbt), a record",
        field(f"agf {GROUP}", "addr refcntroot", "write -d recs[1].refcount 55"),
        _S.REFCNTBT,
        AG,
        unseen_without_rmapbt=True,
    ),
    Fault("group header (AGF), a counter", group_counter, _S.AGF, AG),
    Fault("free list (AGFL), an entry", field(f"agfl {GROUP}", "write -d bno[2] 100"), _S.AGFL, AG),
    Fault("inode header (AGI), a counter", field(f"agi {GROUP}", "write -d freecount 3"), _S.AGI, AG),
    Fault(
        "inode, its format",
        inode_field(f"d{GROUP}/f1", "write -d core.format 7"),
        _S.INODE,
        INODE,
        f"stat {MOUNT}/d{GROUP}/f1",
    ),
    Fault(
        "inode, its block count",
        inode_field(f"d{GROUP}/f1", "write -d core.nblocks 99"),
        _S.INODE,
        INODE,
        without_rmapbt=True,
    ),
    Fault("directory, checksum", inode_block("big", "dblock 0"), _S.DIR, INODE, f"ls {MOUNT}/big"),
    Fault("symlink, checksum", inode_block("link", "dblock 0"), _S.SYMLINK, INODE, f"readlink {MOUNT}/link"),
    Fault(
        "link counts",
        lambda xfs: inode_field(f"d{GROUP}/f1", "write -d core.nlinkv2 3")(xfs) and None,
        _S.NLINKS,
        FS,
        without_rmapbt=True,
    ),
    Fault("free counters", free_counter, _S.FSCOUNTERS, FS, without_rmapbt=True),
)
