"""Scopes: the part of the fleet that an operator means by `rack=r1`, and what there is when nothing is called so."""

import json
from collections.abc import Iterable
from difflib import get_close_matches

from sqlalchemy import Connection, select

from fsmend_collector.diagnose.census import Counted
from fsmend_collector.diagnosis.groups.dimensions import (
    DIMENSIONS,
    FLEET_VALUE,
    LABEL_DIMENSIONS,
    dimension,
    label_dimension,
)
from fsmend_collector.diagnosis.groups.views import Group
from fsmend_collector.errors import CommandRefused, NoSuchObject
from fsmend_collector.store.schema import agents, counted_hosts, hosts
from fsmend_collector.store.scope import agents_of_host

_LONGEST_SCOPE = 500
_LABEL = "label:"
_NAMED = 8
_ROWS_A_READ = 2_000
_TO_COME = "with --force it may be one that is still to come"


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


def scope_in(connection: Connection, text: str, *, to_come: bool = False) -> Group:
    """Return the group that an operator means; a host is called by its name.

    Args:
        connection: of the store.
        text: LABEL=VALUE.
        to_come: nobody needs to be in that group yet.

    Raises:
        CommandRefused: it is no such text, or no one host is called so.
        NoSuchObject: nobody is in that group; the error says what there is.
    """
    name, value = scope_of(text)
    if name == "host":
        return name, _agent_of(connection, value)
    if not to_come and not dimension(name).local:
        _check(connection, name, value)
    return name, value


def _agent_of(connection: Connection, host: str) -> str:
    found = list(agents_of_host(connection, host))
    if len(found) == 1:
        return found[0]
    problem = f"there are several hosts {host!r}\nwrite" if found else f"there is no host {host!r}\nwrite its name or"
    raise CommandRefused(f"{problem} the id of its agent; `fsmend get hosts -o wide` lists them")


def _check(connection: Connection, name: str, value: str) -> None:
    shown = name.removeprefix(_LABEL)
    if name == "fleet":
        if value != FLEET_VALUE:
            raise NoSuchObject(f"there is no fleet {value!r}\nthe whole fleet is fleet={FLEET_VALUE}")
        return
    of_label = name in LABEL_DIMENSIONS or name.startswith(_LABEL)
    if of_label or name == "kernel":
        labels = _labels(connection)
        known = labels.get(shown if of_label else "", set())
        if not known and of_label:
            names = [*sorted(label for label in labels if label), "kernel", "model", "host"]
            raise NoSuchObject(f"no host has a label {shown!r}\nthere are {_some(shown, names)}; {_TO_COME}")
    else:
        known = _counted(connection, name)
    if value not in known:
        there = f"there are {_some(value, known)}" if known else "none is known"
        raise NoSuchObject(f"no host has {shown}={value}\nof {shown} {there}; {_TO_COME}")


def _some(wanted: str, known: Iterable[str]) -> str:
    """Name what is there, what is spelt most like the wanted one first."""
    names = sorted(known)
    first = get_close_matches(wanted, names, 3, 0.6)
    listed = [*first, *(name for name in names if name not in first)]
    more = f" and {len(listed) - _NAMED} more" if len(listed) > _NAMED else ""
    return ", ".join(listed[:_NAMED]) + more


def _labels(connection: Connection) -> dict[str, set[str]]:
    """Return the values of each label of the fleet's hosts; of the empty name: the kernels."""
    found: dict[str, set[str]] = {}
    chosen = select(hosts.c.labels, hosts.c.kernel_release).join(agents, agents.c.agent_id == hosts.c.agent_id)
    for text, kernel in connection.execute(chosen.where(agents.c.revoked_ns == 0).distinct()).yield_per(_ROWS_A_READ):
        for label, value in {**json.loads(text or "{}"), "": kernel}.items():
            if value:
                found.setdefault(label, set()).add(value)
    return found


def _counted(connection: Connection, name: str) -> set[str]:
    """Return the groups of another dimension, as the population counts them."""
    rows = connection.execute(select(counted_hosts.c.counted)).yield_per(_ROWS_A_READ).scalars()
    return {value for text in rows for of, value in Counted.parse(text).sizes if of == name}
