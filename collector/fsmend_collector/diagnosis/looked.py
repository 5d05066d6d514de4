"""What a command for single pieces looked at: its good end is a proof for these, and for nothing beside them. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from fsmend_collector.diagnosis.evidence import Evidence
from fsmend_collector.diagnosis.fault import Fault
from fsmend_collector.diagnosis.places import PLACES_LISTED
from fsmend_collector.xfs_items import items_of
from fsmend_proto.v1 import command_pb2, event_pb2

_Piece = tuple[int, int, int]  # scrub type, inode, group where there is no inode
_GROUPS = frozenset({event_pb2.XFS_SCOPE_AG, event_pb2.XFS_SCOPE_RTGROUP})


def is_part(command: command_pb2.Command) -> bool:
    """Say whether a command names pieces of its target, or some of its devices."""
    return bool(command.scrub_xfs.items or command.repair_xfs.items or command.scrub_btrfs.devids)


@dataclass(frozen=True, slots=True)
class Looked:
    """The pieces of an XFS, or the devices of a btrfs."""

    pieces: frozenset[_Piece]
    devids: frozenset[int]

    @classmethod
    def of(cls, result: command_pb2.CommandResult) -> "Looked | None":
        """Take it from a result; None when the command went on to the whole filesystem."""
        if any(not one.HasField("item") for one in result.xfs_scrubs):
            return None
        return cls(_pieces(one.item for one in result.xfs_scrubs), frozenset(one.devid for one in result.scrubs))

    def covers(self, fault: Fault) -> bool:
        """Say whether it is all that a fault is known to be about."""
        if fault.tally.devids:
            return fault.tally.devids.keys() <= self.devids
        places = fault.place_rows(ever=True)
        needed = _pieces(items_of(places, others_unknown=fault.others_unknown))
        if fault.places.count() > PLACES_LISTED:
            return False
        return bool(needed) and needed <= self.pieces

    def is_beside(self, evidence: Evidence) -> bool:
        """Say whether a finding is of a place that was not looked at; one without a place may be the command's own."""
        if self.devids:
            return bool(evidence.devid) and evidence.devid not in self.devids
        if evidence.ino:
            return all(ino != evidence.ino for _, ino, _ in self.pieces)
        return evidence.xfs_scope in _GROUPS and all(group != evidence.xfs_number for _, _, group in self.pieces)


def _pieces(items: Iterable[command_pb2.XfsScrubItem]) -> frozenset[_Piece]:
    return frozenset((one.type, one.ino, 0 if one.ino else one.agno) for one in items)
