"""What was last told of a fault, and what waits to be told."""

from fsmend_proto.v1 import incident_pb2

Face = tuple[object, ...]
"""What must be told at once when it changes."""


class Told:
    """What was last told of one fault.

    Attributes:
        face: that was told.
        state: that was told; UNSPECIFIED: nothing was.
        told_ns: when, collector's wall clock.
        occurrences: that were told.
        pending: ids of the events that came since.
        waits: it is among those that the ledger tells in time.
        plain: what decided its look, while nothing but errors came; 0: something else did, or nothing was told.
    """

    __slots__ = ("face", "occurrences", "pending", "plain", "state", "told_ns", "waits")

    def __init__(self) -> None:
        self.face: Face = ()
        self.state: incident_pb2.IncidentState.ValueType = incident_pb2.INCIDENT_STATE_UNSPECIFIED
        self.told_ns = 0
        self.occurrences = 0
        self.pending: list[str] = []
        self.waits = False
        self.plain = 0
