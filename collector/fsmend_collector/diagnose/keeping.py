"""Keeping: the rows from which the group scan goes on after a restart.

They are written in the transaction that says how far diagnosis has read. What the scan learnt of clocks and inventories
when the findings came is in there, so that it reaches the same verdicts again whatever changed since.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, fields
from operator import attrgetter

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from fsmend_collector.diagnosis.groups.marks import Journal, UnitKey
from fsmend_collector.diagnosis.groups.settings import HOUR_NS
from fsmend_collector.diagnosis.groups.views import DeviceView, HostView
from fsmend_collector.store.schema import faulty_hosts, meta, sightings

LEARNT_RATES = "learnt_rates"
_ROWS_A_READ = 5_000
_device_row = attrgetter(*(one.name for one in fields(DeviceView)))


@dataclass(frozen=True, slots=True)
class Sighting:
    """When one unit failed: the earliest error of an hour, and where in its code a filesystem failed."""

    key: UnitKey
    time_ns: int
    evidence: str
    signature: str = ""


def view_text(view: HostView) -> str:
    """Return a view as a row keeps it."""
    devices = [_device_row(one) for one in view.devices]
    return json.dumps([view.host_name, view.kernel, view.labels, devices, view.filesystems], separators=(",", ":"))


def view_from_text(agent_id: str, text: str) -> HostView:
    """Take a view back."""
    name, kernel, labels, devices, filesystems = json.loads(text)
    return HostView(
        agent_id,
        name,
        kernel,
        tuple((label, value) for label, value in labels),
        tuple(DeviceView(*one) for one in devices),
        {uuid: (kind, tuple(below), target) for uuid, (kind, below, target) in filesystems.items()},
    )


def write_journal(connection: Connection, journal: Journal) -> None:
    """Write what the scan noted."""
    keys = [
        {"one_agent": key[2], "one_aspect": key[0], "one_kind": key[1], "one_unit": key[3], "one_hour": hour}
        for key, hour in journal.sightings
    ]
    if keys:
        mine = (
            sightings.c.agent_id == bindparam("one_agent"),
            sightings.c.aspect == bindparam("one_aspect"),
            sightings.c.kind == bindparam("one_kind"),
            sightings.c.unit == bindparam("one_unit"),
            sightings.c.hour == bindparam("one_hour"),
        )
        connection.execute(delete(sightings).where(*mine), keys)
        rows = [
            {"aspect": key[0], "kind": key[1], "agent_id": key[2], "unit": key[3], "hour": hour}
            | {"time_ns": time_ns, "evidence": evidence, "signature": signature}
            for (key, hour), (time_ns, evidence, signature) in journal.sightings.items()
        ]
        connection.execute(insert(sightings), rows)
    views = [{"one": agent_id, "seen": view_text(view)} for agent_id, view in journal.views.items()]
    if views:
        connection.execute(delete(faulty_hosts).where(faulty_hosts.c.agent_id == bindparam("one")), views)
        connection.execute(insert(faulty_hosts).values(agent_id=bindparam("one"), seen=bindparam("seen")), views)


def stored_sightings(connection: Connection) -> Iterator[Sighting]:
    """Yield every sighting that is kept, in one order."""
    chosen = select(sightings).order_by(sightings.c.time_ns, sightings.c.agent_id, sightings.c.aspect, sightings.c.unit)
    for row in connection.execute(chosen).yield_per(_ROWS_A_READ):
        yield Sighting((row.aspect, row.kind, row.agent_id, row.unit), row.time_ns, row.evidence, row.signature)


def stored_views(connection: Connection) -> Iterator[HostView]:
    """Yield the views of the hosts of all sightings."""
    for row in connection.execute(select(faulty_hosts)).yield_per(_ROWS_A_READ):
        yield view_from_text(row.agent_id, row.seen)


def forget_sightings(connection: Connection, before_ns: int, held: frozenset[str]) -> None:
    """Forget what the scan has forgotten: sightings before a time, but for hosts that a verdict holds.

    Args:
        connection: of the store.
        before_ns: collector's wall clock.
        held: agents whose marks are in a verdict.
    """
    chosen = select(sightings.c.agent_id).where(sightings.c.time_ns < before_ns).distinct()
    gone = [{"one": agent_id} for agent_id in connection.execute(chosen).scalars() if agent_id not in held]
    if gone:
        old = (sightings.c.agent_id == bindparam("one"), sightings.c.time_ns < before_ns // HOUR_NS * HOUR_NS)
        connection.execute(delete(sightings).where(*old), gone)
        left = select(sightings.c.agent_id).where(sightings.c.agent_id == faulty_hosts.c.agent_id).exists()
        connection.execute(delete(faulty_hosts).where(faulty_hosts.c.agent_id == bindparam("one"), ~left), gone)


def write_rates(connection: Connection, text: str) -> None:
    """Write what was learnt."""
    if connection.execute(update(meta).where(meta.c.key == LEARNT_RATES).values(value=text)).rowcount == 0:
        connection.execute(insert(meta).values(key=LEARNT_RATES, value=text))


def stored_rates(connection: Connection) -> str:
    """Return what was learnt."""
    return connection.execute(select(meta.c.value).where(meta.c.key == LEARNT_RATES)).scalar() or ""
