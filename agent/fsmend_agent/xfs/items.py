"""Items: the pieces of XFS metadata that a command names, as the kernel's scrub takes them. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from fsmend_agent.errors import ActionRefused
from fsmend_agent.kernel.xfs_health import HEALTH_BITS, HealthDomain, MetaPath, ScrubType
from fsmend_proto.v1 import command_pb2 as pb

ITEMS_LIMIT = 1024

_T = ScrubType
INODE_TYPES = frozenset({_T.INODE, _T.BMBTD, _T.BMBTA, _T.BMBTC, _T.DIR, _T.XATTR, _T.SYMLINK, _T.PARENT, _T.DIRTREE})
AG_TYPES = frozenset({_T.SB, _T.AGF, _T.AGFL, _T.AGI, _T.BNOBT, _T.CNTBT, _T.INOBT, _T.FINOBT, _T.RMAPBT, _T.REFCNTBT})
RTGROUP_TYPES = frozenset({_T.RGSUPER, _T.RTRMAPBT, _T.RTREFCBT})
MAYBE_RTGROUP_TYPES = frozenset({_T.RTBITMAP, _T.RTSUM})  # of the filesystem before Linux 6.13, of a group from then on
SUMMARIES = (_T.QUOTACHECK, _T.NLINKS, _T.FSCOUNTERS)
"""What counts over everything else: it comes last, and is only mended when everything else is right."""


@dataclass(frozen=True, slots=True, order=True)
class Item:
    """One piece: what to scrub, and where. `generation` 0 means: not known."""

    scrub_type: ScrubType
    group: int = 0
    inode: int = 0
    generation: int = 0

    @property
    def name(self) -> str:
        """Name it for a person: "bnobt of ag 1", "dir of inode 131", "fscounters"."""
        word = self.scrub_type.name.lower()
        if self.scrub_type in AG_TYPES:
            return f"{word} of ag {self.group}"
        if self.scrub_type in RTGROUP_TYPES:
            return f"{word} of rtgroup {self.group}"
        if self.scrub_type in INODE_TYPES:
            return f"{word} of inode {self.inode}"
        return f"{word} {MetaPath(self.inode).name.lower()}" if self.scrub_type is _T.METAPATH else word

    @property
    def scope(self) -> tuple[int, int, int]:
        """Return what one vector of scrubs is about: inode, generation and group."""
        return self.inode, self.generation, self.group

    @property
    def domain(self) -> HealthDomain:
        """Return in whose health mask it shows."""
        if self.scrub_type in AG_TYPES:
            return HealthDomain.AG
        if self.scrub_type in RTGROUP_TYPES:
            return HealthDomain.RTGROUP
        return HealthDomain.INODE if self.scrub_type in INODE_TYPES else HealthDomain.FS

    @property
    def mask(self) -> int:
        """Return the health bits that it looks after."""
        return sum(bit.bit for bit in HEALTH_BITS[self.domain] if self.scrub_type in bit.scrub_types)

    def message(self) -> pb.XfsScrubItem:
        """Return it as a command has it."""
        return pb.XfsScrubItem(type=self.scrub_type, agno=self.group, ino=self.inode, generation=self.generation)


def read_items(messages: Iterable[pb.XfsScrubItem], group_count: int, rtgroup_count: int = 0) -> list[Item]:
    """Return a command's items, each once, in the order in which they are to be mended.

    Raises:
        ActionRefused: MALFORMED, with the first item that makes no sense here.
    """
    items = {_read(message, group_count, rtgroup_count) for message in messages}
    if len(items) > ITEMS_LIMIT:
        raise ActionRefused(pb.REFUSAL_CODE_MALFORMED, f"more than {ITEMS_LIMIT} items: scrub the whole filesystem")
    return sorted(items, key=_turn)


def _turn(item: Item) -> tuple[int, int, int, int]:
    """Sort group by group and inode by inode, within each as the kernel numbers the types: headers before btrees."""
    last = SUMMARIES.index(item.scrub_type) + 1 if item.scrub_type in SUMMARIES else 0
    domain = (HealthDomain.AG, HealthDomain.RTGROUP, HealthDomain.INODE, HealthDomain.FS).index(item.domain)
    return last, domain, item.group + item.inode, item.scrub_type


def _read(message: pb.XfsScrubItem, group_count: int, rtgroup_count: int) -> Item:
    """Return one item with nothing in it that its type does not use."""
    try:
        scrub_type = ScrubType(message.type)
    except ValueError:
        raise _malformed(f"no scrub type {message.type} is known here") from None
    if scrub_type in {ScrubType.PROBE, ScrubType.HEALTHY}:
        raise _malformed(f"{scrub_type.name.lower()} is no piece of metadata")
    if scrub_type in INODE_TYPES:
        if not message.ino:
            raise _malformed(f"{scrub_type.name.lower()} without an inode")
        return Item(scrub_type, inode=message.ino, generation=message.generation)
    if scrub_type in AG_TYPES | RTGROUP_TYPES:
        count = group_count if scrub_type in AG_TYPES else rtgroup_count
        if message.agno >= count:
            raise _malformed(f"{scrub_type.name.lower()} of group {message.agno}, but there are {count}")
        return Item(scrub_type, group=message.agno)
    if scrub_type is ScrubType.METAPATH:
        if message.ino not in set(MetaPath):
            raise _malformed(f"metapath {message.ino} is not known here")
        return Item(scrub_type, inode=message.ino)
    if scrub_type in MAYBE_RTGROUP_TYPES and rtgroup_count:
        return Item(scrub_type, group=message.agno)
    return Item(scrub_type)


def _malformed(reason: str) -> ActionRefused:
    return ActionRefused(pb.REFUSAL_CODE_MALFORMED, reason)
