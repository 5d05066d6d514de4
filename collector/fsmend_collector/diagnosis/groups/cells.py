"""Cells: the groups that a unit is in, worked out once for all units of a host that are in the same ones."""

from collections.abc import Iterable

from fsmend_collector.diagnosis.groups.aspects import DEVICE
from fsmend_collector.diagnosis.groups.counting import Counting
from fsmend_collector.diagnosis.groups.dimensions import dimension
from fsmend_collector.diagnosis.groups.rates import AspectGroup
from fsmend_collector.diagnosis.groups.views import Group, HostView

Keys = tuple[AspectGroup, ...]


class Cells:
    """Know the groups of units, for hosts that were asked about."""

    def __init__(self, counting: Counting) -> None:
        self._counting = counting
        self._generation = counting.generation
        self._hosts: dict[str, dict[object, tuple[tuple[Group, ...], dict[str, Keys]]]] = {}

    def groups(self, aspect: str, view: HostView, kind: int, unit: str, *, own: bool) -> tuple[tuple[Group, ...], Keys]:
        """Return the groups of a unit, without those too small to share a cause, and the same with the aspect.

        Args:
            aspect: in which it fails.
            view: of its host.
            kind: of the unit.
            unit: its id.
            own: it is in the host's inventory; another's disk speaks against the host only.
        """
        if self._generation != self._counting.generation:  # other groups may be large enough now
            self._hosts.clear()
            self._generation = self._counting.generation
        cells = self._hosts.setdefault(view.agent_id, {})
        alike = _alike(view, kind, unit) if own else "foreign"
        cell = cells.get(alike)
        if cell is None:
            groups = view.unit_groups(kind, unit) if own else [("host", view.agent_id)]
            cell = cells[alike] = (tuple(self._worth(groups)), {})
        keys = cell[1].get(aspect)
        if keys is None:
            keys = cell[1][aspect] = tuple((aspect, group) for group in cell[0])
        return cell[0], keys

    def forget(self, agent_id: str) -> None:
        """Forget a host, because its view changed."""
        self._hosts.pop(agent_id, None)

    def _worth(self, groups: Iterable[Group]) -> list[Group]:
        return [one for one in groups if dimension(one[0]).local or self._counting.population.worth_counting(one)]


def _alike(view: HostView, kind: int, unit: str) -> object:
    """Return what units of a host that are in the same groups have in common."""
    if kind != DEVICE:
        return (kind, unit)
    for one in view.devices:
        if one.device_id == unit:
            return one.alike
    return (kind, unit)
