"""Replace what is known of a host with its newest inventory; what vanished stays, marked as not present."""

import json
from typing import Any

from sqlalchemy import Connection, Table, bindparam, insert, select, update

from fsmend_collector.store.schema import agents, devices, filesystems, hosts
from fsmend_proto.v1 import inventory_pb2


def replace_inventory(
    connection: Connection, agent_id: str, inventory: inventory_pb2.Inventory, record_id: int, now_ns: int
) -> None:
    """Write host, devices and filesystems of one agent."""
    _replace_host(connection, agent_id, inventory, record_id, now_ns)
    present = {"present": True, "seen_ns": now_ns}
    device_rows = {_device_key(one): {**device_row(one), **present} for one in inventory.devices}
    _replace(connection, devices, "device_id", agent_id, device_rows, now_ns)
    filesystem_rows = {filesystem_key(one): {**filesystem_row(one), **present} for one in inventory.filesystems}
    _replace(connection, filesystems, "filesystem_key", agent_id, filesystem_rows, now_ns)


def filesystem_key(filesystem: inventory_pb2.Filesystem) -> str:
    """Return what tells the filesystems of one host apart: the UUID, or the device for one without."""
    return _clean(filesystem.ref.uuid or f"device:{filesystem.ref.device_name}")


def _device_key(device: inventory_pb2.Device) -> str:
    return _clean(device.ref.id or f"name:{device.ref.name}")


def _clean(text: str) -> str:
    return text.replace("\0", "\ufffd")


def device_row(device: inventory_pb2.Device) -> dict[str, Any]:
    """Return the columns of one device."""
    return {
        "name": _clean(device.ref.name),
        "kind": _clean(device.kind),
        "model": _clean(device.model),
        "firmware": _clean(device.firmware),
        "serial": _clean(device.serial),
        "device": device.SerializeToString(),
    }


def filesystem_row(filesystem: inventory_pb2.Filesystem) -> dict[str, Any]:
    """Return the columns of one filesystem."""
    return {
        "filesystem_uuid": _clean(filesystem.ref.uuid),
        "type": _clean(filesystem.ref.type),
        "device_name": _clean(filesystem.ref.device_name),
        "read_only": filesystem.read_only,
        "filesystem": filesystem.SerializeToString(),
    }


def _replace_host(
    connection: Connection, agent_id: str, inventory: inventory_pb2.Inventory, record_id: int, now_ns: int
) -> None:
    host = inventory.host
    row = {
        "name": _clean(host.name),
        "machine_id": _clean(host.machine_id),
        "kernel_release": _clean(host.kernel_release),
        "labels": json.dumps({_clean(key): _clean(value) for key, value in host.labels.items()}, sort_keys=True),
        "seen_ns": now_ns,
        "record_id": record_id,
        "host": host.SerializeToString(),
        "inventory": inventory.SerializeToString(),
    }
    if connection.execute(update(hosts).where(hosts.c.agent_id == agent_id).values(**row)).rowcount == 0:
        connection.execute(insert(hosts).values(agent_id=agent_id, **row))
    if host.name:
        named = {"host_name": _clean(host.name), "boot_id": _clean(host.boot_id)}
        connection.execute(update(agents).where(agents.c.agent_id == agent_id).values(**named))


def _replace(
    connection: Connection, table: Table, key: str, agent_id: str, rows: dict[str, dict[str, Any]], now_ns: int
) -> None:
    """Update the rows that are known, insert the new ones, and mark those that are gone."""
    column = table.c[key]
    mine = table.c.agent_id == agent_id
    known = {row[0]: row.present for row in connection.execute(select(column, table.c.present).where(mine))}
    gone = [{"one": name} for name, present in known.items() if present and name not in rows]
    again = [{"one": name, **row} for name, row in rows.items() if name in known]
    fresh = [
        {"agent_id": agent_id, key: name, "first_seen_ns": now_ns, **row}
        for name, row in rows.items()
        if name not in known
    ]
    chosen = update(table).where(mine, column == bindparam("one"))
    if gone:
        connection.execute(chosen.values(present=False), gone)
    if again:
        names = [name for name in again[0] if name != "one"]
        connection.execute(chosen.values({name: bindparam(name) for name in names}), again)
    if fresh:
        connection.execute(insert(table), fresh)
