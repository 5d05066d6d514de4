"""Joining: which fault a finding belongs to, whatever names its event carries."""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import NamedTuple

from fsmend_collector.diagnosis.codes import Family
from fsmend_collector.diagnosis.evidence import Evidence
from fsmend_proto.v1 import inventory_pb2

_FAMILY = {family: family.value for family in Family}  # an attribute of an enum is slow to read
_LAYERS = frozenset({"partition", "dm"})  # a device of these kinds on exactly one other fails as that one does


class FaultKey(NamedTuple):
    """What a fault is of.

    Attributes:
        family: name of the Family.
        agent_id: whose unit it is; two hosts that claim the same device stay apart.
        value: filesystem UUID, device id, or source; with a prefix (`name:`, `fs:`, `device:`) while only another name
            of the unit is known.
    """

    family: str
    agent_id: str
    value: str

    @property
    def provisional(self) -> bool:
        """Say whether the unit's identity is still to be learnt."""
        return self.value.startswith(("name:", "fs:", "device:"))


@dataclass(slots=True)
class _Names:
    """What one agent's names mean."""

    uuid_of_name: dict[str, str] = field(default_factory=dict)
    device_of_name: dict[str, str] = field(default_factory=dict)
    devices_of_uuid: dict[str, set[str]] = field(default_factory=dict)
    below: dict[str, str] = field(default_factory=dict)
    inventory_known: bool = False


_NOTHING = _Names()


class Joining:
    """Learn what the names of faulty agents mean, and key their findings.

    The key depends on what is known of the names. A name that means one unit throughout the lateness window gives the
    same keys in every order, because faults under a provisional key move when the identity is learnt.
    """

    def __init__(self) -> None:
        self._agents: dict[str, _Names] = {}

    def key(self, evidence: Evidence, family: Family) -> FaultKey:
        """Return the key of the fault that a finding belongs to."""
        if family is Family.DEVICE:
            value = self._device(evidence)
        elif family is Family.INTEGRITY:
            value = self._filesystem(evidence)
        else:
            value = evidence.subject if family is Family.SOURCE else ""
        return FaultKey(_FAMILY[family], evidence.agent_id, value)

    def _filesystem(self, evidence: Evidence) -> str:
        names = self._agents.get(evidence.agent_id, _NOTHING)
        name = evidence.filesystem_device or evidence.device_name
        if evidence.filesystem_uuid:
            return evidence.filesystem_uuid
        if name:
            return names.uuid_of_name.get(name, f"name:{name}")
        on_it = [uuid for uuid, devices in names.devices_of_uuid.items() if evidence.device_id in devices]
        return on_it[0] if len(on_it) == 1 else f"device:{evidence.device_id}"

    def _device(self, evidence: Evidence) -> str:
        if evidence.device_id:
            return self.bottom(evidence.agent_id, evidence.device_id)
        names = self._agents.get(evidence.agent_id, _NOTHING)
        name = evidence.device_name or evidence.filesystem_device
        known = names.devices_of_uuid.get(evidence.filesystem_uuid, set())
        if name in names.device_of_name:
            return self.bottom(evidence.agent_id, names.device_of_name[name])
        # What findings put side by side is not all the devices that a btrfs stands on; the inventory is.
        complete = names.inventory_known or evidence.filesystem_type not in {"", "btrfs"}
        if len(known) == 1 and complete:
            return self.bottom(evidence.agent_id, next(iter(known)))
        return f"name:{name}" if name else f"fs:{evidence.filesystem_uuid}"

    def bottom(self, agent_id: str, device_id: str) -> str:
        """Follow partitions and one-legged mappings down to the device that fails."""
        below = self._agents.get(agent_id, _NOTHING).below
        if not below:
            return device_id
        for _ in range(8):  # an inventory from outside may hold a circle
            if device_id not in below:
                break
            device_id = below[device_id]
        return device_id

    def devices(self, agent_id: str, uuid: str) -> set[str]:
        """Return the ids of the devices that a filesystem is known to stand on."""
        known = self._agents.get(agent_id, _NOTHING).devices_of_uuid.get(uuid, set())
        return {self.bottom(agent_id, device_id) for device_id in known}

    def learn(self, evidence: Evidence) -> bool:
        """Take the names that a finding puts side by side; say whether any was new."""
        names = self._agents.get(evidence.agent_id)
        if names is None:
            names = self._agents[evidence.agent_id] = _Names()
        uuid, filesystem_device = evidence.filesystem_uuid, evidence.filesystem_device
        new = uuid and filesystem_device and names.uuid_of_name.get(filesystem_device) != uuid
        if new:
            names.uuid_of_name[filesystem_device] = uuid
        if evidence.device_id and evidence.device_name:
            new = new or names.device_of_name.get(evidence.device_name) != evidence.device_id
            names.device_of_name[evidence.device_name] = evidence.device_id
        if uuid and evidence.device_id:
            known = names.devices_of_uuid.setdefault(uuid, set())
            new = new or evidence.device_id not in known
            known.add(evidence.device_id)
        return bool(new)

    def knows_inventory(self, agent_id: str) -> bool:
        """Say whether the agent's inventory was taken."""
        return agent_id in self._agents and self._agents[agent_id].inventory_known

    def learn_inventory(self, agent_id: str, inventory: inventory_pb2.Inventory) -> None:
        """Take an agent's inventory in place of all that was known."""
        names = _Names(inventory_known=True)
        for device in inventory.devices:
            names.device_of_name[device.ref.name] = device.ref.id
            if device.kind in _LAYERS and len(device.below) == 1:
                names.below[device.ref.id] = device.below[0]
        for filesystem in inventory.filesystems:
            uuid = filesystem.ref.uuid
            if not uuid:
                continue
            names.devices_of_uuid[uuid] = {ref.id for ref in filesystem.devices if ref.id}
            for name in [ref.name for ref in filesystem.devices] + [filesystem.ref.device_name]:
                names.uuid_of_name[name] = uuid
        names.uuid_of_name.pop("", None)
        self._agents[agent_id] = names

    def prune(self, faulty: Collection[str]) -> None:
        """Forget the agents that have no faults."""
        for agent_id in self._agents.keys() - set(faulty):
            del self._agents[agent_id]
