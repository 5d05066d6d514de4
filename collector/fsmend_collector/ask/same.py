"""`fsmend same`: who shares something with one device, how many of them fail, and how surprising that is.

The comparison is exact: of as many hosts (or devices, where a group lies within a host) drawn from the fleet without
the one that is asked about, how often would so many or more be failing ones?
"""

import dataclasses

from sqlalchemy import Connection, select

from fsmend_collector.ask.failing import Failing, Unit, failing_units, view_in
from fsmend_collector.ask.members import member_incident
from fsmend_collector.ask.units import device_named
from fsmend_collector.diagnosis.groups import HostView, Population
from fsmend_collector.diagnosis.groups.aspects import DEVICE, FILESYSTEM, HOST
from fsmend_collector.diagnosis.groups.dimensions import FLEET_VALUE, dimension
from fsmend_collector.diagnosis.groups.tails import hypergeometric_sf
from fsmend_collector.diagnosis.groups.views import Group
from fsmend_collector.store.schema import incidents
from fsmend_proto.v1 import incident_pb2, inventory_pb2, why_pb2

DAYS_BACK = 30
_DAY_NS = 86_400 * 1_000_000_000
_LISTED = 5
_LISTED_MOST = 1_000
_NEARBY = 6
_FLEET: Group = ("fleet", FLEET_VALUE)


def find_same(
    connection: Connection, request: why_pb2.FindSameRequest, population: Population, now_ns: int
) -> why_pb2.Same:
    """Return who shares something with a device.

    Raises:
        NoSuchObject: none or several devices are called so.
    """
    row = device_named(connection, request.device)
    since_ns = request.since_ns or now_ns - DAYS_BACK * _DAY_NS
    same = why_pb2.Same(agent_id=row.agent_id, host_name=row.host_name, since_ns=since_ns)
    same.device.CopyFrom(inventory_pb2.Device.FromString(row.device))
    mine = select(incidents.c.incident).where(
        incidents.c.agent_id == row.agent_id, incidents.c.device_id == row.device_id
    )
    own = connection.execute(mine.order_by(incidents.c.opened_ns.desc()).limit(_LISTED)).scalars()
    same.incidents.extend(member_incident(incident_pb2.Incident.FromString(one)) for one in own)
    failing = failing_units(connection, since_ns)
    same.hosts_not_looked_at = failing.hosts_left_out
    asked = Unit(row.agent_id, DEVICE, row.device_id)
    view = view_in(connection, row.agent_id)
    comparison = Comparison(population, failing, asked, view)
    same.fleet_devices, same.failing_devices = comparison.fleet(DEVICE), comparison.failing_devices()
    listed = min(request.incidents_listed or _LISTED, _LISTED_MOST)
    same.groups.extend(comparison.rows(listed))
    return same


def nearby(
    connection: Connection, incident: incident_pb2.Incident, population: Population, now_ns: int
) -> list[why_pb2.SharedGroup]:
    """Return the groups of an incident's unit in which most others fail for chance, most surprising first."""
    unit = incident.unit
    view = view_in(connection, unit.agent_id)
    if not view.host_name and not view.devices:
        return []
    asked = Unit(unit.agent_id, HOST, unit.agent_id)
    if unit.device_id:
        asked = Unit(unit.agent_id, DEVICE, unit.device_id)
    elif unit.filesystem_uuid:
        asked = Unit(unit.agent_id, FILESYSTEM, unit.filesystem_uuid)
    failing = failing_units(connection, min(incident.onset_ns, now_ns) - _DAY_NS)
    rows = Comparison(population, failing, asked, view).rows(3)
    return [row for row in rows if row.failing_now or row.failed_recently or row.failing_hosts][:_NEARBY]


@dataclasses.dataclass(slots=True)
class Comparison:
    """One unit among all that fail.

    Attributes:
        asked: the unit that is asked about; it never counts.
        view: of its host.
    """

    population: Population
    failing: Failing
    asked: Unit
    view: HostView

    def fleet(self, kind: int) -> int:
        """Return how many units of a kind the fleet has without the one asked for."""
        return max(self.population.size(_FLEET, kind) - 1, 0)

    def failing_devices(self) -> int:
        """Return how many devices fail now, or failed lately, without the one asked for."""
        return sum(one.kind == DEVICE and one != self.asked for one in self.failing.units)

    def rows(self, listed: int) -> list[why_pb2.SharedGroup]:
        """Return a row for each group of the unit, most surprising first."""
        groups = dict.fromkeys(self.view.unit_groups(self.asked.kind, self.asked.unit_id))
        rows = [self._row(group, listed) for group in groups if group != _FLEET]
        return sorted(rows, key=lambda row: (row.p, -row.failing_hosts, dimension(row.dimension).rank, row.value))

    def _row(self, group: Group, listed: int) -> why_pb2.SharedGroup:
        others = [one for one in self.failing.units if one != self.asked and group in self.failing.groups[one]]
        local = dimension(group[0]).local
        if not local:
            others = [one for one in others if one.agent_id != self.asked.agent_id]
        devices = {one for one in others if one.kind == DEVICE}
        hosts = {one.agent_id for one in others}
        now = {one for one in devices if self.failing.units[one].now}
        sizes = self._sizes(group, local)
        drawn, marked = (sizes[0], len(devices)) if local else (sizes[1], len(hosts))
        whole, failing = self._whole(local)
        whole, failing = max(whole, drawn, failing), max(failing, marked)
        row = why_pb2.SharedGroup(
            dimension=group[0],
            value=self.view.host_name if group[0] == "host" else group[1],
            devices=sizes[0],
            hosts=sizes[1],
            failing_now=len(now),
            failed_recently=len(devices) - len(now),
            failing_hosts=len(hosts),
            expected=drawn * failing / whole if whole else 0.0,
            counted="devices" if local else "hosts",
            p=hypergeometric_sf(marked, whole, failing, drawn) if drawn else 1.0,
        )
        self._list(row, others, listed)
        return row

    def _whole(self, local: bool) -> tuple[int, int]:
        """Return of how many is drawn, and how many of them fail: devices, or hosts other than its own."""
        if local:
            return self.fleet(DEVICE), self.failing_devices()
        return self.fleet(HOST), len({one.agent_id for one in self.failing.units} - {self.asked.agent_id})

    def _sizes(self, group: Group, local: bool) -> tuple[int, int]:
        """Return devices and hosts of a group without the unit itself, or its host where the group spans hosts."""
        own = self.view.sizes().get(group, [0, 0, 0])
        if local:
            return max(own[DEVICE] - (self.asked.kind == DEVICE), 0), 1
        devices = self.population.size(group, DEVICE) - own[DEVICE]
        return max(devices, 0), max(self.population.size(group, HOST) - 1, 0)

    def _list(self, row: why_pb2.SharedGroup, others: list[Unit], listed: int) -> None:
        found = {one.id: one for unit in others for one in self.failing.units[unit].incidents}
        order = sorted(found.values(), key=lambda one: (-one.onset_ns, one.id))
        row.incidents.extend(order[:listed])
        row.incidents_more = len(order) - len(row.incidents)
