"""Views: what of an inventory the group scan needs. Kept for hosts with faults only."""

import re
from dataclasses import dataclass, field

from fsmend_collector.diagnosis.groups.aspects import DEVICE, FILESYSTEM, HOST
from fsmend_collector.diagnosis.groups.dimensions import FLEET_VALUE, PAIR, label_dimension
from fsmend_proto.v1 import inventory_pb2

Group = tuple[str, str]
"""Dimension and value."""

_HOURS_BAND = 5_000
_DISKS = frozenset({"disk", "nvme", "iscsi"})
_EXPANDER = re.compile(r"expander-[0-9:]+|enclosure-[0-9a-fx]+")


@dataclass(frozen=True, slots=True)
class DeviceView:
    """One disk.

    Attributes:
        hba: PCI address of its adapter; empty: unknown.
        enclosure: identity of the shelf in the fleet.
        target: remote target that serves it.
        hours: power-on hours, 0: unknown.
    """

    device_id: str
    name: str = ""
    model: str = ""
    firmware: str = ""
    hba: str = ""
    enclosure: str = ""
    target: str = ""
    hours: int = 0

    @property
    def alike(self) -> tuple[str, ...]:
        """Return what decides which groups of its host the disk is in."""
        return (self.hba, self.enclosure, self.target, self.model, self.firmware, str(self.hours // _HOURS_BAND))

    def groups(self, agent_id: str, kernel: str) -> list[Group]:
        """List the groups that the disk is in beyond those of its host."""
        found: list[Group] = []
        if self.hba:
            found.append(("hba", f"{agent_id} {self.hba}"))
        if self.enclosure:
            found.append(("enclosure", self.enclosure))
        if self.target:
            found.append(("target", self.target))
        if self.model:
            found.append(("model", self.model))
            if self.firmware:
                found.append(("model+firmware", f"{self.model} {self.firmware}"))
            if kernel:
                found.append(("model+kernel", f"{self.model}{PAIR}{kernel}"))
        if self.hours:
            band = self.hours // _HOURS_BAND * _HOURS_BAND
            found.append(("hours", f"{band}-{band + _HOURS_BAND}"))
        return found


@dataclass(frozen=True, slots=True)
class HostView:
    """One host.

    Attributes:
        labels: as the operator gave them.
        devices: its disks.
        filesystems: UUID → (type, ids of the disks below, remote target or "").
    """

    agent_id: str
    host_name: str = ""
    kernel: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    devices: tuple[DeviceView, ...] = ()
    filesystems: dict[str, tuple[str, tuple[str, ...], str]] = field(default_factory=dict)

    def groups(self) -> list[Group]:
        """List the groups that the host is in, without itself."""
        found = [("fleet", FLEET_VALUE)]
        if self.kernel:
            found.append(("kernel", self.kernel))
        found += [(label_dimension(name), value) for name, value in self.labels if value]
        return found

    def unit_groups(self, kind: int, unit_id: str) -> list[Group]:
        """List the groups that one unit of the host is in."""
        found = self.groups()
        if kind == HOST:
            return found
        found.append(("host", self.agent_id))
        devices = [one for one in self.devices if one.device_id == unit_id]
        if kind == FILESYSTEM and unit_id in self.filesystems:
            _, below, _ = self.filesystems[unit_id]
            devices = [one for one in self.devices if one.device_id in below] if len(below) == 1 else []
            found += self._own_groups(unit_id)
        for one in devices:
            found += one.groups(self.agent_id, self.kernel)
        return found

    def _own_groups(self, uuid: str) -> list[Group]:
        """List the groups that a filesystem is in by what it is itself."""
        fs_type, _, target = self.filesystems[uuid]
        found = [("target", target)] if target else []
        return [*found, ("filesystem_type", fs_type)] if fs_type else found

    def sizes(self) -> dict[Group, list[int]]:
        """Count the units of each kind that the host adds to each group: devices, filesystems, hosts."""
        whole = (len(self.devices), len(self.filesystems), 1)
        sizes = {group: list(whole) for group in (*self.groups(), ("host", self.agent_id))}
        of_disk: dict[str, list[Group]] = {}
        for one in self.devices:
            groups = one.groups(self.agent_id, self.kernel)
            of_disk.setdefault(one.device_id, []).extend(groups)
            for group in groups:
                row = sizes.setdefault(group, [0, 0, 1])
                row[DEVICE] += 1
        for uuid, (_, below, _) in self.filesystems.items():
            for group in self._own_groups(uuid) + (of_disk.get(below[0], []) if len(below) == 1 else []):
                row = sizes.setdefault(group, [0, 0, 1])
                if row[FILESYSTEM] < whole[FILESYSTEM]:
                    row[FILESYSTEM] += 1
        return sizes


def view_of(agent_id: str, inventory: inventory_pb2.Inventory) -> HostView:
    """Take from an inventory what the scan needs."""
    host = inventory.host
    devices = tuple(_device_view(agent_id, one) for one in inventory.devices if one.kind in _DISKS and one.ref.id)
    filesystems = {}
    for one in inventory.filesystems:
        if one.ref.uuid:
            below = tuple(ref.id for ref in one.devices if ref.id)
            filesystems[one.ref.uuid] = (one.ref.type, below, _served_by(one.ref.device_name))
    return HostView(agent_id, host.name, host.kernel_release, tuple(sorted(host.labels.items())), devices, filesystems)


def _device_view(agent_id: str, device: inventory_pb2.Device) -> DeviceView:
    shelf = _EXPANDER.search(device.topology_path)
    remote = device.topology_path if device.transport in {"iscsi", "tcp", "rdma", "fc"} else ""
    return DeviceView(
        device_id=device.ref.id,
        name=device.ref.name,
        model=device.model.strip(),
        firmware=device.firmware.strip(),
        hba=device.host_adapter,
        enclosure=_shelf(agent_id, shelf.group()) if shelf else "",
        target=remote.partition("/")[0],
        hours=device.power_on_hours,
    )


def _shelf(agent_id: str, name: str) -> str:
    """Name a shelf in the fleet: the kernel numbers expanders host by host, so every first one would be one group."""
    return f"{agent_id} {name}" if name.startswith("expander-") else name


def _served_by(device_name: str) -> str:
    """Return the server of a network filesystem's source, as in `server:/export`."""
    server, separator, _ = device_name.partition(":/")
    return server if separator else ""
