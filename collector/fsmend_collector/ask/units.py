"""Find the device that an operator names: its id, its serial number, or HOST:NAME."""

from typing import Any

from sqlalchemy import Connection, Row, or_, select

from fsmend_collector.errors import NoSuchObject
from fsmend_collector.store.schema import agents, devices
from fsmend_collector.store.scope import agents_of_host, has_prefix


def device_named(connection: Connection, name: str) -> Row[Any]:
    """Return the row of `devices`, with the host's name; one that is present wins over one that left.

    Raises:
        NoSuchObject: none or several are called so.
    """
    statement = select(devices, agents.c.host_name).join(agents, agents.c.agent_id == devices.c.agent_id)
    named = or_(devices.c.device_id == name, devices.c.serial == name)
    rows = connection.execute(statement.where(named)).all() if name else []
    if not rows and name:
        rows = connection.execute(statement.where(has_prefix(devices.c.device_id, name)).limit(6)).all()
    if not rows and ":" in name:
        host, _, kernel_name = name.rpartition(":")
        here = agents_of_host(connection, host)
        own = or_(devices.c.name == kernel_name.removeprefix("/dev/"), devices.c.device_id == kernel_name)
        rows = connection.execute(statement.where(devices.c.agent_id.in_(list(here)), own)).all()
        if not here and ":" not in host:
            raise NoSuchObject(f"there is no host {host!r}\n`fsmend get hosts` lists them")
    present = [row for row in rows if row.present]
    return _only(present or list(rows), name)


def _only(rows: list[Row[Any]], name: str) -> Row[Any]:
    if len(rows) == 1:
        return rows[0]
    if not rows:
        advice = "give its id, its serial number, or HOST:NAME as in web1:sda; `fsmend get devices` lists them"
        raise NoSuchObject(f"there is no device {name!r}\n{advice}")
    several = ", ".join(f"{row.host_name}:{row.name} ({row.device_id})" for row in rows[:5])
    raise NoSuchObject(f"{name!r} is not unique among the devices: {several}\nwrite HOST:NAME or more of the id")
