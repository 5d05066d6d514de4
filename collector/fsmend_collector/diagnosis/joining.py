"""Joining: which fault a finding belongs to, whatever names its event carries."""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import NamedTuple

from fsmend_collector.diagnosis.codes import Family
from fsmend_collector.diagnosis.evidence import Evidence
from fsmend_proto.v1 import inventory_pb2

_INTEGRITY, _DEVICE, _SOURCE = Family.INTEGRITY.value, Family.DEVICE.value, Family.SOURCE.value
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

    def bottom(self, device_id: str) -> str:
        """Follow partitions and one-legged mappings down to the device that fails."""
        for _ in range(8):  # an inventory from outside may hold a circle
            if device_id not in self.below:
                break
            device_id = self.below[device_id]
        return device_id


_NOTHING = _Names()


class Joining:
    """Learn what the names of faulty agents mean, and key their findings.

    The key depends on what is known of the names. A name that means one unit throughout the lateness window gives the
    same keys in every order, because faults under a provisional key move when the identity is learnt.
    """

    def __init__(self) -> None:
        self._agents: dict[str, _Names] = {}

    def key(self, evidence: Evidence, family: str) -> FaultKey:
        """Return the key of the fault that a finding belongs to; the family by its name."""
        agent_id = evidence.agent_id
        if family == _DEVICE:
            value = self._device(evidence, self._agents.get(agent_id, _NOTHING))
        elif family == _INTEGRITY:
            value = evidence.filesystem_uuid or self._filesystem(evidence, self._agents.get(agent_id, _NOTHING))
        else:
            value = evidence.subject if family == _SOURCE else ""
        return FaultKey(family, agent_id, value)

    @staticmethod
    def _filesystem(evidence: Evidence, names: _Names) -> str:
        name = evidence.filesystem_device or evidence.device_name
        if name:
            return names.uuid_of_name.get(name, f"name:{name}")
        on_it = [uuid for uuid, devices in names.devices_of_uuid.items() if evidence.device_id in devices]
        return on_it[0] if len(on_it) == 1 else f"device:{evidence.device_id}"

    @staticmethod
    def _device(evidence: Evidence, names: _Names) -> str:
        if evidence.device_id:
            return names.bottom(evidence.device_id) if names.below else evidence.device_id
        name = evidence.device_name or evidence.filesystem_device
        known = names.devices_of_uuid.get(evidence.filesystem_uuid, set())
        if name in names.device_of_name:
            return names.bottom(names.device_of_name[name])
        # What findings put side by side is not all the devices that a btrfs stands on; the inventory is.
        complete = names.inventory_known or evidence.filesystem_type not in {"", "btrfs"}
        if len(known) == 1 and complete:
            return names.bottom(next(iter(known)))
        return f"name:{name}" if name else f"fs:{evidence.filesystem_uuid}"

    def devices(self, agent_id: str, uuid: str) -> set[str]:
        """Return the ids of the devices that a filesystem is known to stand on."""
        names = self._agents.get(agent_id, _NOTHING)
        return {names.bottom(device_id) for device_id in names.devices_of_uuid.get(uuid, ())}

    def learn(self, evidence: Evidence) -> bool:
        """Take the names that a finding puts side by side; say whether any was new."""
        uuid, filesystem_device = evidence.filesystem_uuid, evidence.filesystem_device
        if not (uuid or (evidence.device_id and evidence.device_name)):
            return False
        names = self._agents.get(evidence.agent_id)
        if names is None:
            names = self._agents[evidence.agent_id] = _Names()
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
