"""An incident that is put together when it is asked for.

Putting one together costs more than all else that diagnosis does for an event, and in a storm most are told anew before
anybody reads them. So what is handed out knows its incident, and makes the message once, when it is read.
"""

from collections.abc import Callable, Iterable, Sequence

from fsmend_proto.v1 import incident_pb2

_Make = Callable[[], incident_pb2.Incident]
_Names = Callable[[], Iterable[str]]
_Growth = Callable[[], Sequence[str]]


class IncidentView:
    """One incident as it is.

    Attributes:
        id: of the incident.
        agent_id: whose unit it is of.
        resolved: it is over.
        resolved_ns: time of the proof that ended it, 0: it is not over.
        shared: it is of a shared cause.
        began_ns: when it began or was first told, whichever is later: clocks of hosts may be off.
        into: id of the shared cause that it is part of; empty: none.
        insufficient: says what else fails nearby, when that is too little for a shared cause; asked when it is read.
    """

    __slots__ = (
        "_growth",
        "_incident",
        "_make",
        "_names",
        "_since",
        "agent_id",
        "began_ns",
        "id",
        "insufficient",
        "into",
        "resolved",
        "resolved_ns",
        "shared",
    )

    def __init__(
        self,
        incident_id: str,
        agent_id: str,
        began_ns: int,
        make: _Make,
        names: _Names,
        *,
        resolved: bool,
        resolved_ns: int = 0,
        since: Callable[[], int] | None = None,
        growth: _Growth = tuple,
    ) -> None:
        self.id = incident_id
        self.agent_id = agent_id
        self.began_ns = began_ns
        self.resolved = resolved
        self.resolved_ns = resolved_ns
        self.shared = False
        self.into = ""
        # Given the view, and not bound to it: a circle would stay until Python looks for garbage.
        self.insufficient: Callable[[IncidentView], str] | None = None
        self._make = make
        self._names = names
        self._growth = growth
        self._since = since
        self._incident: incident_pb2.Incident | None = None

    @property
    def names(self) -> Iterable[str]:
        """List the units that it names, its own first: those that a shared cause may explain."""
        return self._names()

    @property
    def since_ns(self) -> int:
        """Return when the earliest error happened that no proof covers."""
        return self._since() if self._since is not None else self.began_ns

    def take_growth(self) -> Sequence[str]:
        """Return the events that came since it was told: who stores it asks before it is put together.

        They are in it then, and would be counted twice after a restart if their ids were not stored with it.
        """
        return self._growth() if self._incident is None else ()

    @property
    def incident(self) -> incident_pb2.Incident:
        """Return the whole of it, as it is when this is first asked."""
        if self._incident is None:
            self._incident = self._make()
            if self.into:
                self._incident.state, self._incident.merged_into = incident_pb2.INCIDENT_STATE_MERGED, self.into
            elif self.insufficient is not None:
                self._incident.insufficient = self.insufficient(self)
        return self._incident


def view_of_made(incident: incident_pb2.Incident, names: Sequence[str] = ()) -> IncidentView:
    """Return the view of an incident that is a message already."""
    return IncidentView(
        incident.id,
        incident.unit.agent_id,
        max(incident.onset_ns, incident.opened_ns),
        lambda: incident,
        lambda: names,
        since=lambda: incident.onset_ns,
        resolved=incident.state == incident_pb2.INCIDENT_STATE_RESOLVED,
    )
