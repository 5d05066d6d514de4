"""What operators ask for: pages of objects, one object, events after a cursor, one command.

Like `queries`, every function takes a Connection and blocks: run them with `await store.read(function, ...)`.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, Row, func, or_, select

from fsmend_collector.store import queries
from fsmend_collector.store.keyset import BadPageToken, decode_token, encode_token, read_page
from fsmend_collector.store.listings import LISTINGS, Listing
from fsmend_collector.store.schema import agents, audit, commands, devices, events, filesystems, gaps, incidents
from fsmend_collector.store.scope import event_filter, look_up
from fsmend_collector.store.views import (
    OPEN_INCIDENTS,
    AgentName,
    agent_view,
    audit_view,
    command_view,
    device_view,
    event_view,
    filesystem_view,
    gap_view,
    host_view,
    incident_view,
    token_view,
)
from fsmend_proto.v1 import query_pb2 as pb

DEFAULT_PAGE = 100
LARGEST_PAGE = 1000
_MAX_ID = (1 << 63) - 1
_NUMBERED = {pb.OBJECT_KIND_GAP: gaps, pb.OBJECT_KIND_AUDIT: audit}


def list_objects(connection: Connection, request: pb.ListRequest, now_ns: int) -> pb.ListReply:
    """Return one page, or what an id or prefix names.

    Raises:
        BadPageToken: the page token is not one of this list.
        NoSuchHost: the filter's host is unknown.
        KeyError: the kind is unknown.
    """
    size = min(request.page_size or DEFAULT_PAGE, LARGEST_PAGE)
    if request.kind == pb.OBJECT_KIND_EVENT:
        return _events(connection, request, size)
    listing = LISTINGS[request.kind]
    if request.id:
        found = _named(connection, listing, request, size)
        return pb.ListReply(objects=_objects(connection, request, found, now_ns))
    scope = (
        look_up(connection, request.filter)
        if request.kind != pb.OBJECT_KIND_TOKEN
        else look_up(connection, pb.Filter())
    )
    statement = listing.statement.where(*listing.conditions(request.filter, scope, now_ns))
    page = read_page(connection, statement, listing.key, size, request.page_token, descending=listing.descending)
    return pb.ListReply(objects=_objects(connection, request, page.rows, now_ns), next_page_token=page.next_token)


def _named(connection: Connection, listing: Listing, request: pb.ListRequest, size: int) -> Sequence[Row[Any]]:
    """Return the rows that an id names; those that a prefix names when none has it as a whole."""
    numbered = _NUMBERED.get(request.kind)
    if numbered is not None:
        number = _record_id(request.id)
        return [] if number is None else connection.execute(select(numbered).where(numbered.c.id == number)).all()
    statement = listing.statement
    if request.filter.host and request.kind != pb.OBJECT_KIND_TOKEN:
        scope = look_up(connection, pb.Filter(host=request.filter.host))
        statement = statement.where(*scope.within(listing.statement.selected_columns["agent_id"]))
    exact = read_page(connection, statement.where(listing.exactly(request.id)), listing.key, size, "").rows
    return exact or read_page(connection, statement.where(listing.beginning(request.id)), listing.key, size, "").rows


def _objects(
    connection: Connection, request: pb.ListRequest, rows: Sequence[Row[Any]], now_ns: int
) -> Iterable[pb.Object]:
    if request.kind == pb.OBJECT_KIND_AGENT:
        return [pb.Object(agent=agent_view(row, now_ns)) for row in rows]
    if request.kind in {pb.OBJECT_KIND_TOKEN, pb.OBJECT_KIND_AUDIT}:
        of_token = request.kind == pb.OBJECT_KIND_TOKEN
        return [pb.Object(token=token_view(row)) if of_token else pb.Object(audit=audit_view(row)) for row in rows]
    if request.kind == pb.OBJECT_KIND_INCIDENT:
        return [pb.Object(incident=incident_view(row, detail=request.detail)) for row in rows]
    if request.kind == pb.OBJECT_KIND_GAP:
        names = agent_names(connection, {row.agent for row in rows})
        return [pb.Object(gap=gap_view(row, names)) for row in rows]
    if request.kind == pb.OBJECT_KIND_COMMAND:
        return [pb.Object(command=_command(connection, row, detail=request.detail)) for row in rows]
    return _units(connection, request.kind, rows, now_ns)


def _units(connection: Connection, kind: int, rows: Sequence[Row[Any]], now_ns: int) -> list[pb.Object]:
    """Convert hosts, devices and filesystems, which all show how many incidents are open."""
    ids = {row.agent_id for row in rows}
    chosen = select(incidents.c.agent_id, incidents.c.device_id, incidents.c.filesystem_uuid).where(
        incidents.c.agent_id.in_(ids), incidents.c.state.in_(OPEN_INCIDENTS)
    )
    found = connection.execute(chosen).all()
    if kind == pb.OBJECT_KIND_DEVICE:
        by_device = _count((row.agent_id, row.device_id) for row in found)
        return [pb.Object(device=device_view(row, by_device)) for row in rows]
    if kind == pb.OBJECT_KIND_FILESYSTEM:
        by_filesystem = _count((row.agent_id, row.filesystem_uuid) for row in found)
        return [pb.Object(filesystem=filesystem_view(row, by_filesystem)) for row in rows]
    by_agent = _count(row.agent_id for row in found)
    counts = _unit_counts(connection, ids)
    return [pb.Object(host=host_view(row, counts, by_agent, now_ns)) for row in rows]


def _count(keys: Iterable[Any]) -> dict[Any, int]:
    counted: dict[Any, int] = {}
    for key in keys:
        counted[key] = counted.get(key, 0) + 1
    return counted


def _unit_counts(connection: Connection, agent_ids: set[str]) -> dict[str, tuple[int, int]]:
    """Return how many devices and filesystems each agent has now."""
    found: list[dict[str, int]] = []
    for table in (devices, filesystems):
        statement = select(table.c.agent_id, func.count().label("units")).where(
            table.c.agent_id.in_(agent_ids), table.c.present.is_(True)
        )
        found.append({row.agent_id: row.units for row in connection.execute(statement.group_by(table.c.agent_id))})
    return {name: (found[0].get(name, 0), found[1].get(name, 0)) for name in agent_ids}


def agent_names(connection: Connection, numbers: Iterable[int]) -> dict[int, AgentName]:
    """Return the names behind `agents.number`."""
    statement = select(agents.c.number, agents.c.agent_id, agents.c.host_name).where(agents.c.number.in_(list(numbers)))
    return {row.number: AgentName(row.agent_id, row.host_name) for row in connection.execute(statement)}


def _record_id(text: str) -> int | None:
    return int(text) if text.isdecimal() and text.isascii() and len(text) < 20 and int(text) <= _MAX_ID else None


def _events(connection: Connection, request: pb.ListRequest, size: int) -> pb.ListReply:
    if request.id:
        number = _record_id(request.id)
        found = [] if number is None else connection.execute(select(events).where(events.c.id == number)).all()
        return pb.ListReply(objects=[pb.Object(event=view) for view in event_views(connection, found)])
    before = 0
    if request.page_token:
        before = decode_token(request.page_token, 1)[0]  # type: ignore[assignment]
        if not isinstance(before, int) or before < 1:
            raise BadPageToken("the page token belongs to another list")
    wanted = event_filter(connection, request.filter, before_id=before)
    rows = queries.events_page(connection, wanted, size + 1)
    token = encode_token([rows[size - 1].id]) if len(rows) > size else ""
    views = event_views(connection, rows[:size])
    return pb.ListReply(objects=[pb.Object(event=view) for view in views], next_page_token=token)


def event_views(connection: Connection, rows: Sequence[Row[Any]]) -> list[pb.EventView]:
    """Convert rows of `events`, with the names of their hosts and their incidents."""
    if not rows:
        return []
    names = agent_names(connection, {row.agent for row in rows})
    evidence = queries.incidents_of_events(connection, [row.id for row in rows])
    return [event_view(row, names, evidence) for row in rows]


def events_following(
    connection: Connection, wanted: pb.Filter, cursor: int, limit: int
) -> tuple[list[pb.EventView], int]:
    """Return up to `limit` events after `cursor`, oldest first, and the cursor to go on from.

    One snapshot: what is committed later has higher ids.

    Raises:
        NoSuchHost: the filter's host is unknown.
    """
    newest = queries.last_record_id(connection)
    if newest <= cursor:
        return [], cursor
    rows = queries.events_after(connection, cursor, limit, event_filter(connection, wanted))
    reached = rows[-1].id if len(rows) == limit else max(newest, cursor)
    return event_views(connection, rows), reached


def start_cursor(connection: Connection, since_ns: int) -> int:
    """Return the cursor from which a follower begins: now, or right before the first event since a time."""
    return queries.first_event_id_since(connection, since_ns) - 1 if since_ns else queries.last_record_id(connection)


def commands_named(connection: Connection, name: str) -> list[pb.CommandView]:
    """Return the commands whose id is `name` or, when none is, begins with it; at most six, with their history."""
    request = pb.ListRequest(kind=pb.OBJECT_KIND_COMMAND, id=name, detail=True, page_size=6)
    return [found.command for found in list_objects(connection, request, 0).objects]


def _command(connection: Connection, row: Row[Any], *, detail: bool) -> pb.CommandView:
    if not detail:
        return command_view(row, row.host_name)
    # Any agent may send an update with any id; only those of the command's own agent are its history.
    history = [one for one in queries.command_history(connection, row.id) if one.agent == row.agent_number]
    return command_view(row, row.host_name, history)


def command_by_id(connection: Connection, command_id: str) -> pb.CommandView | None:
    """Return one command without its history."""
    statement = LISTINGS[pb.OBJECT_KIND_COMMAND].statement.where(commands.c.id == command_id)
    row = connection.execute(statement).first()
    return None if row is None else command_view(row, row.host_name)


def filesystems_meant(connection: Connection, name: str, agent_ids: Iterable[str] | None) -> list[pb.FilesystemView]:
    """Return the present filesystems of the agents whose UUID is `name` or begins with it; all for an empty name."""
    listing = LISTINGS[pb.OBJECT_KIND_FILESYSTEM]
    present = (filesystems.c.present.is_(True), filesystems.c.filesystem_uuid != "", agents.c.revoked_ns == 0)
    statement = listing.statement.where(*present)
    if agent_ids is not None:
        statement = statement.where(filesystems.c.agent_id.in_(list(agent_ids)))
    if name:
        statement = statement.where(or_(listing.exactly(name), listing.beginning(name)))
    return [filesystem_view(row, {}) for row in connection.execute(statement.order_by(*listing.key))]
