"""What the policy orders in a world: counted by an executor that does nothing, and judged by rules of its own.

The storm brake is off here: what holds must hold by the share of the fleet and by shared causes alone.
"""

from dataclasses import dataclass, field, replace

from fsmend_collector.brakes import hosts_at_once, is_braked, within_share
from fsmend_collector.diagnosis.groups import HostView, ScanSettings
from fsmend_collector.policy import FINISHED, PastCommand, PolicyConfig, propose
from fsmend_collector.simulate.run import Runner
from fsmend_collector.simulate.world import SECOND, World
from fsmend_proto.v1 import command_pb2, incident_pb2, inventory_pb2

_ACTIONS = ("collect_evidence", "repair_xfs", "scrub_xfs", "scrub_btrfs")
_SUCCEEDED, _SENT = command_pb2.COMMAND_STATE_SUCCEEDED, command_pb2.COMMAND_STATE_SENT
_UNKNOWN = command_pb2.COMMAND_STATE_UNKNOWN
_OPEN = incident_pb2.INCIDENT_STATE_OPEN
NO_SHARED_CAUSES = ScanSettings(budget_per_day=1e-280)
"""Settings with which nothing is ever told as shared."""


@dataclass(slots=True)
class Orders:
    """What was ordered.

    Attributes:
        repairs: commands that do more than look.
        beyond_cap: of these, given while as many hosts as may be were under repair.
        twice: command ids that were ordered again, and orders on a filesystem that was still busy.
        under_shared: repairs of units that a shared cause held at the time.
        most_hosts: under repair at once.
    """

    repairs: int = 0
    beyond_cap: int = 0
    twice: int = 0
    under_shared: int = 0
    most_hosts: int = 0
    ids: set[str] = field(default_factory=set)


class OrderingRunner(Runner):
    """Run a world with the policy looking at it after every tick.

    Args:
        world: to run.
        settings: of the scan.
        takes_seconds: how long a repair takes.
        lost_every: the acknowledgement and the report of every so many-th repair are lost; 0: none.
    """

    def __init__(
        self, world: World, settings: ScanSettings | None = None, *, takes_seconds: int = 86_400, lost_every: int = 0
    ) -> None:
        super().__init__(world, settings)
        self.orders = Orders()
        self.config = PolicyConfig(storm_incidents=1 << 30)
        self.takes_seconds, self.lost_every = takes_seconds, lost_every
        self._past: dict[str, PastCommand] = {}
        self._ends: dict[str, int] = {}

    def _tick(self, now_ns: int) -> None:
        super()._tick(now_ns)
        for command_id in [one for one, ends_ns in self._ends.items() if ends_ns <= now_ns]:
            del self._ends[command_id]
            lost = self.lost_every and int(command_id[-4:], 16) % self.lost_every == 0
            self._past[command_id] = replace(self._past[command_id], state=_UNKNOWN if lost else _SUCCEEDED)
        open_now = [one for one in self.diagnosis.incidents() if one.state == _OPEN and one.unit.filesystem_uuid]
        for incident in sorted(open_now, key=lambda one: (-one.severity, one.opened_ns, one.id)):
            self._consider(incident, now_ns)

    def _consider(self, incident: incident_pb2.Incident, now_ns: int) -> None:
        agent_id = incident.unit.agent_id
        view = self.world.views.get(agent_id) or self.world.fleet.by_agent[agent_id]
        past = [
            one
            for one in self._past.values()
            if one.incident_id == incident.id or (one.agent_id == agent_id and one.state not in FINISHED)
        ]
        proposed = propose(incident, _inventory(view), past, self.config, now_ns)
        for one in within_share(proposed, self._repairing(), len(self.world.fleet.views), self.config):
            self._order(incident, one.command, one.agent_id, now_ns)

    def _repairing(self) -> set[str]:
        return {
            one.agent_id
            for one in self._past.values()
            if one.state not in FINISHED and one.action != "collect_evidence"
        }

    def _order(self, incident: incident_pb2.Incident, command: command_pb2.Command, agent_id: str, now_ns: int) -> None:
        """Take an order down, and judge it by what stands in its way."""
        uuid, action = command.target.filesystem_uuid, command.WhichOneof("action") or ""
        busy = any(
            one.agent_id == agent_id and one.filesystem_uuid == uuid and one.state not in FINISHED
            for one in self._past.values()
        )
        orders = self.orders
        orders.twice += command.id in orders.ids or busy
        orders.ids.add(command.id)
        if is_braked(command.action_class):
            hosts = self._repairing() | {agent_id}
            orders.repairs += 1
            orders.beyond_cap += len(hosts) > hosts_at_once(len(self.world.fleet.views), self.config)
            orders.most_hosts = max(orders.most_hosts, len(hosts))
            orders.under_shared += bool(self.diagnosis.scan.member_of(agent_id, uuid))
            self._ends[command.id] = now_ns + self.takes_seconds * SECOND
        else:
            self._ends[command.id] = now_ns
        self._past[command.id] = PastCommand(command.id, incident.id, agent_id, uuid, action, _SENT, now_ns)


def _inventory(view: HostView) -> inventory_pb2.Inventory:
    """Return an inventory that says everything can be done."""
    inventory = inventory_pb2.Inventory()
    for action in _ACTIONS:
        inventory.host.capabilities.add(name=f"action.{action}", available=True)
    for uuid, (kind, _, _) in view.filesystems.items():
        row = inventory.filesystems.add()
        row.ref.uuid, row.ref.type = uuid, kind
    return inventory
