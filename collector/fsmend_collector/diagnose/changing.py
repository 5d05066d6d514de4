"""The change feed: what was changed on a part of the fleet, kept in rows; candidate causes for diagnosis.

Roll-outs and campaigns the collector sees by itself, maintenance windows an operator declares.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from fsmend_collector.audit import audit
from fsmend_collector.diagnosis.groups import Change
from fsmend_collector.store.schema import changes

MAINTENANCE, ROLLOUT, CAMPAIGN = "maintenance", "rollout", "campaign"
_QUIET_ASPECTS = frozenset({"silent", "lost", "link", "media"})
_LISTED = 10_000


@dataclass(frozen=True, slots=True)
class Declared:
    """One change as its row has it.

    Attributes:
        kind: maintenance, rollout or campaign.
        by: who declared it.
    """

    id: str
    kind: str
    change: Change
    by: str = "collector"


def write_change(connection: Connection, declared: Declared, now_ns: int) -> None:
    """Write a change, in place of what its id was."""
    one = declared.change
    row = {
        "kind": declared.kind,
        "name": one.name,
        "dimension": one.scope[0],
        "value": one.scope[1],
        "from_ns": one.from_ns,
        "until_ns": one.until_ns,
        "expects_silence": bool(one.expected),
        "declared_by": declared.by,
        "declared_ns": now_ns,
    }
    if connection.execute(update(changes).where(changes.c.id == declared.id).values(**row)).rowcount == 0:
        connection.execute(insert(changes).values(id=declared.id, **row))


def declare_maintenance(connection: Connection, declared: Declared, now_ns: int) -> None:
    """Declare a maintenance window: what fails in its scope, but for corruption, is not counted."""
    one = declared.change
    quiet = Change(one.name, one.scope, one.from_ns, one.until_ns, _QUIET_ASPECTS)
    write_change(connection, Declared(declared.id, MAINTENANCE, quiet, declared.by), now_ns)
    audit(connection, now_ns, declared.by, "maintenance.declared", "change", declared.id, one.name)


def declare_change(connection: Connection, declared: Declared, now_ns: int) -> None:
    """Declare a maintenance window, or a roll-out or campaign that the collector does not see by itself."""
    if declared.kind == MAINTENANCE:
        declare_maintenance(connection, declared, now_ns)
        return
    write_change(connection, declared, now_ns)
    audit(connection, now_ns, declared.by, "change.declared", "change", declared.id, declared.change.name)


def end_change(connection: Connection, change_id: str, by: str, now_ns: int) -> bool:
    """End what was declared now; false when there is no such change that is not over."""
    mine = (changes.c.id == change_id, changes.c.until_ns > now_ns)
    row = connection.execute(select(changes.c.kind, changes.c.from_ns).where(*mine)).first()
    if row is None or row.kind == MAINTENANCE:
        return row is not None and end_maintenance(connection, change_id, by, now_ns)
    ended = update(changes).where(*mine).values(until_ns=now_ns)
    connection.execute(ended if row.from_ns <= now_ns else delete(changes).where(*mine))
    audit(connection, now_ns, by, "change.ended", "change", change_id)
    return True


def end_maintenance(connection: Connection, change_id: str, by: str, now_ns: int) -> bool:
    """End a maintenance window now; false when there is none that is not over."""
    chosen = (changes.c.id == change_id, changes.c.kind == MAINTENANCE, changes.c.until_ns > now_ns)
    row = connection.execute(select(changes.c.from_ns).where(*chosen)).first()
    if row is None:
        return False
    if row.from_ns > now_ns:
        connection.execute(delete(changes).where(*chosen))
    else:
        connection.execute(update(changes).where(*chosen).values(until_ns=now_ns))
    audit(connection, now_ns, by, "maintenance.ended", "change", change_id)
    return True


def stored_changes(connection: Connection, since_ns: int) -> list[Declared]:
    """Return the changes whose effects may show at or after a time, oldest first; of too many the newest."""
    chosen = select(changes).where(changes.c.until_ns >= since_ns)
    rows = connection.execute(chosen.order_by(changes.c.from_ns.desc(), changes.c.id.desc()).limit(_LISTED))
    return [_declared(row) for row in rows][::-1]


def _declared(row: Any) -> Declared:
    expected = _QUIET_ASPECTS if row.expects_silence else frozenset()
    change = Change(row.name, (row.dimension, row.value), row.from_ns, row.until_ns, expected)
    return Declared(row.id, row.kind, change, row.declared_by)
