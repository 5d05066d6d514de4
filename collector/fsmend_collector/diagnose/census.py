"""The census: what every host counts for in the population, kept from the inventories in the store.

A new inventory takes the place of the old one in the sums, so what the old one counted for is kept in the store, in a
row a host that is written together with the position through which diagnosis has read. After a restart the rows are
added up; inventories that came later follow by their ids. Memory holds the sums only.
"""

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, delete, insert, select

from fsmend_collector.diagnosis.groups import HostView, Population, view_of
from fsmend_collector.diagnosis.groups.dimensions import dimension
from fsmend_collector.diagnosis.groups.views import Group
from fsmend_collector.store.schema import agents, counted_hosts, hosts
from fsmend_proto.v1 import inventory_pb2

_ROWS_A_READ = 2_000


@dataclass(frozen=True, slots=True)
class Counted:
    """What one host counts for.

    Attributes:
        kernel: release that it runs.
        agent_version: of its agent.
        sizes: group → devices, filesystems, hosts, for groups that span hosts.
        local: dimension → how many groups the host has in it, for groups within hosts.
    """

    kernel: str
    agent_version: str
    sizes: dict[Group, list[int]]
    local: dict[str, int]

    @classmethod
    def of(cls, view: HostView, agent_version: str) -> "Counted":
        """Count a host."""
        sizes = view.sizes()
        local = Counter(name for name, _ in sizes if dimension(name).local)
        wide = {group: row for group, row in sizes.items() if not dimension(group[0]).local}
        return cls(view.kernel, agent_version, wide, dict(local))

    @classmethod
    def parse(cls, text: str) -> "Counted":
        """Take it back from a row of the store."""
        kernel, version, rows, local = json.loads(text)
        return cls(kernel, version, {(name, value): counts for name, value, counts in rows}, local)

    def text(self) -> str:
        """Return the row for the store; the same counts give the same text."""
        rows = sorted([name, value, counts] for (name, value), counts in self.sizes.items())
        local = dict(sorted(self.local.items()))
        return json.dumps([self.kernel, self.agent_version, rows, local], separators=(",", ":"))

    def onto(self, population: Population, times: int) -> None:
        """Add it to a population, or take it away with -1."""
        population.add_sizes(self.sizes, times)
        for name, count in self.local.items():
            population.groups[name] += count * times


@dataclass(slots=True)
class Census:
    """The population of the fleet, and the rows that changed.

    Attributes:
        unwritten: agent → its new row, None: it has left the fleet.
        moved: grows with every change of the population.
    """

    population: Population = field(default_factory=Population)
    unwritten: dict[str, str | None] = field(default_factory=dict)
    moved: int = 0

    def load(self, connection: Connection, through: int) -> int:
        """Add up what is stored; return how many hosts that is.

        Args:
            connection: of the store.
            through: inventories through this id are counted; those of an older version's store are decoded once.
        """
        found = 0
        for (text,) in connection.execute(select(counted_hosts.c.counted)).yield_per(_ROWS_A_READ):
            Counted.parse(text).onto(self.population, 1)
            found += 1
        return found + self._decode(connection, through)

    def _decode(self, connection: Connection, through: int) -> int:
        uncounted = ~select(counted_hosts.c.agent_id).where(counted_hosts.c.agent_id == hosts.c.agent_id).exists()
        chosen = select(hosts.c.agent_id, hosts.c.inventory).join(agents, agents.c.agent_id == hosts.c.agent_id)
        chosen = chosen.where(hosts.c.record_id <= through, agents.c.revoked_ns == 0, uncounted)
        found = 0
        for row in connection.execute(chosen).yield_per(_ROWS_A_READ // 10):
            counted = counted_of(row.agent_id, inventory_pb2.Inventory.FromString(row.inventory))
            counted.onto(self.population, 1)
            self.unwritten[row.agent_id] = counted.text()
            found += 1
        return found

    def take(self, connection: Connection, agent_id: str, new: Counted | None) -> Counted | None:
        """Take a host's new count in place of its old one, which is returned; None: it leaves the fleet.

        An old one that cannot be read is replaced all the same, once: trying again would take it off again and again.
        """
        known = self._known(connection, agent_id)
        text = new.text() if new is not None else None
        if text == known:
            return new
        self.unwritten[agent_id] = text
        self.moved += 1
        if new is not None:
            new.onto(self.population, 1)
        old = Counted.parse(known) if known is not None else None
        if old is not None:
            old.onto(self.population, -1)
        return old

    def _known(self, connection: Connection, agent_id: str) -> str | None:
        if agent_id in self.unwritten:
            return self.unwritten[agent_id]
        chosen = select(counted_hosts.c.counted).where(counted_hosts.c.agent_id == agent_id)
        return connection.execute(chosen).scalar()


def counted_of(agent_id: str, inventory: inventory_pb2.Inventory) -> Counted:
    """Count a host from its inventory."""
    return Counted.of(view_of(agent_id, inventory), inventory.host.agent_version)


def write_counted(connection: Connection, rows: dict[str, str | None]) -> None:
    """Write the rows of hosts that changed."""
    if not rows:
        return
    names = list(rows)
    for start in range(0, len(names), 500):
        some = counted_hosts.c.agent_id.in_(names[start : start + 500])
        connection.execute(delete(counted_hosts).where(some))
    fresh: list[dict[str, Any]] = [{"agent_id": name, "counted": text} for name, text in rows.items() if text]
    if fresh:
        connection.execute(insert(counted_hosts), fresh)
