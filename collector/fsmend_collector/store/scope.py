"""Look up what the names in an operator's filter mean: which agents, which devices."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, or_, select

from fsmend_collector.store.queries import EventFilter
from fsmend_collector.store.schema import agents, devices, filesystems, hosts
from fsmend_proto.v1 import query_pb2 as pb

_LAST = "\U0010ffff"


class NoSuchHost(LookupError):  # noqa: N818  what it is
    """Say that a filter names a host that no agent reported."""


@dataclass(frozen=True, slots=True)
class Scope:
    """A filter with its names looked up.

    Attributes:
        numbers: `agents.number` by agent id; None: every agent.
        device_ids: ids that the filter's device means; None: it names none.
    """

    numbers: Mapping[str, int] | None
    device_ids: Sequence[str] | None

    def within(self, column: ColumnElement[str]) -> list[ColumnElement[bool]]:
        """Return the condition that an agent id column is within this scope."""
        return [] if self.numbers is None else [column.in_(list(self.numbers))]

    def about(self, column: ColumnElement[str]) -> list[ColumnElement[bool]]:
        """Return the condition that a device id column is one of the devices meant."""
        return [] if self.device_ids is None else [column.in_(self.device_ids)]


def look_up(connection: Connection, wanted: pb.Filter) -> Scope:
    """Look the names up.

    Raises:
        NoSuchHost: the filter's host is unknown.
    """
    found: dict[str, int] | None = None
    if wanted.host:
        found = agents_of_host(connection, wanted.host)
        if not found:
            raise NoSuchHost(wanted.host)
    if wanted.labels:
        labelled = _agents_with_labels(connection, wanted.labels)
        found = labelled if found is None else {name: found[name] for name in found if name in labelled}
    ids: list[str] | None = None
    if wanted.device:
        statement = select(devices.c.device_id).where(
            or_(devices.c.device_id == wanted.device, devices.c.name == wanted.device)
        )
        if found is not None:
            statement = statement.where(devices.c.agent_id.in_(list(found)))
        ids = sorted({*connection.execute(statement).scalars(), wanted.device})
    return Scope(found, ids)


def agents_of_host(connection: Connection, host: str) -> dict[str, int]:
    """Return the agents that `host` names: agent id, a prefix of it that only one has, or host name."""
    named = select(hosts.c.agent_id).where(hosts.c.name == host)
    exact = or_(agents.c.agent_id == host, agents.c.host_name == host, agents.c.agent_id.in_(named))
    columns = select(agents.c.agent_id, agents.c.number)
    found = {row.agent_id: row.number for row in connection.execute(columns.where(exact))}
    if found:
        return found
    matching = connection.execute(columns.where(has_prefix(agents.c.agent_id, host)).limit(2)).all()
    return {row.agent_id: row.number for row in matching} if len(matching) == 1 else {}


def has_prefix(column: ColumnElement[str], prefix: str) -> ColumnElement[bool]:
    """Return the condition that a text begins with `prefix`; a range, so that an index serves it."""
    return and_(column >= prefix, column < prefix + _LAST)


def _agents_with_labels(connection: Connection, labels: Mapping[str, str]) -> dict[str, int]:
    joined = select(hosts.c.labels, agents.c.agent_id, agents.c.number).join(
        agents, agents.c.agent_id == hosts.c.agent_id
    )
    return {
        row.agent_id: row.number
        for row in connection.execute(joined)
        if labels.items() <= json.loads(row.labels or "{}").items()
    }


def event_filter(connection: Connection, wanted: pb.Filter, **bounds: Any) -> EventFilter:
    """Return the filter for `queries.events_page` and `queries.events_after`.

    Raises:
        NoSuchHost: the filter's host is unknown.
    """
    scope = look_up(connection, wanted)
    numbers = None if scope.numbers is None else set(scope.numbers.values())
    if wanted.filesystem_uuid:
        # The events of one filesystem are found through the agents that ever had it: there is no index by UUID.
        having = select(agents.c.number).join(filesystems, filesystems.c.agent_id == agents.c.agent_id)
        mine = set(connection.execute(having.where(filesystems.c.filesystem_uuid == wanted.filesystem_uuid)).scalars())
        if mine:
            numbers = mine if numbers is None else numbers & mine
    return EventFilter(
        agents=None if numbers is None else sorted(numbers),
        since_ns=wanted.since_ns,
        until_ns=wanted.until_ns,
        kinds=list(wanted.kinds),
        min_severity=wanted.min_severity,
        source=wanted.source,
        filesystem_uuid=wanted.filesystem_uuid,
        device_ids=scope.device_ids or (),
        incident_id=wanted.incident_id,
        **bounds,
    )
