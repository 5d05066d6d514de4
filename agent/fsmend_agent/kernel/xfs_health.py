"""Name XFS's health bits and say which scrub checks or repairs each of them (fs/xfs/libxfs/xfs_fs.h)."""

from dataclasses import dataclass
from enum import Enum, IntEnum, IntFlag


class ScrubType(IntEnum):
    """What one SCRUB_METADATA call checks: XFS_SCRUB_TYPE_*."""

    PROBE = 0
    SB = 1
    AGF = 2
    AGFL = 3
    AGI = 4
    BNOBT = 5
    CNTBT = 6
    INOBT = 7
    FINOBT = 8
    RMAPBT = 9
    REFCNTBT = 10
    INODE = 11
    BMBTD = 12
    BMBTA = 13
    BMBTC = 14
    DIR = 15
    XATTR = 16
    SYMLINK = 17
    PARENT = 18
    RTBITMAP = 19
    RTSUM = 20
    UQUOTA = 21
    GQUOTA = 22
    PQUOTA = 23
    FSCOUNTERS = 24
    QUOTACHECK = 25
    NLINKS = 26
    HEALTHY = 27
    DIRTREE = 28
    METAPATH = 29
    RGSUPER = 30
    RTRMAPBT = 31
    RTREFCBT = 32


class ScrubFlag(IntFlag):
    """Flags of SCRUB_METADATA: XFS_SCRUB_IFLAG_* go in, XFS_SCRUB_OFLAG_* come out."""

    REPAIR = 1 << 0
    CORRUPT = 1 << 1
    PREEN = 1 << 2
    XFAIL = 1 << 3
    XCORRUPT = 1 << 4
    INCOMPLETE = 1 << 5
    WARNING = 1 << 6
    NO_REPAIR_NEEDED = 1 << 7
    FORCE_REBUILD = 1 << 8


class MetaPath(IntEnum):
    """Metadata files whose path METAPATH checks, given as sm_ino: XFS_SCRUB_METAPATH_*."""

    PROBE = 0
    RTDIR = 1
    RTBITMAP = 2
    RTSUMMARY = 3
    QUOTADIR = 4
    USRQUOTA = 5
    GRPQUOTA = 6
    PRJQUOTA = 7
    RTRMAPBT = 8
    RTREFCBT = 9


class HealthDomain(Enum):
    """Which part of a filesystem a set of health bits is about."""

    FS = "fs"
    AG = "ag"
    RTGROUP = "rtgroup"
    INODE = "inode"


@dataclass(frozen=True, slots=True)
class HealthBit:
    """One bit of a sick or checked mask.

    Attributes:
        bit: the mask with only this bit.
        name: the kernel's name of it, lower case, without its prefix.
        scrub_types: what to scrub for it; several when the kernel keeps one bit for what several scrubs look after;
            empty when no scrub belongs to it (AG `inodes`: the inodes themselves are sick, ask bulkstat).
    """

    bit: int
    name: str
    scrub_types: tuple[ScrubType, ...]


def _bits(*rows: tuple[str, ScrubType | tuple[ScrubType, ...]]) -> tuple[HealthBit, ...]:
    return tuple(
        HealthBit(1 << position, name, scrub if isinstance(scrub, tuple) else (scrub,))
        for position, (name, scrub) in enumerate(rows)
    )


_S = ScrubType
HEALTH_BITS: dict[HealthDomain, tuple[HealthBit, ...]] = {
    HealthDomain.FS: _bits(
        ("counters", _S.FSCOUNTERS),
        ("uquota", _S.UQUOTA),
        ("gquota", _S.GQUOTA),
        ("pquota", _S.PQUOTA),
        ("rt_bitmap", _S.RTBITMAP),
        ("rt_summary", _S.RTSUM),
        ("quotacheck", _S.QUOTACHECK),
        ("nlinks", _S.NLINKS),
        # xfs_healer leaves these two unmapped. METADIR is the tree's own directories: link counts and every known path.
        ("metadir", (_S.NLINKS, _S.METAPATH)),
        ("metapath", _S.METAPATH),
    ),
    HealthDomain.AG: _bits(
        ("sb", _S.SB),
        ("agf", _S.AGF),
        ("agfl", _S.AGFL),
        ("agi", _S.AGI),
        ("bnobt", _S.BNOBT),
        ("cntbt", _S.CNTBT),
        ("inobt", _S.INOBT),
        ("finobt", _S.FINOBT),
        ("rmapbt", _S.RMAPBT),
        ("refcntbt", _S.REFCNTBT),
        ("inodes", ()),
    ),
    HealthDomain.RTGROUP: _bits(
        ("super", _S.RGSUPER),
        ("bitmap", _S.RTBITMAP),
        ("summary", _S.RTSUM),
        ("rmapbt", _S.RTRMAPBT),
        ("refcntbt", _S.RTREFCBT),
    ),
    HealthDomain.INODE: _bits(
        ("inode", _S.INODE),
        ("bmbtd", _S.BMBTD),
        ("bmbta", _S.BMBTA),
        ("bmbtc", _S.BMBTC),
        ("dir", _S.DIR),
        ("xattr", _S.XATTR),
        ("symlink", _S.SYMLINK),
        ("parent", _S.PARENT),
        ("dirtree", _S.DIRTREE),
    ),
}
"""The kernel's bits of every domain, from bit 0."""


def names(domain: HealthDomain, mask: int) -> tuple[str, ...]:
    """Return the names of the bits set in `mask`, lowest first; `bit17` for one that is not in the table."""
    known = {health.bit: health.name for health in HEALTH_BITS[domain]}
    return tuple(
        known.get(1 << position, f"bit{position}") for position in range(mask.bit_length()) if mask >> position & 1
    )


def scrub_types(domain: HealthDomain, mask: int) -> tuple[ScrubType, ...]:
    """Return the scrubs that look after the bits set in `mask`, each once, in the order of the bits."""
    wanted = (scrub for health in HEALTH_BITS[domain] if health.bit & mask for scrub in health.scrub_types)
    return tuple(dict.fromkeys(wanted))


def unmapped(domain: HealthDomain, mask: int) -> int:
    """Return the bits of `mask` for which no targeted scrub exists: a reason to check the whole filesystem."""
    return mask & ~sum(health.bit for health in HEALTH_BITS[domain] if health.scrub_types)
