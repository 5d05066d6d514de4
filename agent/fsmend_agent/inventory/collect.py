"""Collect the whole inventory of this host."""

from collections.abc import Iterable, Mapping

from fsmend_agent import survey
from fsmend_agent.filesystems import FilesystemTable, MountedFilesystem
from fsmend_agent.inventory import HERE, Roots, device_table, disks, host, mounted
from fsmend_proto.v1 import event_pb2, inventory_pb2


def collect(
    filesystems: Iterable[MountedFilesystem],
    clocks: event_pb2.Clocks,
    *,
    labels: Mapping[str, str] | None = None,
    roots: Roots = HERE,
) -> inventory_pb2.Inventory:
    """Return the inventory of this host. Blocks: call it in a thread."""
    table = device_table(roots)
    filesystems = tuple(filesystems)
    clones = FilesystemTable(filesystems).clones()
    described = host.describe(roots, labels or {})
    general = survey.capabilities(described.kernel_release)
    described.capabilities.extend(general)
    inventory = inventory_pb2.Inventory(clocks=clocks, host=described, devices=disks.describe(table, roots.sys))
    for filesystem in filesystems:
        one = mounted.describe(filesystem, table, roots.sys)
        one.capabilities.extend(
            survey.filesystem_capabilities(
                filesystem,
                general,
                described.kernel_release,
                features=one.features,
                clone=filesystem.uuid in clones,
            )
        )
        inventory.filesystems.append(one)
    return inventory
