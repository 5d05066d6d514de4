"""The change feed: what was changed on a part of the fleet, kept in rows; candidate causes for diagnosis.

Roll-outs and campaigns the collector sees by itself, maintenance windows an operator declares.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from fsmend_collector.audit import audit
from fsmend_collector.diagnosis.groups import Change
from fsmend_collector.diagnosis.groups.dimensions import DIMENSIONS, label_dimension
from fsmend_collector.diagnosis.groups.views import Group
from fsmend_collector.errors import CommandRefused
from fsmend_collector.store.schema import changes
from fsmend_collector.store.scope import agents_of_host

MAINTENANCE, ROLLOUT, CAMPAIGN = "maintenance", "rollout", "campaign"
_QUIET_ASPECTS = frozenset({"silent", "lost", "link", "media"})
_LISTED = 10_000
_LONGEST_SCOPE = 500
_LABEL = "label:"


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


def scope_of(text: str) -> Group:
    """Return the group that an operator means by `rack=r1`: a label of hosts, or another dimension.

    Raises:
        CommandRefused: it is no such text.
    """
    name, separator, value = text.partition("=")
    if not separator or not name.strip() or not value.strip():
        raise CommandRefused(f"{text!r} names no part of the fleet; write LABEL=VALUE, such as rack=r1, or fleet=all")
    if len(text) > _LONGEST_SCOPE:
        raise CommandRefused(f"the scope has {len(text)} characters\nwrite {_LONGEST_SCOPE} at most")
    name, value = name.strip(), value.strip()
    own = name in DIMENSIONS or name.startswith(_LABEL)  # as `fsmend change list` writes it
    return (name if own else label_dimension(name), value)


def scope_in(connection: Connection, text: str) -> Group:
    """Return the group that an operator means; a host is called by its name.

    Raises:
        CommandRefused: it is no such text, or no one host is called so.
    """
    name, value = scope_of(text)
    if name != "host":
        return name, value
    found = list(agents_of_host(connection, value))
    if len(found) != 1:
        problem = (
            f"there are several hosts {value!r}\nwrite" if found else f"there is no host {value!r}\nwrite its name or"
        )
        raise CommandRefused(f"{problem} the id of its agent; `fsmend get hosts -o wide` lists them")
    return name, found[0]


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
