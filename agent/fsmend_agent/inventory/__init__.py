"""The Inventory record: what this host consists of, and what can be seen and repaired here.

It is the population that diagnosis counts against, so it is complete or not sent: a part that cannot be read is
empty, never left out. `collect` has all of it; it is run by a child process (`child`), so that a mount that hangs
holds nobody up, and so that what it takes is given back.
"""

import asyncio
import contextlib
import hashlib
from collections.abc import Callable

from fsmend_agent.devices import DeviceTable
from fsmend_agent.filesystems import FilesystemTable, MountedFilesystem
from fsmend_agent.inventory import host
from fsmend_agent.inventory.host import HERE, Roots
from fsmend_proto.v1 import inventory_pb2

__all__ = ["HERE", "Roots", "device_table", "digest", "watch"]

LOOK_SECONDS = 3600.0
"""How often the devices are read again: a disk that is swapped changes no mount table."""

SEND_SECONDS = 86400.0
"""How often it is sent even if nothing changed, where the configuration says nothing else."""

SETTLE_SECONDS = 2.0
"""How long to wait after a change of the mounts, so that a boot makes one record and not fifty."""

LEAST_SECONDS = 5.0
"""The shortest time between two records: a host that mounts and unmounts all day is no reason to fill the spool."""


def device_table(roots: Roots = HERE) -> DeviceTable:
    """Return the device look-ups of this host, as the inventory names them."""
    return DeviceTable(roots.sys, host.machine_id(roots) or host.name(roots))


def digest(inventory: inventory_pb2.Inventory) -> str:
    """Return a fingerprint of everything in it that does not change by itself, as clocks and free space do."""
    copy = inventory_pb2.Inventory()
    copy.CopyFrom(inventory)
    copy.ClearField("clocks")
    for filesystem in copy.filesystems:
        filesystem.ClearField("free_bytes")
    return hashlib.sha256(copy.SerializeToString(deterministic=True)).hexdigest()


async def watch(
    table: FilesystemTable,
    collect_now: Callable[[tuple[MountedFilesystem, ...]], inventory_pb2.Inventory],
    send: Callable[[inventory_pb2.Inventory], None],
    send_seconds: float = SEND_SECONDS,
) -> None:
    """Send the inventory at once, on change, and every `send_seconds` even without one, until cancelled.

    Looks after every change of the mounts and every LOOK_SECONDS.

    Args:
        table: the filesystems, followed by somebody else.
        collect_now: `collect` with everything but the filesystems bound; called in a thread.
        send: takes the record; called on the event loop's thread.
        send_seconds: how often it is sent even if nothing changed.
    """
    loop = asyncio.get_running_loop()
    changed = asyncio.Event()
    sent, sent_at = "", 0.0
    unsubscribe = table.subscribe(lambda added, removed: changed.set() if added or removed else None)
    try:
        while True:
            changed.clear()
            inventory = await asyncio.to_thread(collect_now, tuple(table))
            fingerprint = digest(inventory)
            if fingerprint != sent or loop.time() - sent_at >= send_seconds:
                send(inventory)
                sent, sent_at = fingerprint, loop.time()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(LOOK_SECONDS, send_seconds)):
                    await changed.wait()
            await asyncio.sleep(max(SETTLE_SECONDS, sent_at + LEAST_SECONDS - loop.time()))
    finally:
        unsubscribe()
