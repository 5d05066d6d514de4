"""Find the incident that an operator names: its id, or a unique prefix; and say what is near when there is none."""

from difflib import get_close_matches

from sqlalchemy import Connection, or_, select

from fsmend_collector.errors import CommandRefused, NoSuchObject
from fsmend_collector.store.schema import incidents
from fsmend_collector.store.scope import has_prefix
from fsmend_proto.v1 import incident_pb2

_LOOKED_AT = 5_000
_NEAREST = 3
_PREFIX = "inc-"


def incident_named(connection: Connection, name: str) -> incident_pb2.Incident:
    """Return the one incident that an id or a prefix means; `inc-` may be left out.

    Raises:
        NoSuchObject: none or several are called so.
    """
    wanted = name if name.startswith(_PREFIX) else _PREFIX + name
    columns = select(incidents.c.id, incidents.c.incident)
    rows = connection.execute(columns.where(incidents.c.id.in_([name, wanted]))).all()
    if not rows and name:
        near = or_(has_prefix(incidents.c.id, name), has_prefix(incidents.c.id, wanted))
        rows = connection.execute(columns.where(near).order_by(incidents.c.id).limit(6)).all()
    if len(rows) == 1:
        return incident_pb2.Incident.FromString(rows[0].incident)
    if rows:
        several = ", ".join(row.id for row in rows[:5]) + (" …" if len(rows) > 5 else "")
        raise NoSuchObject(f"{name!r} is not unique among the incidents: {several}\nwrite more of it")
    raise NoSuchObject(f"there is no incident {name!r}\n{_advice(connection, wanted)}")


def _advice(connection: Connection, wanted: str) -> str:
    """Name the ids that are spelt most like it."""
    newest = select(incidents.c.id).order_by(incidents.c.updated_ns.desc()).limit(_LOOKED_AT)
    near = get_close_matches(wanted, list(connection.execute(newest).scalars()), _NEAREST, 0.6)
    nearest = f"nearest: {', '.join(near)}; " if near else ""
    return f"{nearest}`fsmend get incidents --all` lists them"


def refuse_closed(incident: incident_pb2.Incident, wish: str) -> None:
    """Refuse a word on an incident that it cannot be said of.

    Raises:
        CommandRefused: it is over, or another one explains it.
    """
    if incident.state == incident_pb2.INCIDENT_STATE_RESOLVED:
        text = f"incident {incident.id} is resolved already: {incident.resolution}"
        raise CommandRefused(f"{text}\nthere is nothing to {wish}")
    if incident.state == incident_pb2.INCIDENT_STATE_MERGED and incident.merged_into:
        text = f"incident {incident.id} is explained by {incident.merged_into}"
        raise CommandRefused(f"{text}\n{wish} that one: `fsmend {wish} {incident.merged_into}`")
