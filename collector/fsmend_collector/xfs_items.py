"""What to scrub for what is sick in an XFS: the kernel's health bits and scrub types, as data (libxfs/xfs_fs.h).

The agent has the same table for its own use; the two sides never import each other, and a test compares them.
"""

from collections.abc import Iterable, Sequence

from fsmend_proto.v1 import command_pb2, event_pb2, incident_pb2

METAPATH = 29
_METAPATHS = range(1, 10)  # XFS_SCRUB_METAPATH_*: every metadata file whose path is known
_INODE = event_pb2.XFS_SCOPE_INODE

SCRUB_TYPES: dict[int, tuple[tuple[int, ...], ...]] = {
    # counters, the three quotas, rt_bitmap, rt_summary, quotacheck, nlinks, metadir, metapath
    event_pb2.XFS_SCOPE_FS: ((24,), (21,), (22,), (23,), (19,), (20,), (25,), (26,), (26, METAPATH), (METAPATH,)),
    # sb, agf, agfl, agi, bnobt, cntbt, inobt, finobt, rmapbt, refcntbt, inodes
    event_pb2.XFS_SCOPE_AG: ((1,), (2,), (3,), (4,), (5,), (6,), (7,), (8,), (9,), (10,), ()),
    # super, bitmap, summary, rmapbt, refcntbt
    event_pb2.XFS_SCOPE_RTGROUP: ((30,), (19,), (20,), (31,), (32,)),
    # inode, bmbtd, bmbta, bmbtc, dir, xattr, symlink, parent, dirtree
    _INODE: ((11,), (12,), (13,), (14,), (15,), (16,), (17,), (18,), (28,)),
}
"""XfsScope → for each bit of its mask, from bit 0, the types that look after it."""

WHOLE_INODE = (11, 12, 13, 15, 16, 17, 18)
"""For an inode that was reported without its mask: one that does not load tells none."""

ITEMS_LIMIT = 256
PLACES_LIMIT = 64
"""An incident lists so many places, the sick ones first."""


def is_more_than_named(places: Sequence[incident_pb2.Place], *, others_unknown: bool = False) -> bool:
    """Say whether more is sick than can be named: then pieces would mend a part, and the whole is to be taken.

    Args:
        places: of the incident.
        others_unknown: the kernel merged errors, so places are missing.
    """
    return (
        others_unknown
        or (len(places) >= PLACES_LIMIT and bool(places[-1].xfs_sick))
        or len(_items(places)) > ITEMS_LIMIT
    )


def items_of(places: Sequence[incident_pb2.Place], *, others_unknown: bool = False) -> list[command_pb2.XfsScrubItem]:
    """Return the pieces to mend for an incident's places, each once.

    None when no place says what is sick, and when more is sick than can be named: the whole filesystem.
    """
    return [] if is_more_than_named(places, others_unknown=others_unknown) else _items(places)


def _items(places: Iterable[incident_pb2.Place]) -> list[command_pb2.XfsScrubItem]:
    """Return a piece for each bit that is set at a place."""
    found: dict[tuple[int, int, int, int], None] = {}
    for place in places:
        for scrub_type in _types(place):
            for agno, ino, generation in _where(place, scrub_type):
                found[scrub_type, agno, ino, generation] = None
    return [
        command_pb2.XfsScrubItem(type=scrub_type, agno=agno, ino=ino, generation=generation)
        for scrub_type, agno, ino, generation in found
    ]


def _types(place: incident_pb2.Place) -> list[int]:
    """Return what to scrub at a place."""
    if not place.xfs_sick:
        return list(WHOLE_INODE) if place.ino else []
    bits = SCRUB_TYPES.get(place.xfs_scope, ())
    return [one for position, types in enumerate(bits) if place.xfs_sick >> position & 1 for one in types]


def _where(place: incident_pb2.Place, scrub_type: int) -> list[tuple[int, int, int]]:
    """Return group, inode and generation for a type; for METAPATH one of each known path."""
    if scrub_type == METAPATH:
        return [(0, path, 0) for path in _METAPATHS]
    if place.ino:
        return [(0, place.ino, place.generation)]
    return [(place.xfs_number, 0, 0)]
