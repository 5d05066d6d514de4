"""Population: how many units there are in every group; the denominator of all that diagnosis counts.

Only groups that span hosts are kept, with three numbers each. What lies within one host is counted from the view of
that host when it has a fault, so that memory follows the groups and the faulty hosts, never the fleet.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from fsmend_collector.diagnosis.groups.dimensions import dimension
from fsmend_collector.diagnosis.groups.views import Group, HostView

_LEAST_HOSTS = 3


@dataclass(slots=True)
class Population:
    """Counts of the fleet.

    Attributes:
        sizes: group → devices, filesystems, hosts; for groups that span hosts.
        groups: dimension → how many groups it has.
        changes: how often hosts were counted in or out.
    """

    sizes: dict[Group, list[int]] = field(default_factory=dict)
    groups: Counter[str] = field(default_factory=Counter)
    changes: int = 0

    def add(self, view: HostView, times: int = 1) -> None:
        """Count a host in; `times` hosts of the same make at once, or -1 to take it out again."""
        self.add_sizes(view.sizes(), times)

    def add_sizes(self, sizes: Mapping[Group, Sequence[int]], times: int = 1) -> None:
        """Count in what a host adds to each group, as `HostView.sizes` has it; `times` as for `add`."""
        self.changes += 1
        for group, row in sizes.items():
            if dimension(group[0]).local:
                self.groups[group[0]] += times
                continue
            mine = self.sizes.get(group)
            if mine is None:
                mine = self.sizes[group] = [0, 0, 0]
                self.groups[group[0]] += 1
            for kind, count in enumerate(row):
                mine[kind] += count * times
            if mine[2] <= 0:
                del self.sizes[group]
                self.groups[group[0]] -= 1

    def replace(self, old: HostView | None, new: HostView | None) -> None:
        """Take a host's new inventory in place of its old one."""
        if old is not None:
            self.add(old, -1)
        if new is not None:
            self.add(new)

    def size(self, group: Group, kind: int) -> int:
        """Return how many units of a kind a group that spans hosts has."""
        row = self.sizes.get(group)
        return row[kind] if row is not None else 0

    def worth_counting(self, group: Group) -> bool:
        """Say whether a group that spans hosts is large enough to be a shared cause."""
        row = self.sizes.get(group)
        return row is not None and row[2] >= _LEAST_HOSTS
